"""What could come next while somebody types a filter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from .filter import FIELDS, GROUPS, RANGES
from .lifecycle import TaskState

MOST: Final = 50
"""Candidates at a time."""
_VALUE: Final = re.compile(r"-?([A-Za-z_]+)(?:<=|>=|[:=<>])(?:[^\s\"]*,)?([^\s\",]*)")
_LENGTHS: Final = ("10m", "1h", "24h", "7d")
_SPANS: Final = ("100ms", "1s", "10s", "1m")


def complete(
    text: str, column: int, known: Mapping[str, Sequence[str]] | None = None
) -> tuple[int, list[str]]:
    """Where the word before `column` begins (from 0), and what it could become, best first.

    `known`: values that there are, by field (`kind`, `worker`, `batch`).
    """
    before = text[:column]
    word = re.search(r"\S*\Z", before)
    assert word is not None
    if before.count('"') % 2 or '"' in word.group():
        return column, []
    value = _VALUE.fullmatch(word.group())
    if value is not None:
        name, begun = value.group(1).lower(), value.group(2)
        return column - len(begun), _fitting(_values(name, known or {}), begun)
    begun = word.group().removeprefix("-")
    fields = [f"{name}:" for name in FIELDS if name != "text"]
    fields += [f"{name}>" for name in RANGES if name != "id"] if begun else []
    return column - len(begun), _fitting(fields, begun)


def _values(name: str, known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if name == "state":
        return [state.word for state in TaskState] + list(GROUPS)
    if name in {"submitted", "finished"}:
        return _LENGTHS
    return _SPANS if name == "run" else known.get(name, ())


def _fitting(candidates: Sequence[str], begun: str) -> list[str]:
    """Those that begin like this, then those that contain it."""
    begun = begun.lower()
    starts = [one for one in candidates if one.lower().startswith(begun) and one.lower() != begun]
    inside = [one for one in candidates if begun in one.lower()[1:] and one not in starts] if begun else []
    return (starts + inside)[:MOST]
