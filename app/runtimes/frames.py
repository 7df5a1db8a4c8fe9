"""How a worker and its child processes cut their conversation into messages: a length, then a msgpack list.

Worker to child: `[kind, source, files, digest, directory]` once, then `[payload, task, attempt]` for a job.
Child to worker: `["ready"]`, then `["loaded"]`, `["broken", why]` or `["changed"]`, and for each job
`["report", progress, note, output]` and in the end `["done", result, spoiled, left]` or
`["failed", code, message, stack, spoiled, left]`: `spoiled` says why the child can take no other job, `left`
what lay in its working directory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgpack

from ..core.errors import FrameTooLarge, PeerError
from .payload import MAX_BYTES

HEADER: Final = struct.Struct(">I")
MAX_FRAME: Final = MAX_BYTES + 64 * 1024
"""A payload or result with its surroundings."""


def frame(*parts: Any) -> bytes:
    """One message, ready to send."""
    body: bytes = msgpack.packb(parts)
    return HEADER.pack(len(body)) + body


def parse(body: bytes | bytearray) -> list[Any]:
    """The message in a frame.

    Raises:
        PeerError: it is none.
    """
    try:
        message = msgpack.unpackb(body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise PeerError(f"not a message: {type(error).__name__}") from error
    if not isinstance(message, list) or not message:
        raise PeerError("not a message: no list")
    return message


def body_size(header: bytes | bytearray) -> int:
    """How many bytes follow.

    Raises:
        FrameTooLarge: more than a message can have.
    """
    size: int = HEADER.unpack_from(header)[0]
    if size > MAX_FRAME:
        raise FrameTooLarge(f"a message of {size:,} bytes; {MAX_FRAME:,} are allowed")
    return size


class Splitter:
    """Cuts a stream into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """Every message that `data` completes.

        Raises:
            FrameTooLarge, PeerError: the stream is of no use any more.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            end = HEADER.size + body_size(self._buffer)
            if len(self._buffer) < end:
                return
            body = self._buffer[HEADER.size : end]
            del self._buffer[:end]
            yield parse(body)
