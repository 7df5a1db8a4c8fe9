"""Keeps what is under way on a stream small, by counting what the peer's reader has not taken yet.

libzt drops what it cannot hand over at once and then stalls for more than a second, so TCP's own backpressure
must never come to bear. Both ends therefore read all there is, at once, and this thin framing says how much a
writer may have outstanding: at most `WINDOW` bytes and `WRITES` writes each direction.

Sans-IO: bytes in, bytes out; no socket, no thread, no clock. The carrier keeps the order and loses nothing,
or breaks. A frame is a header of eight bytes in network order, and for `DATA` a body:

    u8 kind   u8 writes taken   u24 bytes taken   u24 length of the body

Each frame tells what this end's reader has taken since the last one. Only `DATA` counts as a write: of the
others there are few, at most `WRITES / TELL_WRITES` for each window that the peer fills.
"""

from __future__ import annotations

import struct
from collections import deque
from enum import IntEnum
from typing import Final

from ...core.errors import PeerError

WINDOW: Final = 64 * 1024
"""Bytes each direction that the peer's reader has not taken yet."""
WRITES: Final = 64
"""Writes each direction that the peer's reader has not taken whole yet."""
HEADER_SIZE: Final = 8
TELL_BYTES: Final = WINDOW // 4
TELL_WRITES: Final = WRITES // 4
"""So much taken, and the peer is told even when there is nothing else to send."""
WORTHWHILE: Final = WINDOW // 4
"""Room, in bytes, for which a writer with more than that to say waits, so that writes stay large."""
MAX_UNPARSED: Final = 2 * WINDOW + 4 * WRITES * HEADER_SIZE
"""More than a peer that keeps to the window can have under way, frames and all, in bytes."""

_HEADER: Final = struct.Struct("!Q")
_U24: Final = 0xFFFFFF


class Kind(IntEnum):
    """What a frame is."""

    DATA = 1
    TAKEN = 2
    END = 3
    """Nothing more will be written at that end; it still reads."""
    CLOSE = 4
    """Nothing more will be written or read at that end."""


class Window:
    """One end of a stream: cuts what is written, puts together what arrives, and counts both."""

    __slots__ = (
        "_body",
        "_head",
        "_outstanding",
        "_pieces",
        "_unfinished",
        "_untold",
        "_untold_writes",
        "_writes",
        "closed",
        "end_sent",
        "ended",
        "held",
    )

    def __init__(self) -> None:
        self.ended = False
        """The peer writes nothing more."""
        self.closed = False
        """The peer neither writes nor reads any more."""
        self.end_sent = False
        """This end writes nothing more."""
        self.held = 0
        """Bytes that arrived and were not taken yet."""
        self._outstanding = self._writes = 0
        self._untold = self._untold_writes = 0
        self._pieces: deque[memoryview] = deque()
        self._unfinished: deque[int] = deque()
        """Of each write that arrived, the bytes that were not taken yet."""
        self._head = b""
        """The beginning of a header."""
        self._body = 0
        """Bytes that are missing of the write that is arriving."""

    # What this end writes

    @property
    def room(self) -> int:
        """Bytes that may be written now, in one write."""
        return WINDOW - self._outstanding if self._writes < WRITES else 0

    @property
    def outstanding(self) -> tuple[int, int]:
        """Bytes and writes that the peer has not said to be taken."""
        return self._outstanding, self._writes

    def write(self, data: memoryview) -> bytes:
        """The frame of one write, of at most `room` bytes and at least one."""
        size = len(data)
        assert 0 < size <= self.room, "no room"
        assert not self.end_sent, "the end was sent"
        self._outstanding += size
        self._writes += 1
        return b"".join((self._frame(Kind.DATA, size), data))

    def tell(self) -> bytes:
        """The frame that says what was taken; empty as long as that can wait for something to go with."""
        due = self._untold >= TELL_BYTES or self._untold_writes >= TELL_WRITES
        return self._frame(Kind.TAKEN) if due and not self.ended else b""

    def end(self) -> bytes:
        """The frame after which this end writes no more; empty when it was sent before."""
        if self.end_sent:
            return b""
        self.end_sent = True
        return self._frame(Kind.END)

    def close(self) -> bytes:
        """The last frame of this end."""
        self.end_sent = True
        return self._frame(Kind.CLOSE)

    def _frame(self, kind: Kind, size: int = 0) -> bytes:
        word = kind << 56 | self._untold_writes << 48 | self._untold << 24 | size
        self._untold = self._untold_writes = 0
        return _HEADER.pack(word)

    # What arrives

    def feed(self, data: bytes) -> None:
        """Take in what the carrier brought.

        Raises:
            PeerError: this is no such stream, or the peer does not keep to the window. Drop the carrier.
        """
        view = memoryview(data)
        at = 0
        while at < len(view):
            if self._body:
                at += self._keep(view[at : at + self._body])
                continue
            if not self._head and len(view) - at >= HEADER_SIZE:
                (word,) = _HEADER.unpack_from(view, at)
                at += HEADER_SIZE
            else:
                missing = HEADER_SIZE - len(self._head)
                self._head += view[at : at + missing]
                at += missing
                if len(self._head) < HEADER_SIZE:
                    return
                (word,) = _HEADER.unpack(self._head)
                self._head = b""
            self._begin(word)

    def take(self, most: int) -> bytes:
        """What arrived, at most so many bytes; empty when there is nothing."""
        pieces, taken, left = self._pieces, [], most
        while pieces and left:
            piece = pieces.popleft()
            if len(piece) > left:
                pieces.appendleft(piece[left:])
                piece = piece[:left]
            taken.append(piece)
            left -= len(piece)
        self._count_taken(most - left)
        return bytes(taken[0]) if len(taken) == 1 else b"".join(taken)

    def _keep(self, piece: memoryview) -> int:
        size = len(piece)
        self._pieces.append(piece)
        self.held += size
        self._body -= size
        return size

    def _begin(self, word: int) -> None:
        kind, writes, taken, size = word >> 56, word >> 48 & 0xFF, word >> 24 & _U24, word & _U24
        if self.closed:
            raise PeerError("the peer writes after it has closed the stream")
        if taken > self._outstanding or writes > self._writes:
            raise PeerError("the peer has taken more than was written")
        self._outstanding -= taken
        self._writes -= writes
        if kind == Kind.DATA:
            self._begin_write(size)
        elif size or kind not in _KINDS or (kind == Kind.TAKEN and not taken and not writes):
            raise PeerError("what arrives is no stream of this program")
        elif kind != Kind.TAKEN:
            self.ended = True
            self.closed = kind == Kind.CLOSE

    def _begin_write(self, size: int) -> None:
        if self.ended or not size:
            raise PeerError("the peer writes nothing, or after its end")
        if self.held + self._untold + size > WINDOW or len(self._unfinished) + self._untold_writes >= WRITES:
            raise PeerError(f"the peer writes more than {WINDOW} bytes or {WRITES} writes ahead")
        self._body = size
        self._unfinished.append(size)

    def _count_taken(self, size: int) -> None:
        self.held -= size
        self._untold += size
        unfinished = self._unfinished
        while size and unfinished[0] <= size:
            size -= unfinished.popleft()
            self._untold_writes += 1
            if not unfinished:
                return
        if size:
            unfinished[0] -= size


_KINDS: Final = frozenset(Kind)
