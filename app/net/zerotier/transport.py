"""ZeroTier: `zt://NETWORK/NODE:PORT`, over the node of this process.

It starts no node: whoever knows its settings has done so before; see `overlay`. TLS and the liveness of
sessions are the business of those above, and liveness all the more: an end that is killed says nothing here.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Callable
from ctypes import byref, c_int, c_uint32, sizeof
from functools import partial
from ipaddress import IPv4Address
from typing import Final, Literal

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import RunVar

from ...core.errors import Conflict, Overloaded, UsageError
from ..address import Address
from ..transport import dialling, listening
from . import binding as b
from .door import MAX_CONNECTIONS, Door
from .link import Link, State, prepare
from .loop import MAX_WATCHED, SocketLoop
from .network import address_of
from .node import Node, running
from .stream import ZeroTierListener, ZeroTierStream
from .waker import waker
from .way import Way

BACKLOG: Final = 255
"""Connections that libzt keeps until they are taken, which happens at once."""
FIRST_PORT: Final = 49_152
LAST_PORT: Final = 65_535
DIALS: Final = 32
"""Under way at a time from one event loop; more would overrun the other end's `BACKLOG`, if it is busy."""
REFUSALS: Final = 4
"""After so many nobody listens there. One alone may mean that `BACKLOG` others came at the same moment.

A connection that there was no room for was made first and is then reset, which is seen as either."""
REFUSED_SECONDS: Final = 0.1
"""To wait after the first one, at least, and twice as long after each further one."""
PORT_TRIES: Final = 8
"""Local ports that are tried until one is free; after that libzt chooses."""
ERROR_TRIES: Final = 5
_STARTED: Final = frozenset({b.EINPROGRESS, b.EALREADY, b.EISCONN})
"""What only a connect that goes well says, once it is asked again too, so that it needs no second word."""
_UNDER_WAY: Final = _STARTED | {0, b.EAGAIN}


class ZeroTierTransport:
    """Streams over ZeroTier."""

    scheme: Literal["zt"] = "zt"

    async def dial(self, address: Address) -> ByteStream:
        if not address.host or not address.port:
            raise UsageError(f"{address} cannot be dialled: name network, node and port of the manager")
        node = _node()
        if address.host == node.id:
            raise UsageError(f"{address} is this node itself, which cannot be reached that way; use tcp://")
        loop = loop_of(node)
        to = _ip_of(address)
        with dialling(address):
            async with _turn():
                link = await _dial(loop, to, address.port)
        return ZeroTierStream(link, (str(node.address), 0), (str(to), address.port))

    async def listen(self, address: Address) -> ZeroTierListener:
        node = _node()
        loop = loop_of(node)
        with listening(address):
            with anyio.CancelScope(shield=True):
                door, port = await loop.call(partial(_listen, loop, address.port))
        return ZeroTierListener(address.with_port(port), door, (str(node.address), port))


def loop_of(node: Node) -> SocketLoop:
    """The loop for the sockets of this node, as long as it is not stopped or restarted."""
    global _loop  # noqa: PLW0603  a process has one node, and that one loop at a time
    with _guard:
        if _loop is None or not _loop.running:
            _loop = SocketLoop(node.library)
            _loop.start()
            _forget_when_stopped(node, _loop)
        return _loop


def _forget_when_stopped(node: Node, loop: SocketLoop) -> None:
    def stopped() -> None:
        forget()
        loop.stop()

    forget = node.on_stop(stopped)


def _node() -> Node:
    node = running()
    if node is None:
        raise Conflict("no ZeroTier node runs in this process: start it before zt:// addresses are used")
    return node


def _ip_of(address: Address) -> IPv4Address:
    assigned = Way.unpack(address.way).address
    return IPv4Address(assigned) if assigned else address_of(address.host)


def _turn() -> anyio.Semaphore:
    try:
        return _dials.get()
    except LookupError:
        turn = anyio.Semaphore(DIALS, fast_acquire=True)
        _dials.set(turn)
        return turn


