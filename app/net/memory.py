"""Streams inside one process: `mem://NAME`, for tests, the simulator, and a worker beside its manager.

Bounded like a socket, and with the same ends: end of stream, broken, closed. Uses nothing but anyio's events,
so it runs on a virtual clock. All users of one name must be on the same event loop.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import cache
from typing import Final, Literal

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.lowlevel import checkpoint

from ..core.errors import Conflict, Unreachable
from .address import Address
from .transport import BACKLOG, Handler, Listener, dialling

BUFFER: Final = 64 * 1024
"""Bytes that each direction holds before the sender has to wait."""
RECEIVE_SIZE: Final = 64 * 1024


class _Pipe:
    """One direction: its reader waits while it is empty, its writer while it is full."""

    __slots__ = ("_changed", "_chunks", "broken", "ended", "held", "size", "unread")

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self.ended = False
        """The writer has said all."""
        self.unread = False
        """The reader has gone."""
        self.broken = False
        self._chunks: deque[bytes] = deque()
        self._changed: anyio.Event | None = None

    def put(self, data: bytes) -> None:
        self._chunks.append(data)
        self.held += len(data)
        self.wake()

    def take(self, most: int) -> bytes:
        taken: list[bytes] = []
        while self._chunks and most:
            chunk = self._chunks.popleft()
            if len(chunk) > most:
                self._chunks.appendleft(chunk[most:])
                chunk = chunk[:most]
            taken.append(chunk)
            most -= len(chunk)
        data = b"".join(taken)
        self.held -= len(data)
        self.wake()
        return data

    async def change(self) -> None:
        """Wait until something is put, taken, ended or broken."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class MemoryStream(ByteStream):
    """One end of a pair made by `stream_pair`."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe) -> None:
        self._out = outgoing
        self._in = incoming
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")
        self._closed = False

    @property
    def peer_closed(self) -> bool:
        """Whether the other end was closed, not only ended."""
        return self._out.unread

    async def wait_peer_closed(self) -> None:
        """Return when the other end is closed, or the pair is broken, or this end is closed."""
        await checkpoint()
        while not (self._out.unread or self._out.broken or self._closed):
            await self._out.change()

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        pipe = self._in
        with self._receiving:
            await checkpoint()
            while True:
                if self._closed:
                    raise anyio.ClosedResourceError
                if pipe.broken:
                    raise anyio.BrokenResourceError
                if pipe.held:
                    return pipe.take(max_bytes)
                if pipe.ended:
                    raise anyio.EndOfStream
                await pipe.change()

    async def send(self, item: bytes) -> None:
        pipe = self._out
        with self._sending:
            await checkpoint()
            left = bytes(item)
            while True:
                if self._closed or pipe.ended:
                    raise anyio.ClosedResourceError
                if pipe.unread or pipe.broken:
                    raise anyio.BrokenResourceError
                room = pipe.size - pipe.held
                if left and room > 0:
                    pipe.put(left[:room])
                    left = left[room:]
                if not left:
                    return
                await pipe.change()

    async def send_eof(self) -> None:
        with self._sending:
            await checkpoint()
            if self._closed:
                raise anyio.ClosedResourceError
            self._out.ended = True
            self._out.wake()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._out.ended = self._in.unread = True
            self._out.wake()
            self._in.wake()
        await checkpoint()

    def reset(self) -> None:
        """Break both directions at once; what was under way is lost."""
        for pipe in (self._out, self._in):
            pipe.broken = True
            pipe.wake()


def stream_pair(size: int = BUFFER) -> tuple[MemoryStream, MemoryStream]:
    """Two ends that are connected; each direction holds `size` bytes."""
    there, back = _Pipe(size), _Pipe(size)
    return MemoryStream(there, back), MemoryStream(back, there)


class MemoryTransport:
    """Names and who listens at them. Each instance is a world of its own; `shared` is the one of `mem://`."""

    scheme: Literal["mem"] = "mem"

    def __init__(self, buffer: int = BUFFER) -> None:
        """Streams hold `buffer` bytes in each direction."""
        self._buffer = buffer
        self._listeners: dict[str, MemoryListener] = {}

    async def dial(self, address: Address) -> ByteStream:
        listener = self._listeners.get(address.host)
        if listener is None:
            await checkpoint()
            raise Unreachable(
                f"nobody listens at {address}: check the name, and that the manager runs in this process"
            )
        near, far = stream_pair(self._buffer)
        with dialling(address):
            await listener.offer(far)
        return near

    async def listen(self, address: Address) -> MemoryListener:
        await checkpoint()
        if address.host in self._listeners:
            raise Conflict(f"{address} is in use: close the listener that has it, or choose another name")
        listener = MemoryListener(address, self._listeners)
        self._listeners[address.host] = listener
        return listener


class MemoryListener(Listener):
    """Takes the streams that were dialled to one name."""

    def __init__(self, address: Address, names: dict[str, MemoryListener]) -> None:
        """It takes itself out of `names` when it is closed."""
        self._address = address
        self._names = names
        self._give, self._wait = anyio.create_memory_object_stream[MemoryStream](BACKLOG)
        self._serving = anyio.ResourceGuard("serving")
        self._closed = False

    @property
    def address(self) -> Address:
        return self._address

    async def offer(self, stream: MemoryStream) -> None:
        """Let `stream` wait to be served.

        Raises:
            ConnectionRefusedError: the listener closed before there was room.
        """
        try:
            await self._give.send(stream)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionRefusedError(f"{self._address} was closed") from error

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if task_group is None:
            async with anyio.create_task_group() as own:
                await self.serve(handler, own)
            return
        with self._serving, suppress(anyio.ClosedResourceError, anyio.EndOfStream):
            while True:
                task_group.start_soon(handler, await self._wait.receive())

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            del self._names[self._address.host]
            self._give.close()
            with suppress(anyio.WouldBlock, anyio.EndOfStream):
                while True:
                    self._wait.receive_nowait().reset()
            self._wait.close()
        await checkpoint()


@cache
def shared() -> MemoryTransport:
    """The names of this process."""
    return MemoryTransport()
