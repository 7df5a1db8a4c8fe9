"""Returns its payload."""

from __future__ import annotations

from typing import Any

DESCRIPTION = "returns its payload"
EXAMPLE = "hello"


async def handle(payload: Any) -> Any:
    """The payload, whatever it is."""
    return payload
