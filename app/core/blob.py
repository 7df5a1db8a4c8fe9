"""The one thing the core says in the payload format: an error of its own making.

The core knows no codec and needs none for a map of short texts, which reads as `handle.ErrorInfo`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SHORT: Final = 256
"""Bytes of a msgpack `str 8`."""
_LONG: Final = 65_536
"""Bytes of a msgpack `str 16`."""
_MOST: Final = 15
"""Entries of a msgpack `fixmap`."""


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if len(data) < _SHORT:
        return b"\xd9" + bytes([len(data)]) + data
    assert len(data) < _LONG
    return b"\xda" + len(data).to_bytes(2, "big") + data


def error_blob(code: str, message: str, evidence: Mapping[str, str] | None = None) -> bytes:
    """Msgpack of `{"code": code, "message": message}`, and of the evidence when there is any."""
    told = _text("code") + _text(code) + _text("message") + _text(message)
    if not evidence:
        return b"\x82" + told
    assert len(evidence) <= _MOST
    parts = b"".join(_text(name) + _text(value) for name, value in evidence.items())
    return b"\x83" + told + _text("evidence") + bytes([0x80 | len(evidence)]) + parts
