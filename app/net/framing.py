"""Cuts messages into frames and puts frames together again, so that a large message delays no small one.

Sans-IO: bytes in, messages out, and the reverse; no clock, no socket, no meaning of what a message says.

A frame is a header of eight bytes in network order and a body of at most `FRAGMENT` bytes:

    u32 length of the body   u8 flags (1 = final)   u8 zero   u16 stream

Stream 0 carries small messages, each whole in one frame. A message larger than one frame has a stream of its
own while it travels: its fragments are frames with that number, the last one marked final; then the number is
free again. What a reader may rely on:

* small messages (at most `FRAGMENT`) arrive in the order in which they were put; urgent ones overtake
  everything that is not urgent;
* large messages start in the order in which they were put, share the link evenly and may end in any order;
* between a small and a large message there is no order: a small one put later usually arrives earlier.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias, TypeVar

from ..core.errors import FrameTooLarge, PeerError
from .bounds import HEAD, Bound

FRAGMENT: Final = 64 * 1024
"""Largest body of a frame, in bytes: how long a large message can hold up an urgent one."""
MAX_MESSAGE: Final = 65 * 1024 * 1024
"""Largest message, in bytes: a payload of 64 MiB and what is said about it."""
MAX_BUFFERED: Final = 2 * MAX_MESSAGE
"""How many bytes of unfinished large messages a reader holds, and a writer sends before it ends some."""
MAX_STREAMS: Final = 16
"""Large messages under way at the same time, each direction."""
UNAUTHENTICATED: Final = 4 * 1024
"""Largest message, in bytes, from a peer that has not yet said who it is."""
HEADER_SIZE: Final = 8

_FINAL: Final = 1
_WHOLE: Final = _FINAL << 24
"""Second word of the header of a small message: final, reserved byte zero, stream 0."""
_HEADER: Final = struct.Struct("!II")
_MAX_ID: Final = 0xFFFF

Buffer: TypeAlias = bytes | bytearray | memoryview


_T = TypeVar("_T")


def in_frames(rows: Iterable[_T], size: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Rows for one message each: small ones together in one frame, a large one alone, to take turns."""
    together: list[_T] = []
    total = 0
    for row in rows:
        length = size(row)
        if together and total + length > FRAGMENT // 2:
            yield together
            together, total = [], 0
        together.append(row)
        total += length
    if together:
        yield together


class _Large:
    """A message on its way out, a fragment at a time."""

    __slots__ = ("_parts", "left", "size", "stream")

    def __init__(self, parts: Sequence[Buffer], size: int) -> None:
        self._parts = deque(memoryview(part).cast("B") for part in parts if len(part))
        self.size = self.left = size
        self.stream = 0

    def cut(self, fragment: int) -> list[Buffer]:
        """The next frame, header first; `left` says how much remains."""
        length = min(fragment, self.left)
        self.left -= length
        flags = 0 if self.left else _WHOLE
        frame: list[Buffer] = [_HEADER.pack(length, flags | self.stream)]
        while length:
            part = self._parts.popleft()
            if len(part) > length:
                self._parts.appendleft(part[length:])
                part = part[:length]
            frame.append(part)
            length -= len(part)
        return frame


class _Lane:
    """Whole frames that wait, gathered into blocks of about one fragment."""

    __slots__ = ("_filled", "_fragment", "blocks")

    def __init__(self, fragment: int) -> None:
        self._fragment = fragment
        self._filled = fragment
        self.blocks: deque[list[Buffer]] = deque()

    def put(self, parts: Sequence[Buffer], size: int) -> None:
        if self._filled + size > self._fragment or not self.blocks:
            self.blocks.append([])
            self._filled = 0
        block = self.blocks[-1]
        block.append(_HEADER.pack(size, _WHOLE))
        block += parts
        self._filled += HEADER_SIZE + size


