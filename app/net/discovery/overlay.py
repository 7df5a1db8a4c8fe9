"""Discovery on the ZeroTier network: UDP over libzt, broadcast, and to the addresses of those who matter.

A broadcast reaches the members of which ZeroTier happens to know, up to a limit; so a member also asks its
manager's own address, which follows from the network's id. The node belongs to somebody else: where there is
none, or it is being restarted, nothing is sent and nothing is heard.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from ctypes import byref, c_int, c_uint32, create_string_buffer, sizeof
from ipaddress import IPv4Address
from typing import Final

import anyio

from ..zerotier import binding
from ..zerotier.network import PRIVATE_RANGE, address_of, assigned_in
from ..zerotier.node import Node, running
from .carrier import Carrier, Hear, Place
from .sealed import MAX_DATAGRAM

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
"""Between two looks for what has arrived: libzt wakes nobody, and nothing here is urgent."""
LIVELY_SECONDS: Final = 2.0
LIVELY_POLL_SECONDS: Final = 0.2
"""The same for so long after something has arrived, or listening has begun: one word brings another."""
BATCH: Final = 64
"""Datagrams taken at one look."""
MAX_PEERS: Final = 8
"""Addresses that everything is sent to besides the broadcast."""


class OverlayCarrier(Carrier):
    """The network that this process' node is in."""

    name = "overlay"

    def __init__(
        self,
        port: int,
        node: Callable[[], Node | None] = running,
        peers: Callable[[Node], Sequence[IPv4Address]] = lambda _: (),
    ) -> None:
        """`node` finds the node when there is one; `peers` are told everything that is said to everybody."""
        self._port, self._find, self._peers = port, node, peers
        self._lock = threading.Lock()
        """Held around every use of the socket: it is closed by the thread that stops the node."""
        self._fd: int | None = None
        self._library: binding.Library | None = None
        self._of: tuple[int, int] | None = None
        """The node, and which of its starts, that the socket belongs to, or belonged before it was closed."""
        self._forget: Callable[[], None] | None = None
        self._buffer = create_string_buffer(MAX_DATAGRAM + 1)

    async def listen(self, hear: Hear) -> None:
        """See `Carrier`."""
        lively_until = anyio.current_time() + LIVELY_SECONDS
        while True:
            for data, place in self._taken():
                lively_until = anyio.current_time() + LIVELY_SECONDS
                await hear(data, place, self)
            lively = anyio.current_time() < lively_until
            await anyio.sleep(LIVELY_POLL_SECONDS if lively else POLL_SECONDS)

    async def send(self, data: bytes, to: Place | None = None) -> bool:
        """See `Carrier`."""
        with self._lock:
            node = self._ready()
            if node is None:
                return False
            places = [to] if to is not None else [(str(ip), self._port) for ip in self._everybody(node)]
            sent = [self._send(node, data, place) for place in places]
        return any(sent)

    def close(self) -> None:
        """See `Carrier`."""
        with self._lock:
            self._close()
            if self._forget is not None:
                self._forget()
                self._forget = None

    def _everybody(self, node: Node) -> list[IPv4Address]:
        peers = [ip for ip in self._peers(node) if ip != node.address]
        return [broadcast_of(node), *peers[:MAX_PEERS]]

    def _send(self, node: Node, data: bytes, place: Place) -> bool:
        at = binding.sockaddr(IPv4Address(place[0]), place[1])
        sent = node.library.zts_bsd_sendto(
            self._fd, data, len(data), binding.MSG_DONTWAIT, byref(at), binding.SOCKADDR_LENGTH
        )
        return int(sent) == len(data)

    def _taken(self) -> list[tuple[bytes, Place]]:
        found: list[tuple[bytes, Place]] = []
        with self._lock:
            node = self._ready()
            while node is not None and len(found) < BATCH:
                source, length = binding.SockaddrIn(), c_uint32(binding.SOCKADDR_LENGTH)
                got = node.library.zts_bsd_recvfrom(
                    self._fd,
                    self._buffer,
                    len(self._buffer),
                    binding.MSG_DONTWAIT,
                    byref(source),
                    byref(length),
                )
                if got < 0:
                    break
                ip, port = binding.endpoint_of(source)
                found.append((self._buffer.raw[:got], (str(ip), port)))
        return found

    def _ready(self) -> Node | None:
        """The node, if a socket of its present life is open; one is opened for every new life."""
        node = self._find()
        if node is None or not node.running or not node.join().ready:
            return None
        life = (id(node), node.generation)
        if life != self._of:
            self._of = life
            self._open(node)
        return node if self._fd is not None else None

    def _open(self, node: Node) -> None:
        if self._forget is not None:
            self._forget()
        self._forget = node.on_stop(self._on_stop)
        library = node.library
        fd = library.zts_bsd_socket(binding.AF_INET, binding.SOCK_DGRAM, 0)
        if fd < 0:
            log.warning("discovery has no socket on the overlay: %s", binding.result_name(fd))
            return
        yes = c_int(1)
        at = binding.sockaddr(IPv4Address(0), self._port)
        results = (
            library.zts_bsd_fcntl(fd, binding.F_SETFL, binding.O_NONBLOCK),
            library.zts_bsd_setsockopt(fd, binding.SOL_SOCKET, binding.SO_BROADCAST, byref(yes), sizeof(yes)),
            library.zts_bsd_bind(fd, byref(at), binding.SOCKADDR_LENGTH),
        )
        if min(results) < 0:
            library.zts_bsd_close(fd)
            log.warning("discovery cannot use UDP port %d of the overlay", self._port)
            return
        self._fd, self._library = fd, library

    def _on_stop(self) -> None:
        """Called in another thread; what was of this life stays closed until the next one has begun."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd is not None and self._library is not None:
            self._library.zts_bsd_close(self._fd)
        self._fd = None


def manager_of(node: Node) -> list[IPv4Address]:
    """The address of the manager of a private network; in others it is unknown."""
    network = node.settings.network
    return [address_of(network.controller)] if network.private else []


def broadcast_of(node: Node) -> IPv4Address:
    """Where everybody in the network of this node is reached."""
    network = node.settings.network
    if network.private:
        return PRIVATE_RANGE.broadcast_address
    try:
        file = (node.settings.home / "networks.d" / network.file_name).read_bytes()
    except OSError:
        return PRIVATE_RANGE.broadcast_address
    assigned = assigned_in(file)
    return PRIVATE_RANGE.broadcast_address if assigned is None else assigned.network.broadcast_address
