"""Lines, words and characters of a text."""

from __future__ import annotations

from typing import Any

from ._arguments import wrong

DESCRIPTION = "lines, words and characters of a text"
EXAMPLE = "the quick brown fox\njumps"
FINAL = (ValueError,)


def handle(payload: Any) -> dict[str, int]:
    """How many there are; a last line without a line end counts.

    Raises:
        ValueError: not text.
    """
    if not isinstance(payload, str):
        raise wrong("wordcount", "text", payload)
    return {"lines": len(payload.splitlines()), "words": len(payload.split()), "characters": len(payload)}
