"""Columns of a table and how they share the width of the screen. No widget, no colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from .cells import Cell
from .words import TimeMode

R = TypeVar("R")
QUARTER: Final = 900.0
"""Seconds."""
MOST_NAME: Final = 32
"""Cells of a name that are shown at most: those of members are no longer."""
GAP: Final = 1
"""Blank cells between columns."""
LEAST: Final = 8
"""Cells of words that are cut, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What else decides how a row is told."""

    now: float = 0.0
    """Wall clock."""
    times: TimeMode = TimeMode.LOCAL

    def reads_as(self, other: Look) -> bool:
        """Whether moments are told in the same words; how long ago something was may still differ."""
        if self.times is TimeMode.RELATIVE or self.times is not other.times:
            return self == other
        return self.now // QUARTER == other.now // QUARTER  # no day anywhere begins within one


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[R]):
    """One column: where its words come from and how it yields when the screen is narrow."""

    key: str
    """Its name: in sorting, saved views and exports."""
    title: str
    width: int
    """Cells that it needs at least."""
    cell: Callable[[R, Look], Cell]
    """The words of a row; what strangers wrote must have been through `words.safe`."""
    grow: int = 0
    """Its part of the width that is left over."""
    right: bool = False
    """Numbers stand at the right."""
    drop: int = 0
    """Columns with the highest number leave first when the screen is narrow; 0 stays."""
    order: Callable[[R], Any] | None = None
    """What a table in memory sorts by; None where this column cannot be sorted by, or by a query only."""
    sortable: bool | None = None
    """Whether it can be sorted by; None: when it has an `order`."""
    down: bool = False
    """Whether its first sort is from the greatest down."""
    fit: bool = False
    """Whether it is as wide as what stands in it, and cut in the middle: names differ at their ends."""

    @property
    def sorts(self) -> bool:
        """Whether an operator may sort by it."""
        return self.order is not None if self.sortable is None else self.sortable


@dataclass(frozen=True, slots=True)
class Sort:
    """What a table is sorted by."""

    key: str
    down: bool = False


@dataclass(frozen=True, slots=True)
class Place(Generic[R]):
    """A column on the screen."""

    column: Column[R]
    x: int
    width: int


def arrange(
    columns: Sequence[Column[R]], width: int, content: Mapping[str, int] | None = None
) -> tuple[Place[R], ...]:
    """Which columns are shown in `width` cells, where, and how wide.

    `content`: cells that the longest words of a column take, by its key, for those that `fit`.
    """
    wanted = {c.key: _wanted(c, content or {}) for c in columns}
    left = list(columns)
    widths = {c.key: min(c.width, wanted[c.key]) for c in columns}
    while len(left) > 1 and _needed(left, widths) > width:
        yielding = max(left, key=lambda c: c.drop)
        if not yielding.drop:
            break
        left.remove(yielding)
    _shrink(left, widths, _needed(left, widths) - width)
    spare = max(width - _needed(left, widths), 0)
    for column in left:  # names first: the rest of what is left over is a matter of taste
        more = min(wanted[column.key] - widths[column.key], spare)
        widths[column.key] += more
        spare -= more
    grow = sum(c.grow for c in left)
    places, x = [], 0
    for column in left:
        share = spare * column.grow // grow if grow else 0
        grow -= column.grow
        spare -= share
        places.append(Place(column, x, widths[column.key] + share))
        x += widths[column.key] + share + GAP
    return tuple(places)


def _shrink(left: Sequence[Column[R]], widths: dict[str, int], over: int) -> None:
    """Where nothing yields any more, words are cut rather than the columns at the end: the longest first."""
    for column in sorted(left, key=lambda c: widths[c.key], reverse=True):
        if over > 0 and (column.grow or column.fit):
            less = min(over, max(widths[column.key] - LEAST, 0))
            widths[column.key] -= less
            over -= less


def sort_rows(rows: Sequence[R], columns: Sequence[Column[R]], sort: Sort | None) -> Sequence[R]:
    """A table in memory in its order; rows without a value come last either way. Stable."""
    order = next((c.order for c in columns if sort is not None and c.key == sort.key), None)
    if order is None or sort is None:
        return rows
    known = [(value, row) for row in rows if (value := order(row)) is not None]
    known.sort(key=lambda pair: pair[0], reverse=sort.down)
    return (*(row for _, row in known), *(row for row in rows if order(row) is None))


def _wanted(column: Column[R], content: Mapping[str, int]) -> int:
    """Cells that a column would take at most, but for what is left over."""
    known = content.get(column.key)
    if not column.fit or known is None:
        return column.width
    return min(max(known, len(column.title) + 1), max(MOST_NAME, column.width))


def _needed(columns: Sequence[Column[R]], widths: Mapping[str, int]) -> int:
    return sum(widths[c.key] for c in columns) + GAP * (len(columns) - 1)
