"""Text in capital letters."""

from __future__ import annotations

from typing import Any

from ._arguments import wrong

DESCRIPTION = "text in capital letters"
EXAMPLE = "hello"
FINAL = (ValueError,)


def handle(payload: Any) -> str:
    """The text in capital letters.

    Raises:
        ValueError: not text.
    """
    if not isinstance(payload, str):
        raise wrong("upper", "text", payload)
    return payload.upper()
