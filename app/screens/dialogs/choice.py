"""One of several: the menu of a row, a sort order, a theme, a saved view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text
from textual.widget import Widget
from textual.widgets import Button, OptionList
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

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        self.dismiss(self._options[event.option_index].answer)

    def _label(self, option: Option, hinted: int) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        if hinted:
            text.append(fit(safe(option.hint), hinted) + "  ", "bold")
        return text.append(safe(option.label))
