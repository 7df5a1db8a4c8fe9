"""What must run so that addresses can be listened at and dialled: made here from a configuration, and ended.

The one place that knows which schemes need a program of ours underneath. It starts nothing by itself: an
address that is listened at or dialled does.
"""

from __future__ import annotations

import os
from math import inf
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from ..config.model import ManagerConfig, ManagerZeroTier, WorkerZeroTier
from ..paths import Paths
from .address import Address
from .approach import Approach

if TYPE_CHECKING:
    from .zerotier.neighbours import Neighbours
    from .zerotier.overlay import Overlay
    from .zerotier.status import NodeStatus


class Listening:
    """A manager's `transport.Carriers`."""

    def __init__(self, config: ManagerConfig, paths: Paths) -> None:
        self._config, self._paths = config, paths
        self._overlay: Overlay | None = None
        self._neighbours: Neighbours | None = None

    async def before_listening(self, address: Address, patience: float = inf) -> Address:
        """As `Carriers` has it."""
        if address.scheme != "zt":
            return address
        if self._overlay is None:
            from .zerotier.neighbours import Neighbours

            self._overlay = overlay_of("manager", self._config.zerotier, self._paths)
            self._neighbours = Neighbours()
        return await self._overlay.listen(address, patience)

    def check(self, address: str, carrier: str) -> None:
        """As `Carriers` has it."""
        if self._neighbours is not None:
            self._neighbours.check(address, carrier)

    def admitted(self, address: str, carrier: str) -> None:
        """As `Carriers` has it."""
        if self._overlay is None or self._neighbours is None:
            return
        if self._neighbours.admitted(address, carrier):
            self._overlay.remember(carrier)

    def look(self) -> NodeStatus | None:
        """The ZeroTier node that was started, as it is now."""
        return self._overlay.look() if self._overlay is not None else None

    async def report(self) -> None:
        """Let other processes see how what was started is; until cancelled."""
        if self._overlay is not None:
            await self._overlay.report()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what was started."""
        if self._overlay is not None:
            await self._overlay.stop()


def overlay_of(role: str, config: ManagerZeroTier | WorkerZeroTier, paths: Paths) -> Overlay:
    """The ZeroTier node of a role, not started yet."""
    from .zerotier.overlay import Overlay, places_of

    return Overlay(config, places_of(role, config, paths))


def approach_of(role: str, config: WorkerZeroTier, paths: Paths) -> Approach:
    """The dialling end of a member that runs as a process of its own: a worker."""
    return Approach(lambda: overlay_of(role, config, paths))


def approach_for_a_command(role: str, paths: Paths) -> Approach:
    """The dialling end of one command of a client or operator; several of them may run at a time.

    The first has the node that is kept for this role, the others get one for the moment: the same node twice
    would be two that nobody can tell apart. What the worker's settings say about ZeroTier holds for commands,
    too, except for identity and port, which are the worker's own.
    """

    def make() -> Overlay:
        from ..config import load
        from .zerotier.overlay import Overlay, places_for_now, places_of

        settings = load("worker", {}, os.environ, paths).config.zerotier
        config = replace(settings, identity_path="", port=0)
        return Overlay(config, places_for_now(places_of(role, config, paths)))

    return Approach(make)
