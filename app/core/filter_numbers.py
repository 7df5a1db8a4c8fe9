"""Numbers, lengths of time and moments as the filter language writes them. Knows no field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

Bounds = tuple[float | None, float | None]
"""Low and high. A single value has the same twice; an age has the moment, and None."""
Converter = Callable[[str], float]

MAX_NUMBER: Final = 2**53
"""Larger ones are not exact as floats."""
MAX_SECONDS: Final = 100 * 365 * 86_400.0
_DAY: Final = 86_400.0
_YEAR_10000: Final = 253_402_300_800
_NUMBER: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(ms|s|m|min|h|d|w)", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": _DAY, "w": 7 * _DAY}
_BARE: Final = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.ASCII)
_EPOCH: Final = re.compile(r"@(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.ASCII)


def number_bounds(text: str) -> Bounds:
    """`5`, `2..7`, `2..` or `..7`.

    Raises:
        ValueError: says in a few words what it is not.
    """
    return _ends(text, _number, _number)


def run_bounds(text: str) -> Bounds:
    """Seconds: `2s`, `500ms`, `1m30s`, `1s..5s`; a bare number is seconds.

    Raises:
        ValueError: says in a few words what it is not.
    """
    return _ends(text, seconds, seconds)


def moment_bounds(text: str, now: float) -> Bounds:
    """Seconds since the epoch: an age such as `10m` (with None as its other end), a day, or a time of day.

    Raises:
        ValueError: says in a few words what it is not.
    """
    if ".." not in text:
        if _is_age(text):
            return now - seconds(text), None
        return _moment(text, now, last=False), _moment(text, now, last=True)
    first, _, second = text.partition("..")
    low = _moment(first, now, last=False) if first else None
    high = _moment(second, now, last=True) if second else None
    if low is not None and high is not None and low > high:  # ages are written the young one first
        low, high = _moment(second, now, last=False), _moment(first, now, last=True)
    if low is None and high is None:
        raise ValueError("has no end: write a..b")
    return low, high


def _ends(text: str, one: Converter, other: Converter) -> Bounds:
    if ".." not in text:
        return one(text), other(text)
    first, _, second = text.partition("..")
    low, high = (one(first) if first else None), (other(second) if second else None)
    if low is None and high is None:
        raise ValueError("has no end: write a..b")
    if low is not None and high is not None and low > high:
        raise ValueError("goes from the larger to the smaller: turn it round")
    return low, high


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or abs(int(text)) > MAX_NUMBER:
        raise ValueError(f"is not a whole number up to {MAX_NUMBER}")
    return int(text)


def seconds(text: str) -> float:
    """`90`, `90s`, `500ms`, `1h30m`, `3d`, `2w` in seconds.

    Raises:
        ValueError: it is none of these.
    """
    parts = _LENGTH.findall(text)
    if _BARE.fullmatch(text):
        found = float(text)
    elif parts and "".join(number + unit for number, unit in parts) == text:
        found = math.fsum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        raise ValueError("is not a length of time: write 30s, 500ms, 10m, 2h, 3d or 1h30m")
    if not found <= MAX_SECONDS:
        raise ValueError("is longer than a hundred years")
    return found


def _is_age(text: str) -> bool:
    return _LENGTH.match(text) is not None


def _moment(text: str, now: float, *, last: bool) -> float:
    """The first, or the `last`, moment that is meant."""
    if _is_age(text):
        return now - seconds(text)
    if epoch := _EPOCH.fullmatch(text):
        return float(epoch.group(1))
    try:
        found = datetime.fromisoformat(text)
        moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            "is no moment: write an age such as 10m, 2h or 3d, a day such as 2026-11-22, or"
            " 2026-11-22T10:00Z (UTC if no zone is said)"
        ) from None
    return math.nextafter(moment + _DAY, 0.0) if last and len(text) <= len("2026-11-22") else moment


def moment_text(moment: float) -> str:
    """A moment so that the same one is read again."""
    if moment.is_integer() and 0 <= moment < _YEAR_10000:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"@{moment!r}"


def duration_text(length: float) -> str:
    """A length of time so that the same one is read again."""
    return f"{length!r}s" if not float(length).is_integer() else f"{int(length)}s"