class FrameWriter:
    """Turns messages into wire data, the most urgent first.

    It holds references to what was put, not copies: do not change a buffer before it was taken. It does not
    refuse anything for being full: look at `pending` and stop putting.
    """

    def __init__(
        self, *, fragment: int = FRAGMENT, max_streams: int = MAX_STREAMS, max_buffered: int = MAX_BUFFERED
    ) -> None:
        """Cut above `fragment` bytes; keep within what the reader on the other side allows."""
        if not (0 < fragment <= FRAGMENT and 0 < max_streams <= _MAX_ID):
            raise ValueError(f"fragment {fragment} or max_streams {max_streams} is out of range")
        self._fragment = fragment
        self._max_buffered = max_buffered
        self._urgent = _Lane(fragment)
        self._normal = _Lane(fragment)
        self._waiting: deque[_Large] = deque()
        self._under_way: deque[_Large] = deque()
        self._free = deque(range(1, max_streams + 1))
        self._committed = 0
        self._large_next = False
        self._pending = 0

    @property
    def pending(self) -> int:
        """Bytes that wait to be taken, headers included."""
        return self._pending

    def put(self, message: Buffer | Sequence[Buffer], *, urgent: bool = False) -> None:
        """Queue one message, given whole or in pieces that follow one another.

        Raises:
            ValueError: it is empty, or urgent and larger than one frame; a bug in the caller.
        """
        parts = (message,) if isinstance(message, (bytes, bytearray, memoryview)) else message
        size = sum(map(len, parts))
        if 0 < size <= self._fragment:
            (self._urgent if urgent else self._normal).put(parts, size)
            self._pending += HEADER_SIZE + size
        elif urgent or not size:
            raise ValueError(f"a message of {size} bytes is empty, or too large to be urgent")
        else:
            self._waiting.append(_Large(parts, size))
            self._pending += size + HEADER_SIZE * -(-size // self._fragment)

    def take(self, limit: int = FRAGMENT) -> bytes:
        """The next wire data: whole frames, about `limit` bytes (at most one frame more), none if none waits.

        Urgent messages come first; then small and large ones take turns, so that neither starves.
        """
        frames: list[Buffer] = []
        size = 0
        while size < limit:
            block = self._next()
            if block is None:
                break
            frames += block
            size += sum(map(len, block))
        self._pending -= size
        return b"".join(frames)

    def _next(self) -> list[Buffer] | None:
        if self._urgent.blocks:
            return self._urgent.blocks.popleft()
        if self._waiting:
            self._start_large()
        if self._under_way and (self._large_next or not self._normal.blocks):
            self._large_next = False
            return self._cut_large()
        self._large_next = True
        return self._normal.blocks.popleft() if self._normal.blocks else None

    def _start_large(self) -> None:
        """Give streams to waiting messages, in order, as far as the reader can hold them."""
        while self._waiting and self._free:
            fits = self._committed + self._waiting[0].size <= self._max_buffered
            if not fits and self._under_way:
                return
            message = self._waiting.popleft()
            message.stream = self._free.popleft()
            self._committed += message.size
            self._under_way.append(message)

    def _cut_large(self) -> list[Buffer]:
        message = self._under_way.popleft()
        frame = message.cut(self._fragment)
        if message.left:
            self._under_way.append(message)
        else:
            self._free.append(message.stream)
            self._committed -= message.size
        return frame


class _Body:
    """What has come of a message that is not whole yet, in one piece: nothing has to be put together."""

    __slots__ = ("begun", "data", "grew", "judged", "most")

    def __init__(self, most: int, now: float) -> None:
        self.data = bytearray()
        self.most = most
        """Bytes that it may have."""
        self.judged = False
        """`most` is what its first bytes allow."""
        self.begun = self.grew = now

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self.data)


