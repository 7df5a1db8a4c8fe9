"""One thread for all sockets of the node: it polls, hands out what is ready, and alone opens and closes.

libzt stops for good when a socket is closed by one thread while another is in a call on it, so closing is
done here only. Nothing outside can interrupt its poll but an event of the stack itself: a socket without any
connection, the *bell*, becomes readable when it is shut down. It knows no streams; see `link`.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import anyio

from ...core.errors import Conflict, TimedOut
from . import binding as b
from .waker import Answer

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_WATCHED: Final = 1016
"""Sockets in this loop's care, of the 1,024 that one node can have."""
BACKSTOP: Final = 0.25
"""Seconds that a poll lasts at most; what is overdue is looked at so often."""
DEAF_BACKSTOP: Final = 0.02
"""The same while there is no bell."""
FAREWELL_SECONDS: Final = 1.0
"""How long, when the loop ends, those that are about to end by themselves may take."""
CALL_SECONDS: Final = 10.0
"""How long the thread may take for what it is asked to do, which takes it microseconds."""
END_SECONDS: Final = 5.0
"""How long the thread may take to end."""


class Watched(Protocol):
    """A socket in the care of the loop. All of this happens on the loop's thread."""

    fd: int
    interest: int
    """`POLLIN`, `POLLOUT`; `SocketLoop.update` tells of a change."""
    slot: int
    """The loop's own."""
    ending: bool
    """It will soon end by itself."""

    def ready(self, events: int) -> None: ...

    def overdue(self, now: float) -> None:
        """Is called a few times a second."""

    def abandon(self) -> None:
        """The node stops: close at once."""


