"""Any transport, with a bad network in front of it: for tests, the demo's chaos and the simulator.

Between the caller and the real stream lies a link that carries both directions through faults, each seeded
and to be switched while bytes are under way. It makes nothing up and never reorders: a byte stream is late,
slow, stuck, cut, broken or damaged, but it is no heap of packets.
"""

from __future__ import annotations

import math
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup

from .address import Address
from .memory import MemoryStream, stream_pair
from .transport import Handler, Listener, Transport, dialling

IN_FLIGHT: Final = 256 * 1024
"""Bytes that one direction of a link holds back before it takes no more."""
READ_SIZE: Final = 16 * 1024
TICK: Final = 0.05
"""Seconds' worth of bytes that a limited rate lets through at a time."""


class Way(Enum):
    """A direction, seen from who holds the stream."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with one direction. Offsets count the bytes that this direction delivered, from 0."""

    delay: float = 0.0
    """Seconds that every byte is late."""
    jitter: float = 0.0
    """Up to so many seconds more, by chance; the order stays."""
    rate: float = math.inf
    """Bytes a second."""
    piece: int = READ_SIZE
    """Most bytes that are delivered at once; 1 splits everything."""
    stall_chance: float = 0.0
    stall_seconds: float = 0.0
    """How often, and how long, a piece that arrives holds everything up."""
    stalled: bool = False
    """Nothing is delivered until it is switched off; then all of it is."""
    corrupt_at: int | None = None
    """The byte there arrives with one bit wrong."""
    vanish_after: int | None = None
    """From this offset on bytes vanish and nobody is told: half open."""
    truncate_after: int | None = None
    """At this offset the stream ends, and the rest vanishes."""
    reset_after: int | None = None
    """At this offset the connection breaks, both ways."""


class _Reset(Exception):
    """The link is to break now."""


class Direction:
    """One direction of a link: what is under way, and what is wrong with it."""

    def __init__(self, faults: Faults, rng: Random) -> None:
        """Draw every chance from `rng`."""
        self.faults = faults
        self.delivered = 0
        self._rng = rng
        self._queue: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._last_due = -math.inf
        self._free_at = -math.inf
        self._truncated = self._ended = self._broken = False
        self._waiting: anyio.CancelScope | None = None

    def change(self, **faults: Any) -> None:
        """Switch faults, by the names of `Faults`, from this moment on."""
        self.faults = replace(self.faults, **faults)
        if self._waiting is not None:
            self._waiting.cancel()

    async def carry(self, source: ByteStream, sink: ByteStream) -> None:
        """Bring everything from `source` to `sink`, badly; returns when all was delivered."""
        while not (self._ended and self._open and not self._queue):
            if self._broken and self._open:
                raise _Reset
            now = anyio.current_time()
            due = math.inf
            if self._queue and not self.faults.stalled:
                due = max(self._queue[0][0], self._free_at)
            if due <= now:
                await self._deliver(sink, now)
                continue
            with anyio.CancelScope(deadline=due) as self._waiting:
                await self._take(source)
            self._waiting = None

    @property
    def _open(self) -> bool:
        """Whether the other side would hear that the stream ended or broke."""
        return not (self.faults.stalled or _reached(self.delivered, self.faults.vanish_after))

    async def _take(self, source: ByteStream) -> None:
        if self._ended or self._broken or self._held >= IN_FLIGHT:
            await anyio.sleep_forever()
        try:
            data = await source.receive(READ_SIZE)
        except anyio.EndOfStream:
            self._ended = True
        except anyio.BrokenResourceError:
            self._broken = True
        else:
            self._accept(data)

    def _accept(self, data: bytes) -> None:
        wrong, rng = self.faults, self._rng
        late = wrong.delay + (rng.uniform(0, wrong.jitter) if wrong.jitter else 0.0)
        if wrong.stall_chance and rng.random() < wrong.stall_chance:
            late += wrong.stall_seconds
        self._last_due = max(self._last_due, anyio.current_time() + late)
        self._queue.append((self._last_due, data))
        self._held += len(data)

    async def _deliver(self, sink: ByteStream, now: float) -> None:
        """The next piece, as far as it gets."""
        wrong = self.faults
        most = wrong.piece if math.isinf(wrong.rate) else min(wrong.piece, max(1, int(wrong.rate * TICK)))
        due, data = self._queue.popleft()
        piece, rest = data[:most], data[most:]
        if rest:
            self._queue.appendleft((due, rest))
        self._held -= len(piece)
        self._free_at = now + len(piece) / wrong.rate
        start = self.delivered
        piece = _until(piece, start, wrong.vanish_after, wrong.truncate_after, wrong.reset_after)
        if wrong.corrupt_at is not None and start <= wrong.corrupt_at < start + len(piece):
            damaged = bytearray(piece)
            damaged[wrong.corrupt_at - start] ^= 1 << self._rng.randrange(8)
            piece = bytes(damaged)
        if piece:
            await sink.send(piece)
            self.delivered += len(piece)
        if _reached(self.delivered, wrong.reset_after):
            raise _Reset
        if _reached(self.delivered, wrong.truncate_after) and not self._truncated:
            self._truncated = True
            await sink.send_eof()


def _reached(delivered: int, offset: int | None) -> bool:
    return offset is not None and delivered >= offset


def _until(piece: bytes, start: int, *offsets: int | None) -> bytes:
    """What of a piece that begins at `start` lies before all the offsets."""
    ends = [offset for offset in offsets if offset is not None]
    return piece[: max(0, min(ends) - start)] if ends else piece


