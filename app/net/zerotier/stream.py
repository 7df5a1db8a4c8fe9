"""Byte streams and listeners over libzt's sockets: anyio's promises on one side, a link and its window below.

A stream belongs to the event loop that made it. It does not dial and does not listen; `transport` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup
from anyio.lowlevel import checkpoint

from ...core.errors import PeerError
from ..address import Address
from ..transport import Handler, Listener
from . import binding as b
from .door import Door
from .link import Link, State
from .waker import waker
from .window import WORTHWHILE, Window

log = logging.getLogger(__name__)

RECEIVE_SIZE: Final = 64 * 1024
"""Most bytes that `receive` returns, unless the caller asks for another number."""


class ZeroTierStream(ByteStream):
    """One end of a connection on the overlay."""

    def __init__(self, link: Link, local: tuple[str, int], remote: tuple[str, int]) -> None:
        """Own `link`, which is connected, on the event loop that runs now."""
        self._link = link
        self._local, self._remote = local, remote
        self._window = Window()
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")
        self._readable: anyio.Event | None = None
        self._writable: anyio.Event | None = None
        self._closed = self._eof_sent = False
        self._broken: Exception | None = None
        link.attach(waker(), self._look)
        self._look()

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        window = self._window
        with self._receiving:
            await checkpoint()
            while True:
                if self._closed:
                    raise anyio.ClosedResourceError
                if window.held:
                    data = window.take(max_bytes)
                    self._link.write(window.tell())
                    return data
                if window.ended:
                    raise anyio.EndOfStream
                if self._broken is not None:
                    raise anyio.BrokenResourceError from self._broken
                self._readable = anyio.Event()
                await self._readable.wait()

    async def send(self, item: bytes) -> None:
        window = self._window
        with self._sending:
            await checkpoint()
            left = memoryview(item)
            while True:
                self._check_writable()
                if not left:
                    return
                room = window.room
                if room >= min(len(left), WORTHWHILE):
                    self._link.write(window.write(left[:room]))
                    left = left[room:]
                    continue
                self._writable = anyio.Event()
                await self._writable.wait()

    async def send_eof(self) -> None:
        with self._sending:
            await checkpoint()
            if self._closed:
                raise anyio.ClosedResourceError
            if not self._eof_sent:
                self._check_writable()
                self._eof_sent = True
                self._link.write(self._window.end())

    async def aclose(self) -> None:
        if not self._closed:
            self._look()
            self._closed = True
            if self._broken is not None:
                self._link.abort()
            elif not self._window.closed:
                self._finish()
            self._wake()
        await checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.local_address: lambda: self._local,
            SocketAttribute.local_port: lambda: self._local[1],
            SocketAttribute.remote_address: lambda: self._remote,
            SocketAttribute.remote_port: lambda: self._remote[1],
        }

    def _check_writable(self) -> None:
        if self._closed or self._eof_sent:
            raise anyio.ClosedResourceError
        if self._broken is not None or self._window.closed:
            raise anyio.BrokenResourceError from self._broken

    def _look(self) -> None:
        """Take in what the link has to tell."""
        if self._closed or self._broken is not None:
            return
        # The state first: what had arrived before it changed is there by now.
        state, window = self._link.state, self._window
        was_closed = window.closed
        try:
            for piece in self._link.arrived():
                window.feed(piece)
        except PeerError as error:
            log.info("the link to %s:%d on the overlay is closed: %s", *self._remote, error)
            self._broken = error
            self._link.abort()
        else:
            if window.closed and not was_closed:
                self._finish()  # nobody is there to read any more
            elif state is State.DEAD and not window.closed:
                why = b.error_name(self._link.error) if self._link.error else "it ended in the middle"
                self._broken = ConnectionError(why)
        self._wake()

    def _finish(self) -> None:
        self._link.write(self._window.close())
        self._link.finish(self._is_last)

    def _is_last(self, pieces: list[bytes]) -> bool:
        """Whether the other end, too, has closed. On the thread of the sockets, once nobody reads here."""
        window = self._window
        try:
            for piece in pieces:
                window.feed(piece)
                window.take(len(piece))
        except PeerError:
            return True
        return window.closed

    def _wake(self) -> None:
        for event in (self._readable, self._writable):
            if event is not None:
                event.set()
        self._readable = self._writable = None


class ZeroTierListener(Listener):
    """Takes the connections that come to one port."""

    def __init__(self, address: Address, door: Door, local: tuple[str, int]) -> None:
        """Own `door`, which is open, on the event loop that runs now."""
        self._address = address
        self._door = door
        self._local = local
        self._serving = anyio.ResourceGuard("serving")
        self._closed = False
        self._news = anyio.Event()
        door.attach(waker(), self._look)

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
            while not self._closed:
                self._take(handler, task_group)
                if not self._door.open:
                    raise anyio.BrokenResourceError
                await self._news.wait()
                self._news = anyio.Event()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._news.set()
            await self._door.close()
        await checkpoint()

    def _take(self, handler: Handler, group: TaskGroup) -> None:
        for link, remote in self._door.taken():
            group.start_soon(handler, ZeroTierStream(link, self._local, remote))

    def _look(self) -> None:
        self._news.set()
