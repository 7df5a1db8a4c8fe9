"""Starts coroutines in tasks of their own, at once: what never waits is over when `begin` returns.

A task that the event loop starts would cost two of its rounds; most async kinds need none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Final

_NOTHING: Final = object()
_Steps = Coroutine[Any, Any, None]


class _Begun(Coroutine[Any, Any, None]):
    """What a task steps through: a coroutine whose first step was done by somebody else, or nothing."""

    def __init__(self) -> None:
        self._inner: _Steps | None = None
        self._context: Context | None = None
        """That of the coroutine: the task may have been made for another one."""
        self._first: Any = _NOTHING
        """What the first step waits for; the task is to wait for it."""
        self.started = False
        """The task itself has begun: it is of no use for anything new."""

    def begin(self, inner: _Steps, context: Context) -> None:
        """The first step of `inner`; the others are the task's."""
        try:
            self._first = context.run(inner.send, None)
        except StopIteration:
            return
        self._inner, self._context = inner, context

    @property
    def free(self) -> bool:
        """Whether it has nothing to do yet."""
        return self._inner is None and not self.started

    def send(self, value: Any) -> Any:
        self.started = True
        if self._inner is None or self._context is None:
            raise StopIteration
        if self._first is _NOTHING:
            return self._context.run(self._inner.send, value)
        first, self._first = self._first, _NOTHING
        return first

    def throw(self, *error: Any) -> Any:
        self.started = True
        if self._inner is None or self._context is None:
            raise StopIteration
        first, self._first = self._first, _NOTHING
        if isinstance(first, asyncio.Future):
            first.cancel()  # as its task would have done, had it waited already
        return self._context.run(self._inner.throw, *error)

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()

    def __await__(self) -> Any:
        raise RuntimeError("only a task may step through this")

    def __getattr__(self, name: str) -> Any:  # cr_frame and the like, for whoever inspects the task
        return getattr(self._inner, name)


class Beginner:
    """Begins coroutines. One for each event loop."""

    def __init__(self) -> None:
        self._spare: tuple[_Begun, asyncio.Task[None]] | None = None
        """Made for a coroutine that was over at once, and still of use until the loop gets to it."""

    def begin(self, coroutine: _Steps, context: Context) -> asyncio.Task[None]:
        """Run it in `context` up to where it first waits. It must not raise."""
        loop = asyncio.get_running_loop()
        if sys.version_info >= (3, 12):
            return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)
        spare = self._spare
        if spare is None or not spare[0].free or spare[1].cancelling():
            made = _Begun()
            spare = self._spare = made, asyncio.Task(made, loop=loop)
        begun, task = spare
        caller = asyncio.current_task(loop)
        assert caller is not None
        asyncio.tasks._leave_task(loop, caller)  # noqa: SLF001  for who makes tasks: "Extending asyncio"
        asyncio.tasks._enter_task(loop, task)  # noqa: SLF001
        try:
            begun.begin(coroutine, context)
        finally:
            asyncio.tasks._leave_task(loop, task)  # noqa: SLF001
            asyncio.tasks._enter_task(loop, caller)  # noqa: SLF001
        return task
