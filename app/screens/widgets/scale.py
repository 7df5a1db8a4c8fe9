"""The scales of a plot: which values and moments get a mark, and where. Numbers and plain strings.

A mark stands at the upper edge of a whole row, and its number is exactly the value of that edge: what is
drawn as high as a mark is as much as the mark says. The uppermost mark need not stand at the uppermost row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from .words import brief

MARKS: Final = 4
"""Marks above zero, at most."""
MOMENTS: Final = 6
"""Marks of time beside the one of now, at most."""
FEW: Final = 1.25
"""How much less high a curve may be drawn for the sake of a second mark."""
ROOM: Final = 7
"""Cells of the words of a mark."""
LEAST: Final = 0.01
"""What is less is drawn on a scale of this: nobody cares how much less."""
SECONDS: Final = "s"
"""The unit of values that are lengths of time."""
_STEPS: Final = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_DAY: Final = 86_400.0
_TIMES: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, _DAY),
)
_WHOLE: Final = _TIMES.index(1.0)
"""From here on they are whole seconds."""
_BIG: Final = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))
_HUGE: Final = 1e21
_MOST: Final = 1e300
"""What is more is drawn as this: scales are a little larger than what is on them."""
_NEAR: Final = 1e-9
"""What two numbers that are meant to be the same differ by at most, as a part of them."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How high values are drawn."""

    top: float
    """The value of the upper edge of the uppermost row."""
    marks: tuple[tuple[int, float], ...]
    """Rows, counted from 1 at the bottom, and the values of their upper edges."""


def scale_for(
    most: float, rows: int, *, unit: str = "", limit: float | None = None, whole: bool = False
) -> Scale:
    """One on which `most` can be drawn; `limit`: what there can be; `whole`: marks are whole numbers."""
    given = min(most if limit is None else limit, _MOST)
    wanted = max(given, LEAST) if given > 0 else 1.0
    found: list[Scale] = []
    for apart in range(2 if rows > 1 else 1, rows + 1):
        number = rows // apart
        if number > MARKS:
            continue
        least = wanted * apart / rows * (1 - _NEAR)
        step = next(one for one in _steps(least, unit, whole=whole) if one >= least)
        top = step * rows / apart
        marks = tuple((place * apart, step * place) for place in range(1, number + 1))
        if limit is not None:
            marks = tuple(mark for mark in marks if mark[1] <= limit * (1 + _NEAR)) or marks[:1]
        found.append(Scale(top, marks))
    return min(found, key=lambda one: one.top * (FEW if len(one.marks) == 1 else 1.0))


def value_words(value: float, unit: str = "") -> str:
    """A value at its mark, in at most `ROOM` characters."""
    if unit == SECONDS:
        words = brief(value) if value else "0"
        return words if len(words) <= ROOM else f"{_number(value / _DAY)}d"
    return f"{_number(value)}{unit if value else ''}"


def moments(seconds: float, width: int) -> list[tuple[int, str]]:
    """Marks of the last so many seconds over `width` cells: where each begins, and its words.

    Each stands over the cell of its moment, and is a whole number of seconds, minutes, hours or days ago.
    """
    now = (max(width - len("now"), 0), "now")
    for step in _from(seconds / MOMENTS, _TIMES[_WHOLE:]):
        if step > seconds * (1 + _NEAR):
            break
        placed = [
            _placed(step * place, seconds, width) for place in range(int(seconds / step + _NEAR), 0, -1)
        ]
        if all(
            at + len(words) < after
            for (at, words), (after, _) in zip(placed, [*placed[1:], now], strict=True)
        ):
            return [*placed, now]
    return [now]


def _placed(ago: float, seconds: float, width: int) -> tuple[int, str]:
    words = f"-{brief(ago).replace(' ', '').replace('.0', '')}"
    cell = min(int(width * (1 - ago / seconds) + _NEAR), width - 1)
    return max(cell - len(words) // 2, 0), words


def _steps(least: float, unit: str, *, whole: bool) -> Iterator[float]:
    """Distances between two marks that are easy to read, from about `least` up."""
    if unit == SECONDS:
        yield from _from(least, _TIMES)
    for power in count(math.floor(math.log10(least))):
        steps = (one * 10.0**power for one in _STEPS)
        yield from (step for step in steps if not whole or step.is_integer())


def _from(least: float, steps: tuple[float, ...]) -> Iterator[float]:
    yield from (step for step in steps if step >= least * (1 - _NEAR))
    days = _DAY
    while True:
        yield from (days * one for one in (2.0, 5.0, 10.0))
        days *= 10.0


def _number(value: float) -> str:
    if value >= _HUGE:
        return f"{value:.1e}"
    for least, name in _BIG:
        if value >= least * (1 - _NEAR):
            return f"{value / (1e3 if name == 'k' else least):.4g}{name}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"  # noqa: PLR2004
