"""Reads the errors that tasks ended with: msgpack of `ErrorInfo`, as a worker sent it."""

from __future__ import annotations

from typing import Final

import msgspec

from ..handle import ErrorInfo

_DECODER: Final = msgspec.msgpack.Decoder(ErrorInfo)


def decode_error(blob: bytes | None) -> ErrorInfo | None:
    """What `blob` says; one that cannot be read says so, because a page must not fail for it."""
    if blob is None:
        return None
    try:
        return _DECODER.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return ErrorInfo("unreadable", f"the error of this task cannot be read: {error}")


def message_of(blob: bytes | None) -> str | None:
    """All of the message."""
    info = decode_error(blob)
    return None if info is None else info.message


def first_line(blob: bytes | None) -> str | None:
    """The message up to its first line break."""
    message = message_of(blob)
    return None if message is None else next(iter(message.splitlines()), "")