class FrameReader:
    """Turns wire data, in any pieces, into messages. Limits act on headers, before a body is held."""

    def __init__(
        self,
        *,
        max_message: int = MAX_MESSAGE,
        max_streams: int = MAX_STREAMS,
        max_buffered: int = MAX_BUFFERED,
    ) -> None:
        """Hold at most `max_buffered` bytes of unfinished large messages, and one frame besides."""
        self._max_streams = max_streams
        self._max_buffered = max_buffered
        self._streams: dict[int, _Body] = {}
        self._held = 0
        self._now = 0.0
        self._bound: Bound | None = None
        self._head = bytearray()
        self._body = _Body(max_message, 0.0)
        """Where the rest of the current frame goes: a stream's own, or one for a small message."""
        self._missing = 0
        self._stream = 0
        self._final = False
        self._broken: PeerError | None = None
        self.limit(max_message)

    @property
    def buffered(self) -> int:
        """Bytes held of messages that are not complete."""
        return self._held + len(self._head) + (0 if self._stream else self._body.size)

    def limit(self, max_message: int, bound: Bound | None = None) -> None:
        """From the next frame on, refuse messages larger than this many bytes, or than `bound` allows."""
        self._max_message, self._bound = max_message, bound
        self._max_whole = min(max_message, FRAGMENT)

    def waited_for(self, now: float) -> tuple[float, float]:
        """Seconds since the oldest unfinished message began, and for which one of them did not grow."""
        bodies = self._streams.values()
        return (
            max((now - body.begun for body in bodies), default=0.0),
            max((now - body.grew for body in bodies), default=0.0),
        )

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes | bytearray]:
        """Every message that `data` completes, which came at the moment `now`.

        Raises:
            FrameTooLarge: a message, or all unfinished ones together, would be larger than allowed.
            PeerError: these are not our frames. After either, the reader refuses everything.
        """
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        self._now = now
        done: list[bytes | bytearray] = []
        offset, end = 0, len(data)
        unpack, most = _HEADER.unpack_from, self._max_whole
        try:
            if self._missing or self._head:
                offset = self._resume(data, done)
            while end - offset >= HEADER_SIZE:
                length, kind = unpack(data, offset)
                offset += HEADER_SIZE
                stop = offset + length
                if kind == _WHOLE and stop <= end and 0 < length <= most:
                    done.append(data[offset:stop])
                    offset = stop
                else:
                    self._open(length, kind)
                    offset = self._fill(data, offset, done)
        except PeerError as error:
            self._broken = error
            raise
        self._head += data[offset:]
        return done

    def _resume(self, data: bytes, done: list[bytes | bytearray]) -> int:
        """Go on with the frame that the last piece left unfinished; returns the offset after it."""
        if self._missing:
            return self._fill(data, 0, done)
        offset = HEADER_SIZE - len(self._head)
        self._head += data[:offset]
        if len(self._head) < HEADER_SIZE:
            return len(data)
        length, kind = _HEADER.unpack(self._head)
        self._head.clear()
        self._open(length, kind)
        return self._fill(data, offset, done)

    def _open(self, length: int, kind: int) -> None:
        """Check a header and make its frame the current one; nothing of the body is held yet."""
        stream = kind & _MAX_ID
        final = bool(kind & _WHOLE)
        if kind & ~(_WHOLE | _MAX_ID) or not length or not (stream or final):
            raise PeerError(
                f"a frame header that means nothing: length {length}, flags and stream {kind:#010x}"
            )
        body = self._streams.get(stream)
        self._check_size(length, body, stream)
        if body is None:
            if stream and len(self._streams) >= self._max_streams:
                raise FrameTooLarge(f"more than {self._max_streams} large messages at the same time")
            body = _Body(self._max_message, self._now)
            if stream:
                self._streams[stream] = body
        self._body, self._missing, self._stream, self._final = body, length, stream, final

    def _check_size(self, length: int, body: _Body | None, stream: int) -> None:
        before = body.size if body is not None else 0
        if length > FRAGMENT:
            raise FrameTooLarge(f"a frame of {length} bytes, allowed are {FRAGMENT}")
        most = self._max_message if body is None else self._most(body, before + length)
        if before + length > most:
            raise FrameTooLarge(f"a message of {before + length} bytes or more, allowed are {most}")
        if stream and self._held + length > self._max_buffered:
            raise FrameTooLarge(f"unfinished messages of more than {self._max_buffered} bytes together")

    def _most(self, body: _Body, size: int) -> int:
        """Bytes that a message may have that will have so many at least. Looked at once: few get so large."""
        if self._bound is not None and not body.judged and size > FRAGMENT:
            body.most, body.judged = min(self._max_message, self._bound(bytes(body.data[:HEAD]))), True
        return body.most

    def _fill(self, data: bytes, offset: int, done: list[bytes | bytearray]) -> int:
        """Move what belongs to the current frame into its buffer; returns the offset after it."""
        piece = data[offset : offset + self._missing]
        self._body.data += piece
        self._missing -= len(piece)
        if self._stream:
            self._held += len(piece)
            self._body.grew = self._now
        if not self._missing and self._final:
            done.append(self._body.data)
            if self._stream:
                del self._streams[self._stream]
                self._held -= self._body.size
            self._body, self._stream = _Body(self._max_message, self._now), 0
        return offset + len(piece)
