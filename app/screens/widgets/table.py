"""What a table knows: rows, order, cursor, marks; and how it looks as lines. No widget, no events.

The cursor and the marks belong to keys, not to places: they stay with them when rows come, go and change.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from rich.cells import cell_len
from rich.style import Style
from textual.strip import Strip

from .cells import Tone, text_of
from .columns import Column, Look, Place, Sort, arrange, sort_rows
from .painter import GUTTER, Painter, Row
from .viewport import Viewport

R = TypeVar("R")
HEAD: Final = 1
"""Lines above the first row."""


class Table(Generic[R]):
    """Rows of one type in columns."""

    def __init__(
        self, columns: Sequence[Column[R]], key: Callable[[R], Hashable], sort: Sort | None, empty: str
    ) -> None:
        self.columns, self.key, self.sort, self.empty = tuple(columns), key, sort, empty
        self.rows: Sequence[R] = ()
        self.windowed = False
        """Whether rows beyond these exist elsewhere."""
        self.marks: frozenset[Hashable] = frozenset()
        self.gone: frozenset[Hashable] = frozenset()
        """Keys that are shown dimmed: they do not belong here any more."""
        self.following = True
        """Whether the cursor stays on the first row whichever that is: until the operator moves it."""
        self.port = Viewport()
        self.look = Look()
        self._content: dict[str, int] = {}
        """Cells of the longest words that were seen in each column that fits itself to them."""
        self._given: Sequence[R] = ()

    def show(self, rows: Sequence[R], look: Look) -> bool:
        """A list in memory; whether anything changed."""
        if not self.windowed and look == self.look and rows == self._given:
            return False
        self._given, self.windowed, self.gone = rows, False, frozenset()
        self._put(sort_rows(rows, self.columns, self.sort), look)
        return True

    def show_window(self, rows: Sequence[R], look: Look, gone: frozenset[Hashable] = frozenset()) -> bool:
        """The part of a longer list that is at hand, in its order; whether that looks different."""
        stays = not self.following or not self.port.cursor
        same = self.windowed and look.reads_as(self.look) and (rows, gone) == (self.rows, self.gone)
        if same and stays and rows:  # without rows, the words that stand there may have changed
            return False
        self.windowed, self.gone = True, gone
        self._put(rows, look)
        return True

    def current(self) -> R | None:
        """The row under the cursor."""
        return self.rows[self.port.cursor] if self.rows else None

    def resort(self, sort: Sort) -> None:
        """Another order. A window stays as it is, until its new rows come."""
        self.sort, self._content = sort, {}
        if not self.windowed:
            self._put(sort_rows(self._given, self.columns, sort), self.look)

    def next_sort(self, key: str) -> Sort | None:
        """What a wish to sort by this column means: once more turns the order round."""
        column = next((c for c in self.columns if c.key == key and c.sorts), None)
        if column is None:
            return None
        again = self.sort is not None and self.sort.key == key
        return Sort(key, not self.sort.down if self.sort is not None and again else column.down)

    def places(self, width: int) -> tuple[Place[R], ...]:
        """The columns that fit."""
        return arrange(self.columns, width - GUTTER - 1, self._content)

    def paint(self, width: int, height: int, styles: Mapping[Tone, Style]) -> list[Strip]:
        """All lines, the head first."""
        self.port.resize(height=height - HEAD)
        self._measure()
        painter = Painter(self.places(width), styles, width)
        lines = [painter.head(self.sort)]
        thumb, blank = self.port.thumb(), painter.blank()
        for y in range(max(height - HEAD, 0)):
            index = self.port.top + y
            bar = None if thumb is None else thumb[0] <= y < thumb[1]
            if index >= self.port.count:
                lines.append(painter.words(self.empty) if not self.rows and y == 1 else blank)
                continue
            row = self.rows[index]
            key = self.key(row)
            how = Row(
                cursor=index == self.port.cursor, marked=key in self.marks, gone=key in self.gone, bar=bar
            )
            lines.append(painter.row(row, self.look, how))
        return lines

    def _measure(self) -> None:
        """Look how wide the words on the screen are. Columns do not become narrower while one scrolls."""
        seen = self.rows[self.port.top : self.port.bottom]
        for column in self.columns if seen else ():
            if column.fit:
                longest = max(cell_len(text_of(column.cell(row, self.look))) for row in seen)
                self._content[column.key] = max(self._content.get(column.key, 0), longest)

    def _put(self, rows: Sequence[R], look: Look) -> None:
        """New rows: the cursor stays on its key, on the same line of the screen, or follows the top."""
        port, self.look = self.port, look
        current = self.current()
        at = 0 if self.following else port.cursor
        if current is not None and not self.following:
            key = self.key(current)
            at = next((i for i, row in enumerate(rows) if self.key(row) == key), port.cursor)
            port.shift(at - port.cursor)
        self.rows = rows
        port.count = len(rows)
        port.to(at)
