"""The one thing the core says in the payload format: an error of its own making.

The core knows no codec and needs none for a map of two short strings, which reads as `handle.ErrorInfo`.
"""

from __future__ import annotations

from typing import Final

_SHORT: Final = 256
"""Bytes of a msgpack `str 8`, the only length written here."""


def _text(text: str) -> bytes:
    data = text.encode()
    assert len(data) < _SHORT
    return b"\xd9" + bytes([len(data)]) + data


def error_blob(code: str, message: str) -> bytes:
    """Msgpack of `{"code": code, "message": message}`."""
    return b"\x82" + _text("code") + _text(code) + _text("message") + _text(message)
