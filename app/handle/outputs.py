"""What attempts of a task wrote, as values that cross threads and wires."""

from __future__ import annotations

import msgspec


class TaskOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last part of what one attempt wrote, as far as it is kept."""

    task: int
    attempt: int
    start: int = 0
    """Bytes that it wrote before these, which are not here."""
    data: bytes = b""
    """As it came: escape it before it is shown."""
    written: tuple[tuple[int, int, int], ...] = ()
    """Of each attempt that wrote something and is remembered: its number, bytes written, bytes kept."""
    live: bool = False
    """It runs, and this is the newest of what was heard of it."""
