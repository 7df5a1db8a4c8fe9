"""Text, bytes or a list, back to front."""

from __future__ import annotations

from typing import Any

from ._arguments import wrong

DESCRIPTION = "text, bytes or a list, back to front"
EXAMPLE = "stressed"
FINAL = (ValueError,)


def handle(payload: Any) -> Any:
    """The payload back to front, of the same type.

    Raises:
        ValueError: none of text, bytes and list.
    """
    if not isinstance(payload, str | bytes | list):
        raise wrong("reverse", "text, bytes or a list", payload)
    return payload[::-1]
