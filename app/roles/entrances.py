"""Where a manager listens: each address as soon as what carries it is ready, and none waits for another.

A network whose administrator has not let this node in yet must not keep those out who come another way. Who
comes in is the business of the door.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Self, TypeAlias

import anyio
from anyio.abc import ByteStream, TaskGroup

from ..core.errors import TaskMessengerError, Unreachable
from ..net.address import Address
from ..net.transport import Carriers, Listener, transport_for

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 3.0
"""How long the start of a manager waits for an address that is not ready; a private network needs no time."""
PAUSE_SECONDS: Final = 1.0
"""Between two waits for an address that is not ready, each of which takes its time by itself."""
ComeIn: TypeAlias = Callable[[str, ByteStream], Coroutine[Any, Any, None]]
"""Is given the scheme of the listener's address, and the stream."""


class Entrances:
    """The listeners of one manager, closed at the end."""

    def __init__(self, carriers: Carriers, changed: Callable[[Sequence[Address]], None]) -> None:
        """`changed` is told all addresses at which somebody listens, whenever there is another one."""
        self._carriers, self._changed = carriers, changed
        self._open: dict[int, tuple[Address, Listener]] = {}
        """By the place that was asked for, so that the first that was named stays the first."""
        self._late: dict[int, Address] = {}
        self._waiting = anyio.CancelScope()

    async def open(self, addresses: Sequence[Address]) -> None:
        """Listen at all that are ready, or are so in a moment.

        Raises:
            ConfigError, Conflict, TimedOut, UsageError: one of them cannot be had; says why.
        """
        placed = list(enumerate(addresses))
        # Those of this system first: connections wait there while the others get ready.
        for place, address in sorted(placed, key=lambda each: each[1].scheme == "zt"):
            try:
                await self._listen(place, address, FIRST_SECONDS)
            except Unreachable as error:
                log.warning("nobody listens at %s yet: %s", address, error)
                self._late[place] = address
        self._tell()

    def serve(self, tasks: TaskGroup, come_in: ComeIn) -> None:
        """Let come in who comes, there and at those that become ready later."""
        for _, listener in self._open.values():
            _serve(tasks, listener, come_in)
        if self._late:
            tasks.start_soon(self._open_late, tasks, come_in)

    async def aclose(self) -> None:
        """Nobody comes in any more; who has, stays."""
        self._waiting.cancel()
        for _, listener in self._open.values():
            await listener.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _open_late(self, tasks: TaskGroup, come_in: ComeIn) -> None:
        with self._waiting:
            for place, address in self._late.items():
                await self._open_one_late(tasks, come_in, place, address)

    async def _open_one_late(self, tasks: TaskGroup, come_in: ComeIn, place: int, address: Address) -> None:
        while True:
            try:
                listener = await self._listen(place, address)
            except Unreachable:
                await anyio.sleep(PAUSE_SECONDS)  # what has to be done is told by whoever carries the address
            except TaskMessengerError as error:
                log.error("nobody listens at %s: %s", address, error)  # noqa: TRY400  a sentence, no bug
                return
            else:
                _serve(tasks, listener, come_in)
                self._tell()
                log.info("the manager listens at %s now", self._open[place][0])
                return

    async def _listen(self, place: int, address: Address, *patience: float) -> Listener:
        address = await self._carriers.before_listening(address, *patience)
        listener = await transport_for(address).listen(address)
        self._open[place] = (address.with_port(listener.address.port), listener)
        return listener

    def _tell(self) -> None:
        self._changed([self._open[place][0] for place in sorted(self._open)])


def _serve(tasks: TaskGroup, listener: Listener, come_in: ComeIn) -> None:
    tasks.start_soon(listener.serve, partial(come_in, listener.address.scheme), tasks)
