"""A connected socket in the care of the loop: what arrives is read at once, what cannot be sent yet is kept.

One event loop uses a link; the loop's thread reads, connects and closes. Both may write, under a lock, so
that bytes leave from the thread that has them. What is kept is bounded, as whoever writes counts: `window`.
A socket is never shut down for writing alone: libzt then frees what it still uses. The stream says its ends.
Whoever dialled closes first: for two minutes the stack there knows that the port was used, and takes another.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from ctypes import byref, c_int
from enum import Enum, auto
from typing import Final, TypeAlias

from . import binding as b
from .loop import SocketLoop
from .waker import News, Waker
from .window import MAX_UNPARSED

log = logging.getLogger(__name__)

READ_SIZE: Final = 64 * 1024
"""Bytes taken from libzt at a time."""
WRITE_SIZE: Final = 64 * 1024
"""Bytes given to libzt at a time; it is slow with more."""
LINGER_SECONDS: Final = 10.0
"""How long the other end may take to end as well, once this end has."""
QUICK_SEND: Final = 4096
"""Up to so many bytes are sent with the GIL held; more take long enough to let others run."""


IsLast: TypeAlias = Callable[[list[bytes]], bool]


def _never(_: list[bytes]) -> bool:
    return False


class State(Enum):
    """Of a link."""

    CONNECTING = auto()
    OPEN = auto()
    DEAD = auto()
    """Its socket is closed."""


class Link:
    """See the module."""

    def __init__(self, loop: SocketLoop, fd: int, state: State) -> None:
        """Own `fd`, which does not block; on the loop's thread, which then watches it."""
        self.fd = fd
        self.slot = -1
        self.state = state
        self.interest = b.POLLOUT if state is State.CONNECTING else b.POLLIN
        self.ending = False
        self.error = 0
        """Why it is dead, as libzt counts errors; 0 if it ended."""
        self._loop = loop
        self._lock = threading.Lock()
        self._arrived: deque[bytes] = deque()
        self._unread = 0
        self._kept = bytearray()
        self._dialled = state is State.CONNECTING
        self._is_last: IsLast = _never
        self._deadline = 0.0
        self._news: News | None = None
        self._waker: Waker | None = None
        loop.add(self)

    # From the event loop that uses it

    def attach(self, waker: Waker, news: News) -> None:
        """Have `news` called there whenever something has changed. Look once yourself, now."""
        self._waker, self._news = waker, news

    def arrived(self) -> list[bytes]:
        """What has come since the last time."""
        with self._lock:
            taken, self._arrived = self._arrived, deque()
            self._unread = 0
        return list(taken)

    def write(self, data: bytes) -> None:
        """Send it, or keep it until it can be sent; what a dead link is given is lost."""
        with self._lock:
            if not data or self.state is State.DEAD:
                return
            if not self._kept:
                sent = self._send(data)
                if sent == len(data):
                    return
                data = data[sent:]
            self._kept += data
            first = len(self._kept) == len(data)
        if first:
            self._loop.run(self._want)

    def finish(self, is_last: IsLast) -> None:
        """Nothing more will be written: end once the other end has all and says so, or when time is up.

        `is_last` is called on the loop's thread with what still arrives; it says whether that was the end.
        """
        self._news = None
        self._is_last = is_last
        self._loop.run(self._begin_end)

    def abort(self) -> None:
        """Nobody cares any more; what was kept is lost."""
        self._news = None
        self._loop.run(self.abandon)

    # From the loop's thread

    def ready(self, events: int) -> None:
        if self.state is State.CONNECTING:
            self._connected()
            return
        if events & b.POLLOUT:
            self._flush()
        if events & ~b.POLLOUT and self.fd >= 0:
            self._read(failed=bool(events & (b.POLLERR | b.POLLNVAL)))

    def overdue(self, now: float) -> None:
        if self.ending and now >= self._deadline:
            self.abandon()

    def abandon(self) -> None:
        self._die(b.ECONNABORTED)

    def _connected(self) -> None:
        error = b.errno_of(self._loop.quick, self.fd)
        if error:
            self._die(error)
            return
        self.state, self.interest = State.OPEN, b.POLLIN
        self._loop.update(self)
        self._tell()

    def _read(self, *, failed: bool) -> None:
        recv, fd = self._loop.quick.zts_bsd_recv, self.fd
        while True:
            size = recv(fd, _BUFFER, READ_SIZE, 0)
            if size <= 0:
                break
            with self._lock:
                self._arrived.append(_VIEW[:size].tobytes())
                self._unread += size
            if size < READ_SIZE and not failed:
                break
        if self._unread > MAX_UNPARSED:
            log.info("a ZeroTier peer sends more than it may; its link is closed")
            failed = True
        if failed:
            self._die(b.errno_of(self._loop.quick, fd) or b.ECONNRESET)
        elif size == 0:
            self._die(0)
        elif self.ending:
            self._end_if_last()
        else:
            self._tell()

    def _flush(self) -> None:
        with self._lock:
            while self._kept:
                sent = self._send(bytes(self._kept[:WRITE_SIZE]))
                if not sent:
                    return
                del self._kept[:sent]
        self.interest &= ~b.POLLOUT
        self._loop.update(self)
        if self.ending:
            self._end_if_last()

    def _send(self, data: bytes) -> int:
        """How many bytes libzt took; what is wrong with the socket, if anything, its next event tells."""
        library = self._loop.quick if len(data) <= QUICK_SEND else self._loop.library
        return max(0, int(library.zts_bsd_send(self.fd, data, len(data), 0)))

    def _want(self) -> None:
        if self.fd >= 0:
            self.interest |= b.POLLOUT
            self._loop.update(self)

    def _begin_end(self) -> None:
        self.ending = self.fd >= 0
        self._deadline = time.monotonic() + LINGER_SECONDS
        self._end_if_last()

    def _end_if_last(self) -> None:
        last = self._is_last(self.arrived())
        if last and self._dialled and self.fd >= 0 and not self._kept:
            self._die(0)

    def _die(self, error: int) -> None:
        with self._lock:
            if self.state is State.DEAD:
                return
            self.state, self.error = State.DEAD, error
            self._kept.clear()
            self._loop.close(self)
        self.ending = False
        self._tell()

    def _tell(self) -> None:
        news, waker = self._news, self._waker
        if news is None or waker is None:
            return
        if not waker.call(news) and self.state is not State.DEAD:
            self._news = None
            self.abandon()  # the event loop that used it is gone


_BUFFER: Final = ctypes.create_string_buffer(READ_SIZE)
_VIEW: Final = memoryview(_BUFFER)
"""Of the loop's thread, of which there is one."""


def prepare(library: b.Library, fd: int) -> None:
    """What every connection gets: it does not block, and nothing waits to be sent together with more."""
    library.zts_bsd_fcntl(fd, b.F_SETFL, b.O_NONBLOCK)
    one = c_int(1)
    library.zts_bsd_setsockopt(fd, b.IPPROTO_TCP, b.TCP_NODELAY, byref(one), ctypes.sizeof(one))
