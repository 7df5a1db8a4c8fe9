"""Which payloads of open tasks stay in memory: small ones, and others while there is room. The store has all.

A lease that is granted in the batch of its submission carries its payload whatever the size: what is let go
is let go at the end of the batch.
"""

from __future__ import annotations

from typing import Final

from .state import Task

SMALL: Final = 1024
"""Bytes up to which a payload is not worth counting."""
KEEP_ONE: Final = 64 * 1024
"""Bytes above which a payload is never kept."""
KEEP_ALL: Final = 256 * 1024 * 1024
"""Bytes of all payloads that are kept and are not small."""


class Kept:
    """Counts the payloads that are not small."""

    __slots__ = ("fresh", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes."""
        self.fresh: list[Task] = []
        """Submitted in this batch."""

    def add(self, task: Task) -> None:
        """A task that was just submitted, and whose payload is not small."""
        assert task.payload is not None
        self.size += len(task.payload)
        self.fresh.append(task)

    def gone(self, payload: bytes) -> None:
        """A task has ended that still had its payload here."""
        if len(payload) > SMALL:
            self.size -= len(payload)

    def let_go(self) -> None:
        """The batch is decided: what is too large, or too much, is in the store from now on."""
        for task in self.fresh:
            payload = task.payload
            if payload is not None and (len(payload) > KEEP_ONE or self.size > KEEP_ALL):
                self.size -= len(payload)
                task.payload = None
        self.fresh.clear()
