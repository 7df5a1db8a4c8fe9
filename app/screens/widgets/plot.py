"""Numbers over time as text: sparklines of one line, plots with axes, bars, time lines. Plain strings.

Eight heights to a cell; a column of a plot is one cell wide. Where nothing is known there is a blank, and
zero is a line at the bottom, so that nothing and zero differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from .scale import ROOM, Scale, moments, scale_for, value_words

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
TICK: Final = ROOM
"""Cells for the numbers at the left of a plot."""
LOW: Final = 2
"""Lines of a plot that is too low for a line of time below it."""
_FULL: Final = 8


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """The newest values in one line, a cell each, newest at the right; `top` is the value of a full cell."""
    shown = squeeze(values, width)
    most = top or max((v for v in shown if math.isfinite(v)), default=0.0)
    return "".join(_cell(value, most) for value in shown).rjust(width)


def squeeze(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: the mean of each group of neighbours, all of them about as long."""
    number = len(values)
    if number <= width:
        return [*values]
    ends = [number * place // width for place in range(width + 1)]
    return [_mean(values[start:end]) for start, end in pairwise(ends)]


def plot(  # noqa: PLR0913 - all but the first three have names
    values: Sequence[float],
    width: int,
    height: int,
    *,
    unit: str = "",
    seconds: float = 0.0,
    top: float | None = None,
    whole: bool = False,
    first: int = 0,
) -> list[str]:
    """Lines of a plot: each number at the left belongs to the upper edge of its line.

    `seconds` is how long ago the first value was; a plot that is too low for it has no line of time, and so
    no zero. `top` is the greatest value there can be; `whole`: of things that are counted. `first` is the
    number of the first value among all there have ever been: then cells stay as they are while they move.
    """
    inner, based, rows = _room(width, height)
    shown = stretched(values, inner, first)
    scale = _scale(shown, rows, unit=unit, top=top, whole=whole)
    marks = {row: value_words(value, unit) for row, value in scale.marks}
    lines = []
    for row in range(rows, 0, -1):
        cells = "".join(_eighth(value, scale.top, rows, row - 1) for value in shown)
        lines.append(f"{marks.get(row, ''):>{TICK}}│{cells}"[:width])
    if based:
        lines.append(f"{'0':>{TICK}}└{_times(seconds, inner)}"[:width])
    return lines


def reach(
    values: Sequence[float], part: Sequence[float], width: int, height: int, *, first: int = 0
) -> list[int]:
    """How many lines of a plot of `values` belong to `part` of them, from its base; for each cell of a line.

    To the nearest line: what is less than half of one is not drawn, for a line would say more than it is.
    """
    inner, _, rows = _room(width, height)
    scale = _scale(stretched(values, inner, first), rows)
    shown = (value if math.isfinite(value) else 0.0 for value in stretched(part, inner, first))
    return [min(round(value / scale.top * rows), rows) if scale.top else 0 for value in shown]


def _room(width: int, height: int) -> tuple[int, bool, int]:
    """Cells of a line, whether there is a line of time, and the lines above it."""
    based = height > LOW
    return max(width - TICK - 1, 1), based, max(height - based, 1)


def _scale(
    shown: Sequence[float], rows: int, *, unit: str = "", top: float | None = None, whole: bool = False
) -> Scale:
    most = max((value for value in shown if math.isfinite(value)), default=0.0)
    return scale_for(most, rows, unit=unit, limit=top, whole=whole)


def stretched(values: Sequence[float], width: int, first: int = 0) -> list[float]:
    """Exactly `width` values: means of neighbours where there are more, and each as wide where not.

    Neighbours are the same ones whenever one looks: a curve that moves on is not another one each time.
    """
    many = -(-len(values) // width)
    if many > 1:
        start = first // many * many - first
        means = [_mean(values[max(at, 0) : at + many]) for at in range(start, len(values), many)]
        values = means[-(1 + (len(values) - 1) // many) :]
    number = len(values)
    if not number:
        return [math.nan] * width
    return [values[cell * number // width] for cell in range(width)]


def _times(seconds: float, width: int) -> str:
    line = [" "] * width
    for at, words in moments(seconds, width) if seconds > 0 else ():
        line[at : at + len(words)] = words
    return "".join(line)[:width]


def bar(share: float | None, width: int) -> str:
    """A bar of `width` cells that is filled to this part of one: `━━━━────`."""
    filled = round(max(0.0, min(share or 0.0, 1.0)) * width)
    return "━" * filled + "─" * (width - filled)


def time_line(start: float, end: float, first: float, last: float, width: int) -> str:
    """A piece of time from `start` to `end` within `first` to `last`, at least one cell long.

    What lies outside is cut off: the moments come from clocks of several machines.
    """
    whole = max(last - first, 1e-9)
    at, to = ((min(max(one, first), last) - first) / whole * width for one in (start, end))
    left = min(max(int(at), 0), width - 1)
    right = min(max(math.ceil(to), left + 1), width)
    return "·" * left + "━" * (right - left) + "·" * (width - right)


def _cell(value: float, most: float) -> str:
    if not math.isfinite(value):
        return " "
    if value <= 0 or most <= 0:
        return "▁" if value == 0 else " "
    return _EIGHTHS[max(1, min(round(value / most * _FULL), _FULL))]


def _eighth(value: float, most: float, rows: int, row: int) -> str:
    if not math.isfinite(value):
        return " "
    left = value / most * rows * _FULL - row * _FULL if most else 0.0
    if row == 0 and left < 1:
        return "▁"
    return _EIGHTHS[max(0, min(round(left), _FULL))]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
