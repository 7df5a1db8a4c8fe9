"""Lengths of time for people: in a sentence, and short in a cell of a table."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
_FEW: Final = 10
_ROUNDED: Final = 9.95
"""Seconds from which on no part of one is told: 59.7 are a minute."""
_MINUTE: Final = 60
_SECOND: Final = 0.9995
"""Less than this is told in milliseconds, of which there are never a thousand."""
_HALF: Final = 0.5
_MANY: Final = 100
"""Days beside which hours are of no interest."""


def span(seconds: float | None) -> str:
    """In a sentence: `20 ms`, `1.5 s`, `12 s`, `5 min 46 s`, `2 h 30 min`, `24 d`."""
    return _told(seconds, " ")


def brief(seconds: float | None) -> str:
    """The same in at most seven characters: `20 ms`, `12 s`, `5m 46s`, `2h 30m`, `24d`."""
    return _told(seconds, "")


def _told(seconds: float | None, gap: str) -> str:
    if seconds is None:
        return ""
    if _ROUNDED <= seconds < _MINUTE:
        seconds = round(seconds)
    for size, unit, part, smaller in _UNITS:
        if seconds >= size:
            many, rest = divmod(int(seconds), size)
            text = _one(many, unit, gap)
            left = 0 if size == _UNITS[0][0] and many >= _MANY else rest // part
            return f"{text} {_one(left, smaller, gap)}" if left else text
    if seconds >= _SECOND or seconds <= 0:
        return f"{max(0, seconds):.0f} s" if seconds >= _FEW or seconds <= 0 else f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds * 1000 > _HALF else "<1 ms"


def _one(number: int, unit: str, gap: str) -> str:
    return f"{number}{gap}{unit if gap else unit[0]}"
