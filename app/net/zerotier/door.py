"""A listening socket in the care of the loop: who comes is taken at once and waits here to be served.

They are taken at once because what they send must be read at once; see `link`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from ctypes import byref, c_uint32
from typing import Final, TypeAlias

from . import binding as b
from .link import Link, State, prepare
from .loop import SocketLoop
from .waker import News, Waker

log = logging.getLogger(__name__)

ACCEPT_BATCH: Final = 64
"""Connections taken in one go, before anything else gets its turn."""
MAX_CONNECTIONS: Final = 1000
"""Of one node, both ways; libzt has 1,024 sockets, and some are needed for other things."""
LOG_INTERVAL: Final = 10.0
"""Seconds between two complaints that there are too many."""

Taken: TypeAlias = tuple[Link, tuple[str, int]]
"""A connection, and the address and port that it comes from."""


class Door:
    """See the module."""

    def __init__(self, loop: SocketLoop, fd: int) -> None:
        """Own `fd`, which listens; on the loop's thread."""
        self.fd = fd
        self.slot = -1
        self.interest = b.POLLIN
        self.ending = False
        self.open = True
        self._loop = loop
        self._lock = threading.Lock()
        self._taken: deque[Taken] = deque()
        self._log_after = 0.0
        self._waker: Waker | None = None
        self._news: News | None = None
        loop.add(self)

    # From the event loop that uses it

    def attach(self, waker: Waker, news: News) -> None:
        """Have `news` called there whenever somebody has come, or the door was closed. Look once, now."""
        self._waker, self._news = waker, news

    def taken(self) -> list[Taken]:
        """Who has come since the last time."""
        with self._lock:
            found, self._taken = self._taken, deque()
        return list(found)

    async def close(self) -> None:
        """Nobody comes any more, and who was not served is sent away. The port is free afterwards."""
        self._news = None
        if self._loop.running:
            await self._loop.call(self.abandon)

    # From the loop's thread

    def ready(self, events: int) -> None:
        if events & ~b.POLLIN:
            self.abandon()
            return
        for _ in range(ACCEPT_BATCH):
            address, length = b.SockaddrIn(), c_uint32(b.SOCKADDR_LENGTH)
            fd = self._loop.quick.zts_bsd_accept(self.fd, byref(address), byref(length))
            if fd < 0:
                break
            self._take(fd, address)
        self._tell()

    def overdue(self, now: float) -> None:
        pass

    def abandon(self) -> None:
        if not self.open:
            return
        self.open = False
        self._loop.close(self)
        for link, _ in self.taken():
            link.abandon()
        self._tell()

    def _take(self, fd: int, address: b.SockaddrIn) -> None:
        if self._loop.size >= MAX_CONNECTIONS:
            self._complain()  # first: who sees that he was refused finds the reason in the log
            self._loop.quick.zts_bsd_close(fd)
            return
        prepare(self._loop.quick, fd)
        host, port = b.endpoint_of(address)
        with self._lock:
            self._taken.append((Link(self._loop, fd, State.OPEN), (str(host), port)))

    def _complain(self) -> None:
        now = time.monotonic()
        if now >= self._log_after:
            self._log_after = now + LOG_INTERVAL
            log.warning(
                "this ZeroTier node has all the connections that it can have (%d): more are refused",
                MAX_CONNECTIONS,
            )

    def _tell(self) -> None:
        if self._waker is not None and self._news is not None and not self._waker.call(self._news):
            self._news = None
            self.abandon()  # the event loop that used it is gone
