"""Whether results are what they may be: not too large, one msgpack value, no deeper than it can be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgpack
import msgspec
from anyio.lowlevel import checkpoint

from ..core.blob import error_blob

_T = TypeVar("_T")
BAD_RESULT: Final = "bad_result"
PART: Final = 256 * 1024
"""Bytes of a large result that are looked at in one go: a few milliseconds at most."""
AT_ONCE: Final = 1024 * 1024
"""A larger one is looked at in parts."""
_BLOBS: Final = frozenset({0xC6, 0xDB})
"""How large bytes, and large text, begin in msgpack; four bytes of length follow."""
_BLOB_HEAD: Final = 5
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


async def bad_in_parts(result: bytes, most: int) -> Mapping[int, bytes]:
    """The same for one large result: a part at a time, so that nobody else waits for all of it."""
    if len(result) > most:
        return {0: _too_large(result, most)}
    view = memoryview(result)
    if view[0] in _BLOBS and len(view) == _BLOB_HEAD + int.from_bytes(view[1:_BLOB_HEAD], "big"):
        return {}  # bytes or text, and nothing else: it needs no look at each
    reader = msgpack.Unpacker(max_buffer_size=len(result) + 1)
    for start in range(0, len(view), PART):
        reader.feed(view[start : start + PART])
        try:
            reader.skip()
        except msgpack.OutOfData:
            await checkpoint()
        except (ValueError, msgpack.UnpackException):
            break
        else:
            return {} if reader.tell() == len(view) else {0: _NOT_ONE}
    return {0: _NOT_ONE}


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
        return _too_large(result, most)
    try:
        _read.decode(result)
    except _BROKEN:
        return _NOT_ONE
    return None


def _too_large(result: bytes, most: int) -> bytes:
    return error_blob(
        BAD_RESULT,
        f"the result has {len(result):,} bytes, over this manager's limit of {most:,}"
        " (tasks.max_payload): return less, or write it where others can read it",
    )
