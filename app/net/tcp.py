"""TCP: `tcp://HOST:PORT`, IPv4 and IPv6.

It sets what every connection here needs (no Nagle delay, dead peers noticed by the kernel); TLS and liveness
of the session are the business of those above.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any, Final, Literal, TypeAlias

import anyio
from anyio.abc import ByteStream

from ..core.errors import UsageError
from .address import Address
from .sockets import SocketListener, SocketStream
from .transport import BACKLOG, dialling, listening

USER_TIMEOUT_MS: Final = 20_000
"""The kernel gives up a connection whose peer acknowledges nothing, or takes nothing, for this long."""
KEEPALIVE_IDLE: Final = 15
KEEPALIVE_INTERVAL: Final = 5
KEEPALIVE_COUNT: Final = 3
"""Seconds of silence before the kernel probes, seconds between probes, unanswered ones before it gives up."""
STAGGER: Final = 0.25
"""Seconds to give one of a name's addresses before the next is tried beside it (RFC 8305)."""
MAX_TARGETS: Final = 8
"""How many of a name's addresses are tried."""
PORT_TRIES: Final = 10
"""How often a free port is looked for that all addresses of a name have free."""

_Target: TypeAlias = tuple[int, tuple[Any, ...]]
"""Address family and socket address."""
_OPTIONS: Final = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    )
    if hasattr(socket, name)
)


class TcpTransport:
    """Streams over TCP."""

    scheme: Literal["tcp"] = "tcp"

    async def dial(self, address: Address) -> ByteStream:
        if not address.port:
            raise UsageError(f"{address} cannot be dialled: name the port that the manager listens on")
        with dialling(address):
            return SocketStream(await _connect_first(await _resolve(address)))

    async def listen(self, address: Address) -> SocketListener:
        with listening(address):
            sockets = _bind_all(await _resolve(address, socket.AI_PASSIVE), address.port)
        return SocketListener(address.with_port(sockets[0].getsockname()[1]), sockets, _prepare)


def _prepare(sock: socket.socket) -> None:
    """What every connection gets, dialled or accepted."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in _OPTIONS:
        sock.setsockopt(*option)


async def _resolve(address: Address, flags: int = 0) -> list[_Target]:
    """Where the host is, IPv6 and IPv4 by turns; without a thread when it is a number already."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=flags | socket.AI_NUMERICHOST
        )
        return [(family, sockaddr) for family, *_, sockaddr in found]
    except socket.gaierror:
        named = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    targets: list[_Target] = list(dict.fromkeys((int(family), sockaddr) for family, *_, sockaddr in named))
    first = [t for t in targets if t[0] == targets[0][0]]
    other = [t for t in targets if t[0] != targets[0][0]]
    mixed = [t for pair in zip(first, other, strict=False) for t in pair]
    return [*mixed, *first[len(other) :], *other[len(first) :]][:MAX_TARGETS]


async def _connect_first(targets: list[_Target]) -> socket.socket:
    """A connection to the first of the targets that answers, each given a moment before the next joins in."""
    won: list[socket.socket] = []
    errors: list[OSError] = []

    async def attempt(target: _Target, failed: anyio.Event) -> None:
        try:
            sock = await _connect(target)
        except OSError as error:
            errors.append(error)
            failed.set()
            return
        won.append(sock)
        group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for target in targets:
                failed = anyio.Event()
                group.start_soon(attempt, target, failed)
                with anyio.move_on_after(STAGGER):
                    await failed.wait()
    except BaseException:
        _close_all(won)
        raise
    if not won:
        raise errors[0]
    _close_all(won[1:])
    return won[0]


async def _connect(target: _Target) -> socket.socket:
    family, sockaddr = target
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        _prepare(sock)
        code = sock.connect_ex(sockaddr)
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            await anyio.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _check_connected(sock, code)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_connected(sock: socket.socket, code: int) -> None:
    if not code and sock.getsockname() == sock.getpeername():
        # Dialling a free port of this machine may, by chance, meet itself, and keep it from its owner.
        code = errno.ECONNREFUSED
    if code:
        raise OSError(code, os.strerror(code))


def _bind_all(targets: list[_Target], port: int) -> list[socket.socket]:
    """One listening socket for each target, all on the same port."""
    for tries_left in reversed(range(PORT_TRIES)):
        sockets: list[socket.socket] = []
        chosen = port
        try:
            for family, (host, _, *scope) in targets:
                sockets.append(_bind(family, (host, chosen, *scope)))
                chosen = sockets[0].getsockname()[1]
        except OSError as error:
            _close_all(sockets)
            if port or error.errno != errno.EADDRINUSE or not tries_left:
                raise
        except BaseException:
            _close_all(sockets)
            raise
        else:
            return sockets
    raise AssertionError("the last try returns or raises")


def _bind(family: int, sockaddr: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # POSIX: take a port whose old connections are still dying. Windows means something else by that name.
        exclusive = "SO_EXCLUSIVEADDRUSE" if sys.platform == "win32" else "SO_REUSEADDR"
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, exclusive), 1)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
