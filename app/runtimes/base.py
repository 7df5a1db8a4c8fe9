"""What a runtime is: something that turns a job into how it ended, and can be asked to end it early.

A runtime never raises for what a task does; it reports. It does not know sessions, leases or managers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import msgspec

from ..handle import ErrorInfo

SUCCEEDED, FAILED, TIMED_OUT, CRASHED, CANCELLED, STUCK = range(6)
"""How an attempt ended. CRASHED: its process died. STUCK: it was to end and does not (threads only)."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One attempt to run."""

    task: int
    attempt: int
    kind: str
    payload: bytes
    """A msgpack value."""
    timeout: float | None = None
    """Seconds; None for no limit."""


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt ended."""

    status: int
    seconds: float
    """Time it ran, on this machine's monotonic clock."""
    result: bytes | None = None
    """A msgpack value; only, and always, when it succeeded."""
    error: ErrorInfo | None = None
    """Always when it did not succeed."""


Report = Callable[[int, int, float | None, str, bytes], None]
"""Called from the event loop's thread with task, attempt, progress (0 to 1 or None), note, output."""


class Runtime(Protocol):
    """One way to run jobs: on the event loop, in a thread, in a process."""

    async def run(self, job: Job) -> Ended:
        """Run it to its end. Cancelling the caller kills what can be killed."""
        ...

    def cancel(self, task: int) -> None:
        """Ask for the end of a running job; `run` then returns CANCELLED, or STUCK where it does not end."""
        ...

    def lingering(self, task: int) -> anyio.Event | None:
        """After STUCK: set when the job really ends at last. None when nothing lingers."""
        ...

    async def aclose(self) -> None:
        """End everything, for good."""
        ...
