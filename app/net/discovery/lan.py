"""Discovery on the local networks: IPv4 multicast that no router passes on (one hop).

One socket for each address of this machine speaks to the group and takes answers; one hears what is said to
the group; one answers.
Interfaces come and go: they are looked at whenever something is said to everybody.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

import anyio
from anyio.abc import TaskGroup

from ...core.errors import Conflict, UsageError
from .carrier import Carrier, Hear, Place
from .sealed import MAX_DATAGRAM

log = logging.getLogger(__name__)

GROUP: Final = "239.255.77.11"
"""From the block that stays within a site (RFC 2365)."""
HOPS: Final = 1
"""Also for answers, so that a forged sender elsewhere gets nothing."""
MAX_INTERFACES: Final = 8
BATCH: Final = 64
"""Datagrams taken from one socket before anything else gets its turn."""
_MULTICAST_ALL: Final = 49
"""Linux: `IP_MULTICAST_ALL`, which Python does not name. Off: only groups that this socket has joined."""


class Lan(Carrier):
    """The local networks of this machine."""

    name = "lan"

    def __init__(self, port: int, interfaces: Sequence[str] = ()) -> None:
        """Hear the group at this port.

        Args:
            port: the same for the whole fleet.
            interfaces: IPv4 addresses of this machine; none for all but loopback.

        Raises:
            Conflict: another program has the port for itself. UsageError: an interface is no IPv4 address.
        """
        for text in interfaces:
            try:
                IPv4Address(text)
            except ValueError:
                raise UsageError(
                    f"discovery.interfaces wants IPv4 addresses of this machine, not `{text}`"
                ) from None
        self._port, self._wanted = port, tuple(interfaces)
        self._senders: dict[str, socket.socket] = {}
        self._group: TaskGroup | None = None
        self._hear: Hear | None = None
        self._complained: set[str] = set()
        try:
            self._ear, self._mouth = _listening(port), _answering()
        except OSError as error:
            raise Conflict(
                f"discovery cannot listen at UDP port {port} ({error.strerror}): set discovery.port, on all"
                " machines of the fleet, or turn discovery.lan off"
            ) from error
        self._look()

    async def listen(self, hear: Hear) -> None:
        """See `Carrier`."""
        async with anyio.create_task_group() as group:
            self._group, self._hear = group, hear
            try:
                for sock in (self._ear, *self._senders.values()):
                    group.start_soon(self._receive, sock)
                await anyio.sleep_forever()
            finally:
                self._group = None

    async def send(self, data: bytes, to: Place | None = None) -> bool:
        """See `Carrier`."""
        if to is not None:
            return self._send(self._mouth, data, to)
        self._look()
        sent = [self._send(sock, data, (GROUP, self._port)) for sock in self._senders.values()]
        return any(sent)

    def close(self) -> None:
        """See `Carrier`."""
        for sock in (self._ear, self._mouth, *self._senders.values()):
            sock.close()
        self._senders.clear()

    def _send(self, sock: socket.socket, data: bytes, to: Place) -> bool:
        try:
            sock.sendto(data, to)
        except OSError:  # a full buffer, a cable pulled, nobody there: the next heartbeat tries again
            return False
        return True

    async def _receive(self, sock: socket.socket) -> None:
        assert self._hear is not None
        while sock.fileno() >= 0:
            try:
                await anyio.wait_readable(sock)
            except (anyio.ClosedResourceError, OSError, ValueError):
                return  # its interface went away
            for _ in range(BATCH):
                try:
                    data, place = sock.recvfrom(MAX_DATAGRAM + 1)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError:  # news of a datagram of ours that met nobody
                    continue
                await self._hear(data, place, self)
            await anyio.lowlevel.checkpoint()

    def _look(self) -> None:
        """Use the addresses that this machine has now."""
        present = list(self._wanted or _own_addresses())[:MAX_INTERFACES]
        for address in set(self._senders) - set(present):
            sock = self._senders.pop(address)
            anyio.notify_closing(sock)
            sock.close()
        for address in present:
            if address not in self._senders:
                self._add(address)

    def _add(self, address: str) -> None:
        try:
            sock = _sending(address)
        except OSError as error:
            self._complain(address, error)
            return
        membership = socket.inet_aton(GROUP) + socket.inet_aton(address)
        try:
            self._ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        except OSError as error:
            # Joined already, by another address of the same interface or before it went away and came back.
            log.debug("%s adds no interface to listen on (%s)", address, error.strerror)
        self._complained.discard(address)
        self._senders[address] = sock
        if self._group is not None:
            self._group.start_soon(self._receive, sock)

    def _complain(self, address: str, error: OSError) -> None:
        if address not in self._complained:
            self._complained.add(address)
            log.warning("discovery cannot use the network of %s: %s", address, error.strerror)


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # every process of a machine may hear
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL, 0)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((GROUP, port))  # and not to all addresses: what is sent to this machine alone is not for us
    except OSError:
        sock.close()
        raise
    return sock


def _answering() -> socket.socket:
    """Not bound: the system knows by which network an answer has to leave."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)
    return sock


def _sending(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((address, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
    except OSError:
        sock.close()
        raise
    return sock


def _own_addresses() -> list[str]:
    """IPv4 addresses of the interfaces that are up, but for loopback."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = {
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if name in up and entry.family == socket.AF_INET and not IPv4Address(entry.address).is_loopback
    }
    return sorted(found)
