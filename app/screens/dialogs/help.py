"""Help for the screen that is seen: what it shows, its commands, and the keys of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Static

from ..commands import Command, Registry, display
from ..view import View
from ..widgets.grid import Grid
from .base import Dialog

KEYS: Final = 8
TITLES: Final = 12
"""Least widths of keys and titles, so that the sections stand under each other."""
Line = tuple[str, str, str]
"""Keys, title, help."""


class HelpScreen(Dialog[None]):
    """Made from the registry: what is not in it has no key, and what has a key is in it."""

    def __init__(self, view: View, registry: Registry) -> None:
        super().__init__(f"Help: {view.TITLE}")
        self._view, self._registry = view, registry

    def parts(self) -> Sequence[Widget]:
        commands = self._registry.at(self._view)
        mine = [c for c in commands if self._view.NAME in c.views]
        rest = [c for c in commands if c not in mine]
        parts = [Static(Text(self._view.ABOUT), classes="dialog--text")] if self._view.ABOUT else []
        parts += _section("On this screen", self._lines(mine))
        if self._view.grid is not None:
            parts += _section("In a table", _moves())
        parts += _section("Everywhere", self._lines(rest))
        parts.append(Static(Text(f"Commands can be typed as well: : and {rest[0].name}, for example.")))
        return (VerticalScroll(*parts),)

    def buttons(self) -> Sequence[Button]:
        return ()

    def on_mount(self) -> None:
        """Arrow keys scroll at once."""
        self.query_one(VerticalScroll).focus()

    def _lines(self, commands: Sequence[Command]) -> Iterator[Line]:
        for command in commands:
            keys = " ".join(display(key) for key in self._registry.keys(command))
            yield keys, command.title, f"{command.help}  [{command.name}]"


def _section(title: str, lines: Iterable[Line]) -> list[Static]:
    """A title, and a table below it that wraps its last column."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=KEYS, no_wrap=True)
    table.add_column(min_width=TITLES, no_wrap=True)
    table.add_column()
    for keys, name, help_text in lines:
        table.add_row(Text(keys, "bold"), Text(name), Text(help_text))
    if not table.row_count:
        return []
    return [Static(Text(title, "bold underline")), Static(table, classes="dialog--text")]


def _moves() -> Iterator[Line]:
    for binding in Grid.BINDINGS:
        if isinstance(binding, tuple):
            continue
        keys = " ".join(display(key) for key in binding.key.split(","))
        yield keys, binding.description, ""
    yield "click", "Select", "a title sorts, twice opens, the right button shows the menu"
