"""Byte streams and listeners over the system's sockets, for the transports that have such.

Nothing is buffered here: what is not received stays in the kernel, whose buffers are bounded, and slows the
sender down. (The streams that anyio makes on asyncio go on reading as long as the receiver is behind, into
memory without a bound.)

It does not resolve, connect or bind; the transports do.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup
from anyio.lowlevel import checkpoint

from ..forks import keep_from_forks
from .address import Address
from .transport import Handler, Listener

log = logging.getLogger(__name__)

RECEIVE_SIZE: Final = 256 * 1024
"""Most bytes taken from the kernel at a time, unless the caller asks for another number."""
ACCEPT_BATCH: Final = 16
"""Connections taken in one go, before anything else gets its turn."""
ACCEPT_BACKOFF: Final = 0.1
"""Seconds to wait after the system refused to hand out a connection."""
LOG_INTERVAL: Final = 10.0
"""Seconds between two complaints about that."""

_DEAD: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
"""The listening socket itself is gone; everything else is about one connection, or passes."""


class SocketStream(ByteStream):
    """A connected socket. `SocketAttribute.raw_socket` gives the socket, for peer credentials."""

    def __init__(self, sock: socket.socket) -> None:
        """Own `sock`, which is connected and does not block.

        Raises:
            OSError: it is no longer connected; then it is closed.
        """
        self._sock = sock
        keep_from_forks(sock)
        try:
            self._remote = sock.getpeername()
        except OSError:
            sock.close()
            raise
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")
        self._closed = self._eof_sent = False
        self._broken: OSError | None = None

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        with self._receiving:
            await checkpoint()
            while True:
                self._check()
                try:
                    data = self._sock.recv(max_bytes)
                except (BlockingIOError, InterruptedError):
                    await anyio.wait_readable(self._sock)
                except OSError as error:
                    raise self._break(error) from error
                else:
                    if data:
                        return data
                    raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        with self._sending:
            await checkpoint()
            if self._eof_sent:
                raise anyio.ClosedResourceError
            left = memoryview(item)
            while left:
                self._check()
                try:
                    left = left[self._sock.send(left) :]
                except (BlockingIOError, InterruptedError):
                    await anyio.wait_writable(self._sock)
                except OSError as error:
                    raise self._break(error) from error

    async def send_eof(self) -> None:
        with self._sending:
            await checkpoint()
            self._check()
            self._eof_sent = True
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise self._break(error) from error

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            anyio.notify_closing(self._sock)
            self._sock.close()
        await checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        sock, remote = self._sock, self._remote
        found: dict[Any, Callable[[], Any]] = {
            SocketAttribute.family: lambda: sock.family,
            SocketAttribute.raw_socket: lambda: sock,
            SocketAttribute.local_address: lambda: _plain(sock.getsockname()),
            SocketAttribute.remote_address: lambda: _plain(remote),
        }
        if isinstance(remote, tuple):
            found[SocketAttribute.local_port] = lambda: sock.getsockname()[1]
            found[SocketAttribute.remote_port] = lambda: remote[1]
        return found

    def _check(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._broken is not None:  # the kernel tells it once and says "end of stream" from then on
            raise anyio.BrokenResourceError from self._broken

    def _break(self, error: OSError) -> Exception:
        if self._closed:
            return anyio.ClosedResourceError()
        self._broken = error
        return anyio.BrokenResourceError()


class SocketListener(Listener):
    """Accepts from one or more sockets that listen for the same address."""

    def __init__(
        self, address: Address, sockets: Sequence[socket.socket], prepare: Callable[[socket.socket], None]
    ) -> None:
        """Own `sockets`, which listen and do not block; `prepare` sets the options of an accepted one."""
        self._address = address
        self._sockets = sockets
        for sock in sockets:
            keep_from_forks(sock)
        self._prepare = prepare
        self._serving = anyio.ResourceGuard("serving")
        self._closed = False
        self._failures = 0
        self._log_after = -LOG_INTERVAL

    @property
    def address(self) -> Address:
        return self._address

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if task_group is None:
            async with anyio.create_task_group() as own:
                await self.serve(handler, own)
            return
        with self._serving:
            async with anyio.create_task_group() as accepting:
                for sock in self._sockets:
                    accepting.start_soon(self._accept_all, sock, handler, task_group)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            for sock in self._sockets:
                anyio.notify_closing(sock)
                sock.close()
        await checkpoint()

    async def _accept_all(self, sock: socket.socket, handler: Handler, group: TaskGroup) -> None:
        while not self._closed:
            try:
                await anyio.wait_readable(sock)
                self._accept_ready(sock, handler, group)
            except anyio.ClosedResourceError:
                return
            except OSError as error:
                if self._closed:
                    return
                if error.errno in _DEAD:
                    raise anyio.BrokenResourceError from error
                self._complain(error)
                await anyio.sleep(ACCEPT_BACKOFF)

    def _accept_ready(self, sock: socket.socket, handler: Handler, group: TaskGroup) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, _ = sock.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            try:
                accepted.setblocking(False)
                self._prepare(accepted)
                stream = SocketStream(accepted)
            except OSError:  # the peer is gone already
                accepted.close()
            else:
                group.start_soon(handler, stream)

    def _complain(self, error: OSError) -> None:
        self._failures += 1
        now = anyio.current_time()
        if now >= self._log_after:
            self._log_after = now + LOG_INTERVAL
            log.warning(
                "%s cannot accept connections (%d times): %s", self._address, self._failures, error.strerror
            )
            self._failures = 0


def _plain(address: Any) -> Any:
    """A socket address as (host, port) or path."""
    return address[:2] if isinstance(address, tuple) else address
