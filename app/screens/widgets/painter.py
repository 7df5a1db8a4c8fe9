"""Lines of a table as strips: columns, padding, tones. Keeps no cursor, asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .cells import Tone, text_of, tone_of
from .columns import GAP, Look, Place, Sort

R = TypeVar("R")
GUTTER: Final = 2
"""Cells before the first column, for the cursor and the mark: seen without any colour."""
_CURSOR: Final = "▸"
_MARK: Final = "*"
_CUT: Final = "…"
_BAR: Final = {True: "┃", False: " "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is special about one line."""

    cursor: bool = False
    marked: bool = False
    gone: bool = False
    """It is not among what was asked for any more."""
    bar: bool | None = None
    """Whether the scroll bar's thumb is here; None without a scroll bar."""


@dataclass(frozen=True, slots=True)
class Painter(Generic[R]):
    """Paints rows in these columns and styles, `width` cells wide."""

    places: tuple[Place[R], ...]
    styles: Mapping[Tone, Style]
    width: int

    def head(self, sort: Sort | None) -> Strip:
        """The line of titles, with the marker of the sorted column."""
        titles = []
        for place in self.places:
            title = place.column.title
            if sort is not None and place.column.key == sort.key:
                title = title[: place.width - 1] + ("▼" if sort.down else "▲")
            titles.append((place, title.strip(), self.styles["head"]))
        return self._line(" " * GUTTER, titles, self.styles["head"], None)

    def row(self, row: R, look: Look, how: Row) -> Strip:
        """One line of the table."""
        over = self.styles["cursor"] if how.cursor else self.styles["mark"] if how.marked else None
        plain = self.styles[""]
        base = plain if over is None else plain + over
        cells = []
        for place in self.places:
            cell = place.column.cell(row, look)
            tone = self.styles["gone" if how.gone else tone_of(cell)]
            cells.append((place, text_of(cell), plain + tone if over is None else plain + tone + over))
        gutter = (_CURSOR if how.cursor else " ") + (_MARK if how.marked else " ")
        return self._line(gutter, cells, base, how.bar)

    def words(self, text: str) -> Strip:
        """A line that says something instead of a row."""
        line = set_cell_size(f"{' ' * GUTTER}{text}", self.width)
        return Strip([Segment(line, self.styles[""] + self.styles["dim"])], self.width)

    def blank(self) -> Strip:
        """An empty line."""
        return Strip([Segment(" " * self.width, self.styles[""])], self.width)

    def _line(
        self, gutter: str, cells: Sequence[tuple[Place[R], str, Style]], base: Style, bar: bool | None
    ) -> Strip:
        parts, used, room = [Segment(gutter, base)], GUTTER, self.width - (bar is not None)
        for place, text, style in cells:
            column = place.column
            parts.append(Segment(fit(text, place.width, right=column.right, middle=column.fit), style))
            gap = min(GAP, max(room - used - place.width, 0))
            parts.append(Segment(" " * gap, base))
            used += place.width + gap
        if used < room:
            parts.append(Segment(" " * (room - used), base))
        elif used > room:
            parts = [*Segment.adjust_line_length(parts, room, pad=False)]
        parts = [*Segment.simplify(parts)]
        if bar is not None:
            parts.append(Segment(_BAR[bar], self.styles["dim"]))
        return Strip(parts, self.width)  # one only: each of them has caches of its own


def fit(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Exactly `width` cells: padded, or cut with an ellipsis. Wide characters count as two."""
    used = len(text) if text.isascii() else cell_len(text)
    if used > width:
        head = (width - 1) // 2 + 1 if middle else width - 1
        tail, room = "", width - 1 - head
        for character in reversed(text) if room > 0 else ():
            if cell_len(tail) + cell_len(character) > room:
                break
            tail = character + tail
        head += room - cell_len(tail)
        return set_cell_size(text, head) + _CUT + tail
    pad = " " * (width - used)
    return pad + text if right else text + pad
