"""Numbers over time as text: sparklines of one line, plots with axes, bars, time lines. Plain strings.

Eight heights to a cell; a column of a plot is one cell wide. Where nothing is known there is a blank, and
zero is a line at the bottom, so that nothing and zero differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from .words import short

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_TICK: Final = 7
"""Cells for the numbers at the left of a plot."""
_FULL: Final = 8
_TEN: Final = 10
_STEPS: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """The newest values in one line, a cell each, newest at the right; `top` is the value of a full cell."""
    shown = squeeze(values, width)
    most = top or max((v for v in shown if not math.isnan(v)), default=0.0)
    return "".join(_cell(value, most) for value in shown).rjust(width)


def squeeze(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: the mean of each group of neighbours, all of them about as long."""
    number = len(values)
    if number <= width:
        return [*values]
    ends = [number * place // width for place in range(width + 1)]
    return [_mean(values[start:end]) for start, end in pairwise(ends)]


def plot(
    values: Sequence[float],
    width: int,
    height: int,
    *,
    unit: str = "",
    seconds: float = 0.0,
    top: float | None = None,
) -> list[str]:
    """Lines of a plot with its greatest value (or `top`) at the top left, zero at the bottom, its span below.

    `seconds` is how long ago the first value was; 0 leaves the line below out.
    """
    inner, rows = max(width - _TICK - 1, 1), max(height - bool(seconds), 1)
    shown = squeeze(values, inner)
    most = top or rounded_up(max((value for value in shown if not math.isnan(value)), default=0.0))
    lines = []
    for row in range(rows - 1, -1, -1):
        cells = "".join(_eighth(value, most, rows, row) for value in shown).rjust(inner)
        tick = f"{_number(most)}{unit}" if row == rows - 1 else "0" if row == 0 else ""
        lines.append(f"{tick[:_TICK]:>{_TICK}}│{cells}")
    if seconds:
        ago = f"-{seconds / 60:.0f} min" if seconds >= 60 else f"-{seconds:.0f} s"  # noqa: PLR2004
        lines.append(f"{'':>{_TICK}} {ago}{'now':>{max(inner - len(ago), 0)}}"[:width])
    return lines


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
    if math.isnan(value):
        return " "
    if value <= 0 or most <= 0:
        return "▁" if value == 0 else " "
    return _EIGHTHS[max(1, min(round(value / most * _FULL), _FULL))]


def _eighth(value: float, most: float, rows: int, row: int) -> str:
    if math.isnan(value):
        return " "
    left = value / most * rows * _FULL - row * _FULL if most else 0.0
    if row == 0 and left < 1:
        return "▁"
    return _EIGHTHS[max(0, min(round(left), _FULL))]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _number(value: float) -> str:
    return short(value) if value >= _TEN else f"{value:g}"


def rounded_up(value: float) -> float:
    """The next number that is easy to read, as 1.5, 20 or 800."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value * (1 - 1e-9)), value)