class SocketLoop:
    """The thread, and what it watches."""

    def __init__(self, library: b.Library) -> None:
        self.library = library
        """For calls that release the GIL: those that take long."""
        handle = library._handle  # noqa: SLF001  the way ctypes offers to see one library in two ways
        self.quick: b.Library = b.bind(ctypes.PyDLL(None, handle=handle))
        """For calls that last microseconds: giving the GIL away costs more, if another thread keeps it."""
        self._raw = array("h", bytes(ctypes.sizeof(b.PollFd) * (MAX_WATCHED + 1)))
        self._polled: Any = (b.PollFd * (MAX_WATCHED + 1)).from_buffer(self._raw)
        self._view = memoryview(self._raw)
        self._watched: list[Watched] = []
        """The n-th is the n-th of `_polled`; the bell comes after the last."""
        self._commands: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._bell = -1
        self._rung = False
        self._ending = self._ended = False
        self._farewell = 0.0
        """When, while it is ending, it waits for nobody any more."""
        self._thread = threading.Thread(target=self._main, name="zerotier-sockets", daemon=True)

    # From any thread

    def start(self) -> None:
        self._bell = self._new_bell()
        self._thread.start()

    @property
    def running(self) -> bool:
        return not self._ending

    @property
    def size(self) -> int:
        """Sockets in its care."""
        return len(self._watched)

    def run(self, command: Callable[[], None]) -> bool:
        """Have `command()` done on the thread, after all that was asked before; False when it has ended."""
        with self._lock:
            if self._ended:
                return False
            self._commands.append(command)
            if not self._rung and self._bell >= 0 and threading.current_thread() is not self._thread:
                self._rung = True
                self.quick.zts_bsd_shutdown(self._bell, b.SHUT_RD)
        return True

    async def call(self, work: Callable[[], T]) -> T:
        """What `work()` returns or raises on the thread. A caller that is cancelled does not undo it.

        Raises:
            Conflict: the loop has ended. TimedOut: libzt keeps it, and will hardly let it go.
        """
        answer, results = Answer(), list[T]()

        def do() -> None:
            try:
                results.append(work())
            except Exception as error:  # raised at the caller
                answer.give(error)
            else:
                answer.give()

        if self._ending or not self.run(do):
            raise Conflict("the ZeroTier node of this process has stopped: start it again")
        with anyio.move_on_after(CALL_SECONDS):
            await answer.wait()
            return results[0]
        raise TimedOut(f"libzt does nothing for {CALL_SECONDS:g} s: end this process")

    def stop(self) -> None:
        """Close all sockets and end the thread; blocks until it has.

        Raises:
            TimedOut: it does not end, so that nothing under it may be taken away.
        """
        if not self._ending and self._thread.is_alive():
            self.run(self._end)
            self._thread.join(END_SECONDS)
            if self._thread.is_alive():
                raise TimedOut(
                    f"the sockets of libzt did not close within {END_SECONDS:g} s: end this process"
                )

    # From the thread itself

    def add(self, watched: Watched) -> None:
        """Watch it from now on; `MAX_WATCHED` is for the caller to respect."""
        watched.slot = len(self._watched)
        self._watched.append(watched)
        self._place(watched)

    def update(self, watched: Watched) -> None:
        """Its interest has changed."""
        if watched.slot >= 0:
            self._polled[watched.slot].events = watched.interest

    def close(self, watched: Watched) -> None:
        """Forget it and close its socket."""
        last = self._watched.pop()
        if last is not watched:
            last.slot = watched.slot
            self._watched[last.slot] = last
            self._place(last)
        watched.slot = -1
        fd, watched.fd = watched.fd, -1
        self.library.zts_bsd_close(fd)

    def _place(self, watched: Watched) -> None:
        entry = self._polled[watched.slot]
        entry.fd, entry.events, entry.revents = watched.fd, watched.interest, 0

    def _main(self) -> None:
        look_at = 0.0
        while not self._ended:
            while self._commands:
                self._guarded(self._commands.popleft())
            self._poll()
            now = time.monotonic()
            if now >= look_at:
                look_at = now + BACKSTOP
                for watched in [*self._watched]:
                    self._guarded(partial(watched.overdue, now))
            if self._ending and (now >= self._farewell or not any(w.ending for w in self._watched)):
                self._abandon_all()
        while self._commands:  # what came too late fails, and whoever asked for it is told
            self._guarded(self._commands.popleft())

    def _poll(self) -> None:
        number = len(self._watched)
        bell = self._polled[number]
        bell.fd, bell.events, bell.revents = self._bell, b.POLLIN, 0
        deaf = self._bell < 0
        wait = DEAF_BACKSTOP if deaf or self._ending else BACKSTOP
        if deaf and not number:
            time.sleep(wait)
            ready = 0
        else:
            ready = self.library.zts_bsd_poll(self._polled, number + (not deaf), int(wait * 1000))
        if deaf or bell.revents:
            self._renew_bell()
        if ready < 0:
            time.sleep(DEAF_BACKSTOP)  # the service has ended, and does not wait any more
        if ready <= 0:
            return
        events = self._view[3 : 4 * number : 4].tolist()
        for watched, event in [(self._watched[n], event) for n, event in enumerate(events) if event]:
            if watched.fd >= 0:
                self._guarded(partial(watched.ready, event))

    def _guarded(self, command: Callable[[], None]) -> None:
        try:
            command()
        except Exception:  # a bug in the care of one socket must not end the care of all
            log.exception("a ZeroTier socket could not be looked after")

    def _end(self) -> None:
        self._ending = True
        self._farewell = time.monotonic() + FAREWELL_SECONDS

    def _abandon_all(self) -> None:
        for watched in [*self._watched]:
            self._guarded(watched.abandon)
        with self._lock:
            if self._bell >= 0:
                self.library.zts_bsd_close(self._bell)
            self._bell = -1
            self._ended = True

    def _new_bell(self) -> int:
        fd: int = self.quick.zts_bsd_socket(b.AF_INET, b.SOCK_STREAM, 0)
        return fd

    def _renew_bell(self) -> None:
        with self._lock:
            if self._bell >= 0:
                self.quick.zts_bsd_close(self._bell)
            self._bell = self._new_bell()
            self._rung = False
