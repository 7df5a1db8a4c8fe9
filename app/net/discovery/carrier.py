"""The seam between discovery and what carries its datagrams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

Place: TypeAlias = tuple[str, int]
"""Address and port of a datagram's sender."""
Hear: TypeAlias = Callable[[bytes, Place, "Carrier"], Awaitable[None]]
"""Is given every datagram that arrives, whence it came and by what."""


class Carrier(Protocol):
    """Carries datagrams to everybody near, or to one place; loses them when it must, and does not tell."""

    @property
    def name(self) -> str:
        """For people: `lan`, `overlay`."""
        ...

    async def listen(self, hear: Hear) -> None:
        """Hand on what arrives, until cancelled; of a datagram that is too long one byte too many will do."""
        ...

    async def send(self, data: bytes, to: Place | None = None) -> bool:
        """To one place, or to everybody; whether it could be sent at all. Raises nothing, hardly waits."""
        ...

    def close(self) -> None:
        """Give the sockets back. Call it when `listen` has ended."""
        ...
