"""The console's own command line: `:task 17`, `:tasks`, `:console.times utc`."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from ..commands import Registry
from ..view import View
from .base import Modal

SHOWN: Final = 8
"""Candidates above the line."""
MAX_LINE: Final = 4_096


class CommandLine(Modal[str | None]):
    """Answers what was typed; the caller knows what it means."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave it", show=False),
    ]

    def __init__(self, view: View, registry: Registry) -> None:
        super().__init__()
        self._words = {c.name: c.help for c in registry.at(view)}
        for kind in view.console.views.values():
            if view.console.role in kind.ROLES:
                self._words[f"{kind.NAME} {kind.ARGUMENT}".strip()] = f"The screen {kind.TITLE}."

    def compose(self) -> ComposeResult:
        yield Static()
        yield Input(
            placeholder=": a screen or a command",
            max_length=MAX_LINE,
            suggester=SuggestFromList([w.partition(" ")[0] for w in self._words]),
        )

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()
        self._offer("")

    def action_leave(self) -> None:
        """Nothing is to be done."""
        self.dismiss(None)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what it may become."""
        self._offer(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is it."""
        self.dismiss(event.value)

    def _offer(self, typed: str) -> None:
        first = typed.partition(" ")[0].lower()
        fitting = [w for w in self._words if first in w]
        fitting.sort(key=lambda w: (not w.startswith(first), w))
        text = Text("\n", no_wrap=True).join(
            Text(f"{word:<24} ", "bold").append(self._words[word], "not bold") for word in fitting[:SHOWN]
        )
        self.query_one(Static).update(text)
