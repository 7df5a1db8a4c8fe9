"""The line above a table: the filter that is typed, what is wrong with it, and how many rows match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Static

from .words import safe

MAX_FILTER: Final = 2_000
MAX_PAST: Final = 50
"""Filters that can be had again with the arrow keys."""
Complete = Callable[[str], Sequence[str]]
"""Whole lines that what was typed may become, best first."""


class FilterBar(Widget):
    """Says `Changed` when the operator has typed a filter and pressed Enter. Whoever listens tries it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave the filter as it is", show=False),
        Binding("up", "past(-1)", "The filter before", show=False),
        Binding("down", "past(1)", "The filter after", show=False),
    ]

    @dataclass
    class Changed(Message):
        """Another filter is wanted."""

        text: str

    @dataclass
    class Left(Message):
        """Typing has ended: the focus belongs elsewhere."""

    def __init__(self, complete: Complete | None = None) -> None:
        super().__init__()
        self.filter = ""
        """The filter that is in force."""
        self._past: list[str] = []
        self._at = 0
        self._said = ""
        self._suggest = None if complete is None else _Completer(complete)

    def compose(self) -> ComposeResult:
        yield Input(
            placeholder="filter", max_length=MAX_FILTER, suggester=self._suggest, select_on_focus=False
        )
        yield Static(classes="filter--state")
        yield Static(classes="filter--error")

    def open(self) -> None:
        """Let the operator type."""
        self.add_class("-open")
        field = self.query_one(Input)
        field.value = f"{self.filter} " if self.filter else ""  # what is typed is another term
        field.cursor_position = len(field.value)
        field.focus()

    def state(self, text: str) -> None:
        """What is shown of how many, in which order."""
        shown = (f"/{safe(self.filter)}   " if self.filter else "") + text
        if shown != self._said:
            self._said = shown
            self.query_one(".filter--state", Static).update(
                Text(shown, no_wrap=True, overflow="ellipsis"), layout=False
            )

    def wrong(self, why: str) -> None:
        """The filter cannot be used: the operator goes on typing."""
        self.query_one(".filter--error", Static).update(Text(safe(why)))
        self.add_class("-wrong")
        self.open_again()

    def open_again(self) -> None:
        """Back to what was typed."""
        self.add_class("-open")
        self.query_one(Input).focus()

    def taken(self, text: str) -> None:
        """The filter is in force."""
        self.filter = text
        if text and text not in self._past[-1:]:
            self._past = [*self._past, text][-MAX_PAST:]
        self._at = len(self._past)
        self.remove_class("-open", "-wrong")

    def action_leave(self) -> None:
        """Forget what was typed."""
        self.remove_class("-open", "-wrong")
        self.post_message(self.Left())

    def action_past(self, by: int) -> None:
        """A filter that was used before."""
        self._at = max(0, min(self._at + by, len(self._past)))
        field = self.query_one(Input)
        field.value = self._past[self._at] if self._at < len(self._past) else ""
        field.cursor_position = len(field.value)

    @on(Input.Changed)
    def _typing(self, event: Input.Changed) -> None:
        event.stop()
        self.remove_class("-wrong")

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Changed(event.value.strip()))

    def on_key(self, event: events.Key) -> None:
        """Tab takes what is suggested, as a shell does."""
        field = self.query_one(Input)
        if event.key == "tab" and field.has_focus:
            event.prevent_default()
            event.stop()
            field.action_cursor_right()


class _Completer(Suggester):
    """What may be typed next, as the field shows it behind the cursor."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        found = self._complete(value)
        return found[0] if found else None
