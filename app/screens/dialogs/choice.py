"""One of several: a menu, a sort order, a theme, a saved view. What is typed goes to what begins so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option as Line

from ..widgets.painter import fit
from ..widgets.words import safe
from .base import Dialog

MAX_OPTIONS: Final = 500
HINT: Final = 22
"""Columns of what stands before an option."""


@dataclass(frozen=True, slots=True)
class Option:
    """One answer."""

    answer: str
    label: str
    hint: str = ""
    """A few words before it: its key, what it is."""


class Choice(Dialog[str]):
    """Answers the `answer` of the chosen option, or None."""

    def __init__(self, title: str, options: Sequence[Option], *, at: str = "") -> None:
        super().__init__(title)
        self._options = tuple(options[:MAX_OPTIONS])
        self._at = at
        self._typed = ""
        """The beginning of what is looked for."""

    def parts(self) -> Sequence[Widget]:
        hinted = max((len(o.hint) for o in self._options), default=0)
        return (OptionList(*(Line(self._label(o, min(hinted, HINT))) for o in self._options)),)

    def buttons(self) -> Sequence[Button]:
        return ()

    def on_mount(self) -> None:
        """On the option that is in force."""
        options = self.query_one(OptionList)
        options.highlighted = next((i for i, o in enumerate(self._options) if o.answer == self._at), 0)
        options.focus()

    def on_key(self, event: Key) -> None:
        """A letter goes to the next option that begins with what has been typed so far."""
        if event.key == "backspace":
            typed = self._typed[:-1]
        elif event.is_printable and event.character is not None:
            typed = self._typed + event.character
        else:  # the list is moved in: what is typed after that begins anew
            self._typed = ""
            self._tell()
            return
        event.stop()
        at = self._first(typed)
        if at is None:
            at = self._first(typed := typed[-1:])
        if at is not None:
            self.query_one(OptionList).highlighted = at
        self._typed = typed if at is not None else ""
        self._tell()

    def _first(self, typed: str) -> int | None:
        """The first option that begins so: by its name, else by the words that are seen."""
        wanted = typed.casefold()
        for words in (lambda o: (o.hint, o.answer), lambda o: (o.label,)):
            for at, option in enumerate(self._options):
                if any(one.casefold().startswith(wanted) for one in words(option)):
                    return at
        return None

    def _tell(self) -> None:
        """What has been typed stands beside the title."""
        words = f"{self._title}  {self._typed}_" if self._typed else self._title
        self.query_one(".dialog--title", Static).update(Text(safe(words)))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        self.dismiss(self._options[event.option_index].answer)

    def _label(self, option: Option, hinted: int) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        if hinted:
            text.append(fit(safe(option.hint), hinted) + "  ", "bold")
        return text.append(safe(option.label))
