"""A screen over a table in memory: numbers above, a search in it, the row under the cursor in full below.

It is a base: which rows, columns and words, the screens say. Nothing here asks the node anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult

from ..core.errors import UsageError
from ..core.text import printable
from .frame import Frame
from .trails import Trails, trails_of
from .view import View
from .widgets.cells import text_of
from .widgets.columns import Column, Look, Sort
from .widgets.filterbar import FilterBar
from .widgets.grid import Grid
from .widgets.panel import Panel

MOST_TERMS: Final = 20
Test = Callable[[Any, Look], bool]


class TableView(View):
    """Base of the screens that are one table."""

    EMPTY: ClassVar[str] = "nothing here"
    """What stands there without rows, with the command that makes some."""
    SORT: ClassVar[Sort | None] = None
    """The order at first; None for that of the node."""
    DEFAULT_CSS = """
    TableView #full { border: none; border-top: solid $primary 50%; height: auto; padding: 0 1; }
    TableView.-short #full { max-height: 5; }
    """

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self._tests: tuple[Test, ...] = ()
        self._vital: object = None
        """What the rows were when they were shown last."""
        self._told = ""
        self._told_of: Sequence[Any] | None = None

    # For the screens that are built on this

    def columns(self) -> Sequence[Column[Any]]:
        """Its columns."""
        raise NotImplementedError

    def key(self, row: Any) -> Any:
        """What a row is known by."""
        raise NotImplementedError

    def rows(self, frame: Frame) -> Sequence[Any]:
        """All rows of this moment."""
        raise NotImplementedError

    def vital(self, row: Any) -> Any:
        """What of a row is shown as soon as it changes; the rest is shown once a second."""
        return row

    def words(self, row: Any) -> str:
        """What a search for words looks through."""
        raise NotImplementedError

    def told(self, rows: Sequence[Any]) -> str:
        """All rows in a line of numbers."""
        raise NotImplementedError

    def full(self, row: Any, look: Look) -> Text:
        """All that is known of a row, in four lines at most."""
        raise NotImplementedError

    # What they share

    @property
    def trails(self) -> Trails:
        """Curves of the last minutes."""
        return trails_of(self.console)

    def body(self) -> ComposeResult:
        yield FilterBar(self._complete)
        yield Grid(self.columns(), key=self.key, sort=self.SORT, empty=self.EMPTY)
        yield Panel("", id="full")

    def draw(self, frame: Frame) -> None:
        self.trails.take(frame.snapshot)
        grid, bar = self.query_one(Grid), self.query_one(FilterBar)
        rows = self.rows(frame)
        shown = [row for row in rows if self._matches(row, frame.look)] if self._tests else rows
        grid.table.empty = f"nothing matches /{printable(bar.filter)}" if self._tests and rows else self.EMPTY
        vital = (grid.table.sort, frame.look.times, [self.vital(row) for row in shown])
        if frame.second or vital != self._vital:
            self._vital = vital
            grid.show(shown, frame.look)
            self._tell_current()
        parts = [f"{len(shown):,} of {len(rows):,} match"] if self._tests else []
        if frame.second or rows is not self._told_of:
            self._told_of, self._told = rows, self.told(rows)
        parts += [self._told]
        parts += [f"{len(grid.table.marks):,} marked"] if grid.table.marks else []
        bar.state("   ".join(parts))

    def load(self, text: str) -> None:
        """Show what matches this search.

        Raises:
            UsageError: it makes no sense.
        """
        self._tests = tuple(terms(text, self.columns(), self.words))
        self.query_one(FilterBar).taken(text)
        if self.frame is not None:
            self.draw(self.frame)

    def _matches(self, row: Any, look: Look) -> bool:
        return all(test(row, look) for test in self._tests)

    def _tell_current(self) -> None:
        row, frame = None if self.grid is None else self.grid.current(), self.frame
        if frame is not None:
            self.query_one("#full", Panel).tell(Text("") if row is None else self.full(row, frame.look))

    def _complete(self, text: str) -> Sequence[str]:
        before, _, last = text.rpartition(" ")
        sign, name = ("-", last[1:]) if last.startswith("-") else ("", last)
        names = [column.key for column in self.columns() if name and column.key.startswith(name)]
        return [f"{before}{' ' if before else ''}{sign}{name}:" for name in names]

    @on(Grid.Moved)
    def _show_full(self) -> None:
        self._tell_current()

    @on(FilterBar.Changed)
    def _filtered(self, event: FilterBar.Changed) -> None:
        try:
            self.load(event.text)
        except UsageError as error:
            self.query_one(FilterBar).wrong(str(error))
        else:
            self.focus_main()

    @on(FilterBar.Left)
    def _left(self) -> None:
        self.focus_main()


@dataclass(frozen=True, slots=True)
class _Term:
    """`state:paused,away`, `-gpu`."""

    wanted: tuple[str, ...]
    negated: bool
    words: Callable[[Any, Look], str]

    def __call__(self, row: Any, look: Look) -> bool:
        text = self.words(row, look).casefold()
        return any(word in text for word in self.wanted) is not self.negated


def terms(text: str, columns: Sequence[Column[Any]], words: Callable[[Any], str]) -> Iterator[Test]:
    """The terms of a search; a row must pass them all.

    Raises:
        UsageError: there are too many, or no column has that name.
    """
    known = {column.key: column for column in columns}
    found = text.casefold().split()
    if len(found) > MOST_TERMS:
        raise UsageError(f"a search has at most {MOST_TERMS} words, this one has {len(found)}")
    for term in found:
        negated = term.startswith("-") and len(term) > 1
        name, colon, value = term.removeprefix("-" if negated else "").partition(":")
        if colon and name in known:
            yield _Term(tuple(value.split(",")), negated, _cell_words(known[name]))
        elif colon and name.isalpha() and value and not value.startswith("//"):
            raise UsageError(f"no column is called `{printable(name)}`: there are {', '.join(known)}")
        else:
            yield _Term((f"{name}{colon}{value}",), negated, lambda row, _: words(row))


def _cell_words(column: Column[Any]) -> Callable[[Any, Look], str]:
    return lambda row, look: text_of(column.cell(row, look))