class Link:
    """The bad network between one stream and who holds it."""

    def __init__(self, inner: ByteStream, far: MemoryStream, out: Direction, back: Direction) -> None:
        """Carry between `inner`, the real stream, and `far`, the other end of the holder's."""
        self.out = out
        self.back = back
        self._inner = inner
        self._far = far
        self._scope = anyio.CancelScope()
        self._broken = False

    def change(self, way: Way | None = None, **faults: Any) -> None:
        """Switch faults by name, one way or both."""
        for each in (Way.OUT, Way.IN) if way is None else (way,):
            (self.out if each is Way.OUT else self.back).change(**faults)

    def vanish(self) -> None:
        """From now on the peer is gone without a word: what is sent vanishes, nothing arrives."""
        self.change(vanish_after=0)

    def reset(self) -> None:
        """Break it, both ways, for both sides."""
        self._broken = True
        self._scope.cancel()

    async def run(self) -> None:
        """Carry until both sides are done, the link breaks, or the caller is cancelled."""
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._guard, self._carry_out)
                    group.start_soon(self._guard, self._carry_back)
        finally:
            self._far.reset()
            if self._broken:
                _abort(self._inner)
            with anyio.CancelScope(shield=True):
                await self._inner.aclose()
                await self._far.aclose()

    async def _guard(self, carry: Callable[[], Any]) -> None:
        try:
            await carry()
        except (_Reset, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.reset()

    async def _carry_out(self) -> None:
        await self.out.carry(self._far, self._inner)
        if not self._far.peer_closed:
            await self._inner.send_eof()
            await self._far.wait_peer_closed()
        self._scope.cancel()

    async def _carry_back(self) -> None:
        await self.back.carry(self._inner, self._far)
        await self._far.send_eof()


def _abort(stream: ByteStream) -> None:
    """Make closing the stream a reset, where that can be told apart."""
    if isinstance(stream, MemoryStream):
        stream.reset()
    elif (sock := stream.extra(SocketAttribute.raw_socket, None)) is not None:  # noqa: S610 - no Django
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class FaultyStream(ByteStream):
    """The holder's end of a link."""

    def __init__(self, near: MemoryStream, link: Link, inner: ByteStream) -> None:
        """Looks like `inner` to who asks for its attributes."""
        self.link = link
        self._near = near
        self._inner = inner

    async def receive(self, max_bytes: int = READ_SIZE) -> bytes:
        return await self._near.receive(min(max_bytes, self.link.back.faults.piece))

    async def send(self, item: bytes) -> None:
        await self._near.send(item)

    async def send_eof(self) -> None:
        await self._near.send_eof()

    async def aclose(self) -> None:
        await self._near.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._inner.extra_attributes


class FaultyTransport:
    """Wraps a transport; what is dialled or accepted through it goes through a link.

    Use it as an async context manager: links run until it is left, and then break.
    """

    def __init__(
        self, inner: Transport, *, seed: int = 0, out: Faults | None = None, back: Faults | None = None
    ) -> None:
        """New links start with the faults `out` and `back`; without any they are a good network."""
        self.links: list[Link] = []
        """Those that are open, in the order in which they were made."""
        self._inner = inner
        self._seed = seed
        self._made = 0
        self._faults = {Way.OUT: out or Faults(), Way.IN: back or Faults()}
        self._healed = anyio.Event()
        self._group: TaskGroup | None = None

    @property
    def scheme(self) -> str:
        return self._inner.scheme

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        self._group.cancel_scope.cancel()
        # The group is not told of the caller's own error, so that it reaches the caller as it is.
        await self._group.__aexit__(None, None, None)

    async def dial(self, address: Address) -> FaultyStream:
        with dialling(address):
            while any(faults.stalled for faults in self._faults.values()):
                await self._healed.wait()
        return self.wrap(await self._inner.dial(address))

    async def listen(self, address: Address) -> Listener:
        return _FaultyListener(self, await self._inner.listen(address))

    def wrap(self, inner: ByteStream) -> FaultyStream:
        """A stream that reaches `inner`, which it owns, through a new link."""
        assert self._group is not None, "use it as a context manager"
        self._made += 1
        rng = Random(f"{self._seed}/{self._made}")  # noqa: S311 - chances to be repeated, not secrets
        near, far = stream_pair()
        out, back = (Direction(self._faults[way], Random(rng.random())) for way in Way)  # noqa: S311 - as above
        link = Link(inner, far, out, back)
        self.links.append(link)
        self._group.start_soon(self._run, link)
        return FaultyStream(near, link, inner)

    def change(self, way: Way | None = None, **faults: Any) -> None:
        """Switch faults by name, one way or both, for all links that are open and all that will be made."""
        for each in (Way.OUT, Way.IN) if way is None else (way,):
            self._faults[each] = replace(self._faults[each], **faults)
        for link in self.links:
            link.change(way, **faults)
        if not any(each.stalled for each in self._faults.values()):
            self._healed.set()
            self._healed = anyio.Event()

    def partition(self, way: Way | None = None) -> None:
        """Nothing gets through, one way or both, and nobody can dial, until `heal`; nothing is lost."""
        self.change(way, stalled=True)

    def heal(self) -> None:
        """End a partition: what was held back arrives."""
        self.change(stalled=False)

    async def _run(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            self.links.remove(link)


class _FaultyListener(Listener):
    """Gives out accepted streams behind links."""

    def __init__(self, transport: FaultyTransport, inner: Listener) -> None:
        self._transport = transport
        self._inner = inner

    @property
    def address(self) -> Address:
        return self._inner.address

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        async def behind(stream: ByteStream) -> None:
            await handler(self._transport.wrap(stream))

        await self._inner.serve(behind, task_group)

    async def aclose(self) -> None:
        await self._inner.aclose()
