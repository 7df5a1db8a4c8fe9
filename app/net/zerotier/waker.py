"""Calls into an event loop from the thread of the sockets, many with one wake-up.

It works on every loop that anyio runs on. What is called does not block and does not raise.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import anyio
from anyio.lowlevel import RunVar, current_token

News: TypeAlias = Callable[[], None]


class Waker:
    """Of one event loop; see `waker`."""

    def __init__(self) -> None:
        """For the loop that runs in this thread."""
        native: Any = current_token().native_token
        # asyncio and uvloop, else trio: anyio itself has only calls that wait for their end.
        self._post = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        self._lock = threading.Lock()
        self._news: deque[News] = deque()
        self._posted = False

    def call(self, news: News) -> bool:
        """Have `news()` called on the loop soon; False when that loop has ended."""
        with self._lock:
            self._news.append(news)
            if self._posted:
                return True
            self._posted = True
        try:
            self._post(self._run)
        except RuntimeError:  # closed, or trio's run is over
            with self._lock:
                self._news.clear()
                self._posted = False
            return False
        return True

    def _run(self) -> None:
        with self._lock:
            news, self._news = self._news, deque()
            self._posted = False
        for each in news:
            each()


class Answer:
    """What one event loop waits for, and another thread gives."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._waker = waker()
        self._error: BaseException | None = None

    def give(self, error: BaseException | None = None) -> None:
        """From any thread, once; nobody minds when the loop has gone."""
        self._error = error
        self._waker.call(self._event.set)

    async def wait(self) -> None:
        """Until it is given; raises the error that was given."""
        await self._event.wait()
        if self._error is not None:
            raise self._error


def waker() -> Waker:
    """The one of the event loop that runs in this thread."""
    found = _WAKER.get(None)
    if found is None:
        found = Waker()
        _WAKER.set(found)
    return found


_WAKER: Final[RunVar[Waker | None]] = RunVar("zerotier_waker")
