"""SIGTERM and SIGHUP end a command as Ctrl-C does: it can still say what has been done.

A signal that whoever started this has set to be ignored, as `nohup` does, stays ignored. A command that waits
for the reader of its output is ended at once, any other one where its event loop is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

from .. import outlet

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""
LAST_ANSWER_SECONDS: Final = 5.0
"""How long a request that is on its way is waited for when a signal has come."""
_T = TypeVar("_T")
_BASE: Final = 128
"""Shells add the number of a signal to it."""
_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Told(KeyboardInterrupt):
    """This process was told to end by a signal."""

    def __init__(self, number: int) -> None:
        self.exit_code = _BASE + number
        super().__init__(f"ended by {signal.Signals(number).name}")


@contextmanager
def told_at_once() -> Iterator[None]:
    """Within the block, where no event loop runs, those signals are raised as they come.

    Raises:
        Told: one of them came.
    """

    def told(number: int, _frame: FrameType | None) -> None:
        raise Told(number)

    with _handled_by(told):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, in a coroutine on the main thread, those signals cancel it and are raised as `Told`.

    Raises:
        Told: one of them came.
    """
    import asyncio  # here: it takes a while to load, and few commands come here

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[int] = []

    def told(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if outlet.is_writing() or len(came) > 1:
            outlet.give_up()
            raise Told(number)
        loop.call_soon_threadsafe(task.cancel)

    with _handled_by(told):
        try:
            yield
        except asyncio.CancelledError:
            if came:
                raise Told(came[0]) from None
            raise


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Those signals that would end the process, on the thread that hears them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, handler)
        for number in _SIGNALS
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


async def to_its_end(asking: Coroutine[Any, Any, _T], then: Callable[[_T], object]) -> None:
    """Have `then` take the answer, also when a signal comes while the other side is at it.

    What was asked for happens whether anybody waits or not, so it is better to know.
    """
    import asyncio

    task = asyncio.ensure_future(asking)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_ANSWER_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is None:
            then(task.result())
        task.cancel()
        raise
    then(task.result())
