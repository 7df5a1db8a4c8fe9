"""What a worker's own operator steers and sees: pause, disconnect, what running tasks say of themselves."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from ..net.protocol import Wire

MAX_TOLD: Final = 4_096
"""Running tasks whose word is kept; beyond that the oldest is forgotten."""
MAX_OUTPUT: Final = 16_384
"""Bytes of a running task's newest output that are kept."""


class Controls:
    """One worker's."""

    def __init__(self) -> None:
        self.reason = ""
        """Why there is no session, in a sentence."""
        self.told: dict[int, tuple[int, float | None, str, bytes]] = {}
        """By task: attempt, fraction, note, newest output."""
        self.sent = self.received = 0
        """Bytes of the links that are gone."""
        self.leave_by: float | None = None
        """Wall clock: by then it has left, once it drains."""
        self.leaving = 0
        """Tasks that it held when it began to."""
        self._wanted = anyio.Event()
        self._wanted.set()

    @property
    def apart(self) -> bool:
        """Whether the operator wants no session."""
        return not self._wanted.is_set()

    def part(self) -> None:
        """No session from now on."""
        if not self.apart:
            self._wanted = anyio.Event()
            self.reason = "disconnected by its operator"

    def meet(self) -> None:
        """A session again."""
        self._wanted.set()

    def lost(self, reason: str) -> str:
        """A session has ended; answers with the reason, and keeps it unless there is a better one."""
        if not self.apart:
            self.reason = reason
        return reason

    def carried(self, wire: Wire) -> None:
        """That link is gone."""
        self.sent += wire.sent
        self.received += wire.received

    def leaves(self, held: int, deadline: float) -> None:
        """It begins to drain, with so many tasks and so many seconds."""
        self.leaving, self.leave_by = held, time() + deadline

    async def wanted(self) -> None:
        """Until a session is wanted."""
        await self._wanted.wait()

    def hear(self, task: int, attempt: int, fraction: float | None, note: str, output: bytes) -> None:
        """What a running task says."""
        before = self.told.pop(task, None)
        if before is not None and before[0] == attempt:
            output = before[3] + output
        self.told[task] = (attempt, fraction, note, output[-MAX_OUTPUT:])
        if len(self.told) > MAX_TOLD:
            del self.told[next(iter(self.told))]
