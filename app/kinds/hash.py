"""The SHA-256 digest of text or bytes."""

from __future__ import annotations

import hashlib
from typing import Any

from ._arguments import wrong

DESCRIPTION = "SHA-256 of text (as UTF-8) or bytes, in hexadecimal"
EXAMPLE = "hello"
FINAL = (ValueError,)


def handle(payload: Any) -> str:
    """The digest, 64 hexadecimal digits.

    Raises:
        ValueError: neither text nor bytes.
    """
    if isinstance(payload, str):
        payload = payload.encode()
    if not isinstance(payload, bytes):
        raise wrong("hash", "text or bytes", payload)
    return hashlib.sha256(payload).hexdigest()
