"""What the built-in kinds ask of their payloads, and how they say that they did not get it."""

from __future__ import annotations

from typing import Any

Number = int | float


def wrong(kind: str, wanted: str, got: Any) -> ValueError:
    """The error for a payload of another type than wanted."""
    return ValueError(f"{kind} wants {wanted}, not {type(got).__name__}")


def number(value: Any, kind: str) -> Number:
    """`value` as a number: an int stays one, and text is read.

    Raises:
        ValueError: it is none; the text names the kind that wants it.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise wrong(kind, "numbers or text holding them", value)
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    raise ValueError(f"{kind} wants numbers, and {value.strip()[:40]!r} is none")
