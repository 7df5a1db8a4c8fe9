"""Something that takes its time: how far it is, and a way to stop looking at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text
from textual.widget import Widget
from textual.widgets import Button, ProgressBar, Static

from ..widgets.words import safe
from .base import Dialog

POLL: Final = 0.25
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is."""

    share: float | None
    """0 to 1; None when that cannot be said."""
    text: str = ""
    over: bool = False


class Progress(Dialog[bool]):
    """Asks `look` until it is over (True) or the operator looks away (False). It goes on either way."""

    NOTHING = False

    def __init__(self, title: str, look: Callable[[], Step], *, poll: float = POLL) -> None:
        super().__init__(title)
        self._look, self._poll = look, poll

    def parts(self) -> Sequence[Widget]:
        return (Static(classes="dialog--text"), ProgressBar(total=1.0, show_eta=False))

    def buttons(self) -> Sequence[Button]:
        return (Button("In the background", id="no"),)

    def on_mount(self) -> None:
        """Look at once, and then again and again."""
        self.see()
        self.set_interval(self._poll, self.see)

    def see(self) -> None:
        """Look how far it is."""
        step = self._look()
        self.query_one(".dialog--text", Static).update(Text(safe(step.text)))
        self.query_one(ProgressBar).update(
            total=None if step.share is None else 1.0, progress=step.share or 0.0
        )
        if step.over:
            self.dismiss(True)