async def _dial(loop: SocketLoop, to: IPv4Address, port: int) -> Link:
    """A connection; a refusal counts once it has been repeated, see `REFUSALS`."""
    for refused in range(1, REFUSALS + 1):
        with anyio.CancelScope(shield=True):  # short, and nobody else would close the socket
            link = await loop.call(partial(_connect, loop, to, port))
        try:
            await _connected(link)
        except (ConnectionRefusedError, ConnectionResetError):
            if refused == REFUSALS:
                raise
            pause = REFUSED_SECONDS * 2 ** (refused - 1)
            await anyio.sleep(pause * (1 + random.random()))  # noqa: S311 - spreads dials
        else:
            return link
    raise AssertionError("the last try returns or raises")


async def _connected(link: Link) -> None:
    """Wait until it is; else nothing is left of it."""
    news = anyio.Event()
    link.attach(waker(), news.set)
    try:
        while link.state is State.CONNECTING:
            await news.wait()
            news = anyio.Event()
            link.attach(waker(), news.set)
    except BaseException:
        link.abort()
        raise
    if link.error:  # if it has none it was connected, and has ended since: the stream says so
        raise OSError(link.error, os.strerror(link.error))


# On the loop's thread


def _connect(loop: SocketLoop, to: IPv4Address, port: int) -> Link:
    fd = _socket(loop, MAX_CONNECTIONS)
    _take_any_port(loop, fd)
    sockaddr = b.sockaddr(to, port)
    error = _error_of(loop.quick, lambda: loop.quick.zts_bsd_connect(fd, byref(sockaddr), b.SOCKADDR_LENGTH))
    if error not in _UNDER_WAY:
        loop.quick.zts_bsd_close(fd)
        raise OSError(error, os.strerror(error))
    return Link(loop, fd, State.CONNECTING)


def _take_any_port(loop: SocketLoop, fd: int) -> None:
    """A local port by chance: left to itself lwIP counts from the same one in every process.

    The other end would take the first connections of a program that was started again for ones that have just
    been closed, which it remembers for two minutes, and answer none of them.
    """
    for _ in range(PORT_TRIES):
        at = b.sockaddr(IPv4Address(0), FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT))
        if loop.quick.zts_bsd_bind(fd, byref(at), b.SOCKADDR_LENGTH) == 0:
            return


def _listen(loop: SocketLoop, port: int) -> tuple[Door, int]:
    fd, library = _socket(loop, MAX_WATCHED), loop.quick
    one = c_int(1)
    library.zts_bsd_setsockopt(fd, b.SOL_SOCKET, b.SO_REUSEADDR, byref(one), sizeof(one))
    at, length = b.sockaddr(IPv4Address(0), port), c_uint32(b.SOCKADDR_LENGTH)
    for step in (
        lambda: library.zts_bsd_bind(fd, byref(at), b.SOCKADDR_LENGTH),
        lambda: library.zts_bsd_listen(fd, BACKLOG),
        lambda: library.zts_bsd_getsockname(fd, byref(at), byref(length)),
    ):
        if error := _error_of(library, step):
            library.zts_bsd_close(fd)
            raise OSError(error, os.strerror(error))
    return Door(loop, fd), b.endpoint_of(at)[1]


def _error_of(library: b.Library, step: Callable[[], int]) -> int:
    """Why the step fails, 0 if it does not: what it says twice in a row.

    libzt has one error number for all threads and does not keep this kind of failure with the socket, so that
    a call which has just failed in another thread may be taken for it. A step that fails changes nothing, and
    one that is under way says so.
    """
    before = -1
    for _ in range(ERROR_TRIES):
        if step() >= 0:
            return 0
        error = b.last_error(library)
        if error == before or error in _STARTED:
            return error
        before = error
    return before


def _socket(loop: SocketLoop, most: int) -> int:
    full = loop.size >= most
    fd: int = -1 if full else loop.quick.zts_bsd_socket(b.AF_INET, b.SOCK_STREAM, 0)
    if fd < 0:
        raise Overloaded(
            f"this ZeroTier node has all the connections that it can have ({loop.size}): close some first"
        )
    prepare(loop.quick, fd)
    return fd


_dials: Final = RunVar[anyio.Semaphore]("_dials")
_guard: Final = threading.Lock()
_loop: SocketLoop | None = None
