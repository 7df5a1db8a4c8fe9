"""One line to type, checked before it is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.text import Text
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from ...core.errors import UsageError
from ..widgets.words import safe
from .base import Dialog

MAX_TYPED: Final = 4_096


class Prompt(Dialog[str]):
    """Answers what was typed, or None. `check` raises `UsageError` for what cannot be."""

    def __init__(
        self,
        title: str,
        label: str,
        value: str = "",
        *,
        check: Callable[[str], object] | None = None,
        twin: str = "",
    ) -> None:
        super().__init__(title, twin=twin)
        self._label, self._value, self._check = label, value, check

    def parts(self) -> Sequence[Widget]:
        return (
            Static(self._label, markup=False, classes="dialog--label"),
            Input(self._value, max_length=MAX_TYPED),
            Static(classes="dialog--error"),
        )

    def buttons(self) -> Sequence[Button]:
        return (Button("Cancel", id="no"), Button("OK", id="yes", variant="primary"))

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def on_input_submitted(self) -> None:
        """Enter is OK."""
        self.answer()

    def answer(self) -> None:
        typed = self.query_one(Input).value.strip()
        try:
            if self._check is not None:
                self._check(typed)
        except UsageError as error:
            self.query_one(".dialog--error", Static).update(Text(safe(error)))
            self.query_one(Input).focus()
            return
        self.dismiss(typed)
