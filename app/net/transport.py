"""The seam between sessions and what carries their bytes: dial, listen, and errors an operator can act on.

Streams are anyio's own: they end with `EndOfStream`, break with `BrokenResourceError`, and raise
`ClosedResourceError` once this side closed them. Every implementation passes the same contract suite, which
also asks for what sessions rely on: a cancelled `receive` loses nothing, memory is bounded when nobody reads,
and closing wakes whoever waits. A cancelled `send` may have sent a part: such a stream is of no further use.

It knows no protocol, no TLS and no policy; those lie above.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Protocol, TypeAlias

import anyio
from anyio.abc import ByteStream, TaskGroup

from ..core.errors import Conflict, Refused, TaskMessengerError, Unreachable, UsageError
from .address import Address

DIAL_SECONDS: Final = 10.0
"""How long a dial may take, with looking up the name."""
BACKLOG: Final = 1024
"""Connections that may wait to be accepted; the system may allow fewer."""
SILENT: Final = frozenset({"zt"})
"""Schemes whose links do not break when the process at the other end is killed."""
SILENT_HEARTBEAT: Final = 0.75
SILENT_DEAD_AFTER: Final = 2.5

Handler: TypeAlias = Callable[[ByteStream], Coroutine[Any, Any, None]]
"""Is given a new stream, owns it and closes it."""


class Listener(Protocol):
    """Takes connections at one address until it is closed."""

    @property
    def address(self) -> Address:
        """Where it really listens; never port 0."""
        ...

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        """Start `handler` for each connection, in `task_group` or one of its own; returns once closed.

        With a group of its own it also waits for the handlers.

        Raises:
            anyio.ClosedResourceError: it was closed before.
            anyio.BusyResourceError: it is being served already.
        """
        ...

    async def aclose(self) -> None:
        """Take no more connections; those that were taken go on."""
        ...


class Transport(Protocol):
    """One way to carry bytes, known by the scheme of its addresses."""

    @property
    def scheme(self) -> str: ...

    async def dial(self, address: Address) -> ByteStream:
        """A stream to whoever listens there, within `DIAL_SECONDS`.

        Raises:
            Unreachable: nobody answers. Refused: this user may not. UsageError: no such place can be dialled.
        """
        ...

    async def listen(self, address: Address) -> Listener:
        """Take the address; connections wait from now on, until they are served.

        Raises:
            Conflict: someone else has it. UsageError: it cannot be had on this machine or by this user.
        """
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What whoever dials has to know of an address for which everything has been made ready."""

    carrier: str = ""
    """Who this end is to what carries the link; see `Hello.carrier`."""
    dial_seconds: float = inf
    """How long this dial may take, where that is less than the transport allows."""
    dials: int = 1
    """How often it is tried before nobody is said to answer."""


Prepare: TypeAlias = Callable[[Address], Coroutine[Any, Any, Prepared]]
"""Is asked before an address is dialled, to start what has to run for that."""


class Carriers(Protocol):
    """What a listening end asks of what carries its links, where that is a program of ours as well."""

    async def before_listening(self, address: Address, patience: float = inf) -> Address:
        """Start what the address needs; answers with the one to listen at, the way to it included.

        Raises:
            ConfigError, Conflict, TimedOut, UsageError: it cannot be started; says why.
            Unreachable: it runs, and is not ready after `patience` seconds: ask again.
        """
        ...

    def check(self, address: str, carrier: str) -> None:
        """Whether a peer that comes from `address` can be who it says it is (`Hello.carrier`).

        Raises:
            AddressTaken: somebody else has that address. Refused: it cannot.
        """
        ...

    def admitted(self, address: str, carrier: str) -> None:
        """A member that was checked has been let in."""
        ...


class NoCarriers:
    """For addresses that the system carries by itself."""

    async def before_listening(self, address: Address, patience: float = inf) -> Address:
        return address

    def check(self, address: str, carrier: str) -> None:
        pass

    def admitted(self, address: str, carrier: str) -> None:
        pass


async def nothing_to_prepare(_: Address) -> Prepared:
    """For addresses that this system carries by itself."""
    return Prepared()


def pulse(scheme: str, heartbeat: float, dead_after: float) -> tuple[float, float]:
    """Seconds between signs of life, and of silence after which a link is given up, for links of this scheme.

    Where a link does not break when the process at its other end dies, only silence tells, so it is to be
    noticed sooner. A session that was given up too early costs little: it is resumed, and leases go on.
    """
    if scheme in SILENT:
        return min(heartbeat, SILENT_HEARTBEAT), min(dead_after, SILENT_DEAD_AFTER)
    return heartbeat, dead_after


def transport_for(address: Address) -> Transport:
    """The transport of this address' scheme; it is imported when first asked for.

    Raises:
        UsageError: nothing carries that scheme.
    """
    make = _TRANSPORTS.get(address.scheme)
    if make is None:
        raise UsageError(f"{address} cannot be used: nothing here carries {address.scheme}://")
    return make()


def _tcp() -> Transport:
    from .tcp import TcpTransport

    return TcpTransport()


def _unix() -> Transport:
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("unix:// cannot be used: this system has no Unix sockets; use tcp://127.0.0.1")
    from .unix import UnixTransport

    return UnixTransport()


def _memory() -> Transport:
    from .memory import shared

    return shared()


def _zerotier() -> Transport:
    from .zerotier.transport import ZeroTierTransport

    return ZeroTierTransport()


_TRANSPORTS: Final[Mapping[str, Callable[[], Transport]]] = {
    "tcp": _tcp,
    "unix": _unix,
    "mem": _memory,
    "zt": _zerotier,
}


@contextmanager
def dialling(address: Address) -> Iterator[None]:
    """Turns what can go wrong on the way to `address` into our errors, and bounds it with `DIAL_SECONDS`."""
    try:
        with anyio.fail_after(DIAL_SECONDS):
            yield
    except TimeoutError as error:
        # Also what the system raises when it gave up by itself.
        raise Unreachable(
            f"{address} does not answer: check the address, the network and any firewall in between"
        ) from error
    except OSError as error:
        raise _cannot_dial(address, error) from error


@contextmanager
def listening(address: Address) -> Iterator[None]:
    """Turns what can go wrong when taking `address` into our errors."""
    try:
        yield
    except OSError as error:
        raise _cannot_listen(address, error) from error


def _cannot_dial(address: Address, error: OSError) -> TaskMessengerError:
    if isinstance(error, socket.gaierror):
        return Unreachable(
            f"{address}: the name {address.host} cannot be resolved; check the spelling and the DNS"
        )
    if error.errno in {errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET}:
        return Unreachable(f"nobody listens at {address}: check the address, and that the manager runs there")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Refused(
            f"{address} may not be used by this user: it belongs to another one, or a firewall forbids it"
        )
    return Unreachable(f"{address} cannot be reached: {_reason(error)}; check the address and the network")


def _cannot_listen(address: Address, error: OSError) -> TaskMessengerError:
    if isinstance(error, socket.gaierror):
        return UsageError(
            f"{address}: the name {address.host} cannot be resolved; listen on an IP address instead"
        )
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"{address} is in use: stop the program that listens there, or choose another address"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        cure = "use a directory that belongs to this user" if address.path else "choose a port from 1024 up"
        return UsageError(f"{address} needs permissions that this user lacks: {cure}")
    if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return UsageError(
            f"{address} is no address of this machine: listen on one that it has, or on 0.0.0.0"
        )
    return UsageError(f"cannot listen at {address}: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
