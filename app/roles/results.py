"""Whether results are what they may be: not too large, one msgpack value, no deeper than it can be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from ..core.blob import error_blob

_T = TypeVar("_T")
BAD_RESULT: Final = "bad_result"
_read: Final = msgspec.msgpack.Decoder(msgspec.Raw)
_NOT_ONE: Final = error_blob(
    BAD_RESULT, "the result is not one msgpack value, or is nested too deeply: see to the worker"
)
_BROKEN: Final = (msgspec.DecodeError, RecursionError)


def bad_results(results: Sequence[bytes], most: int) -> Mapping[int, bytes]:
    """By place, the error of each that cannot be taken. All are looked at in one go: mostly all are good."""
    if max(map(len, results), default=0) <= most and _all_good(results):
        return {}
    return {place: error for place, result in enumerate(results) if (error := _error(result, most))}


def without(column: Sequence[_T], places: Mapping[int, bytes]) -> list[_T]:
    """Its values at all other places."""
    return [value for place, value in enumerate(column) if place not in places]


def _all_good(results: Sequence[bytes]) -> bool:
    """Whether each is one value."""
    try:
        deque(map(_read.decode, results), maxlen=0)
    except _BROKEN:
        return False
    return True


def _error(result: bytes, most: int) -> bytes | None:
    if len(result) > most:
        return error_blob(
            BAD_RESULT,
            f"the result has {len(result):,} bytes, over this manager's limit of {most:,}"
            " (tasks.max_payload): return less, or write it where others can read it",
        )
    try:
        _read.decode(result)
    except _BROKEN:
        return _NOT_ONE
    return None
