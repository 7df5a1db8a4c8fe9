"""Runs blocking work on one thread of its own, in order, and lets coroutines wait for it.

A thread pool would cost more for each call and promise no order. Nothing here knows of databases.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import anyio

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_WAITING: Final = 1_024
"""Calls that may wait for one lane; later callers wait for a place."""


class Ticket(Generic[T]):
    """One call: what is to be done, and who waits for it."""

    __slots__ = ("error", "future", "loop", "value", "work")

    def __init__(self, work: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.value: T | None = None
        self.error: BaseException | None = None


class Lane:
    """One thread and the queue before it. Needs asyncio's loop, or one that stands in for it (uvloop)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._queue: queue.SimpleQueue[Ticket[Any] | None] = queue.SimpleQueue()
        # SimpleQueue is the cheap one and has no bound of its own: the places are counted here.
        self._places = anyio.Semaphore(MAX_WAITING, fast_acquire=True)
        # A daemon: when the loop died without closing us, the process must still be able to end.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; once in the life of a lane."""
        self._thread.start()

    async def call(self, work: Callable[[], T]) -> T:
        """What `work()` returns or raises, on the lane's thread, after all that was asked before.

        A caller that is cancelled stops waiting; the work is still done.
        """
        result: T = await self._ask(work)
        return result

    def post(self, work: Callable[[], None]) -> bool:
        """Have `work`, which must not raise, done some time; False when the lane has no place for it."""
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            return False
        self._queue.put(Ticket(work, asyncio.get_running_loop()))
        return True

    async def _ask(self, work: Any) -> Any:
        await self._places.acquire()
        ticket: Ticket[Any] = Ticket(work, asyncio.get_running_loop())
        self._queue.put(ticket)
        return await ticket.future

    async def stop(self) -> None:
        """Finish what was asked and end the thread. The owner lets nobody call afterwards."""
        if not self._thread.is_alive():
            return
        await self.call(lambda: None)
        self._queue.put(None)
        self._thread.join()

    def _main(self) -> None:
        while (ticket := self._wait()) is not None:
            try:
                self._serve(ticket)
            except BaseException:
                # The border of the thread: work reports its own errors, so this is a bug. The lane must
                # go on all the same, or everyone who waits for it would wait for ever.
                log.exception("%s failed between two calls", self.name)

    def _wait(self) -> Ticket[Any] | None:
        """The next call, or None at the end; a subclass may do something while it waits."""
        return self._queue.get()

    def _next(self) -> Ticket[Any] | None:
        """The next call, if one waits."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def _serve(self, ticket: Ticket[Any]) -> None:
        """Do one call; a subclass may take more of them from the queue."""
        self._run(ticket)
        self._deliver([ticket])

    def _run(self, ticket: Ticket[Any]) -> None:
        try:
            ticket.value = ticket.work()
        except BaseException as error:
            # The border of the thread: whatever it is, the caller gets it.
            ticket.error = error

    def _deliver(self, tickets: list[Ticket[Any]]) -> None:
        """Wake those who wait: one call into the loop for all of them."""
        try:
            tickets[0].loop.call_soon_threadsafe(self._settle, tickets)
        except RuntimeError:
            assert tickets[0].loop.is_closed()  # nobody is left to tell

    def _settle(self, tickets: list[Ticket[Any]]) -> None:
        for ticket in tickets:
            self._places.release()
            if ticket.future.done():
                continue  # its caller was cancelled
            if ticket.error is not None:
                ticket.future.set_exception(ticket.error)
            else:
                ticket.future.set_result(ticket.value)
