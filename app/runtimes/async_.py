"""Runs async handlers on the event loop, in the caller's own task: a trivial job costs a few microseconds.

A handler that blocks instead of awaiting blocks everything; nothing here can prevent it, which is why only
`async def` handlers get here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import anyio
from anyio import CancelScope

from .base import CANCELLED, SUCCEEDED, TIMED_OUT, Ended, Job
from .context import Context, Stop
from .endings import cut_short, settled
from .invoke import Failure, bad_payload, bad_result, failed
from .loading import Kind
from .payload import BadPayload, Packer, unpack
from .reports import Reports

CLOSE_SECONDS: Final = 2.0
"""How long `aclose` waits for handlers that were cancelled."""


class _Run:
    """A running job."""

    __slots__ = ("cancelled", "scope")

    def __init__(self, scope: CancelScope) -> None:
        self.scope = scope
        self.cancelled = False
        """Ended by `cancel`, not by its time limit."""


class _ScopeStop(Stop):
    """Says what the scope says; the scope itself does the stopping."""

    __slots__ = ("_scope",)

    def __init__(self, scope: CancelScope) -> None:
        super().__init__()
        self._scope = scope

    def is_set(self) -> bool:
        return self._scope.cancel_called

    def wait(self, seconds: float) -> bool:
        raise RuntimeError(f"an async handler must not block for {seconds} s: await a sleep instead")


def _is_ours(error: BaseException, scope: CancelScope) -> bool:
    """Whether this is a cancellation from outside the handler, and not one that it brought upon itself."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return (
        scope.cancel_called
        or anyio.get_current_task().has_pending_cancellation()
        or (task is not None and task.cancelling() > 0)
    )


class AsyncRuntime:
    """Runs jobs whose kinds are async. One attempt of a task at a time."""

    def __init__(self, kinds: Mapping[str, Kind], reports: Reports) -> None:
        self._kinds = kinds
        self._reports = reports
        self._running: dict[int, _Run] = {}
        self._pack = Packer()
        self._closing: anyio.Event | None = None

    async def run(self, job: Job) -> Ended:
        """Run it to its end in this task."""
        began = monotonic()
        kind = self._kinds[job.kind]
        try:
            value = unpack(job.payload)
        except BadPayload as error:
            return settled(bad_payload(kind, error), 0.0)
        limit = kind.timeout if job.timeout is None else job.timeout
        scope = CancelScope() if limit is None else CancelScope(deadline=anyio.current_time() + limit)
        self._running[job.task] = run = _Run(scope)
        answer: bytes | Failure | None = None
        try:
            with scope:
                answer = await self._attempt(kind, value, job, scope)
        finally:
            self._forget(job.task, run)
        seconds = monotonic() - began
        if scope.cancel_called:
            return cut_short(CANCELLED if run.cancelled else TIMED_OUT, job, limit, seconds)
        assert answer is not None
        if answer.__class__ is bytes:
            return Ended(SUCCEEDED, seconds, answer)
        return settled(answer, seconds)

    async def _attempt(self, kind: Kind, value: Any, job: Job, scope: CancelScope) -> bytes | Failure:
        try:
            if kind.takes_context:
                result = await self._with_context(kind, value, job, scope)
            else:
                result = await kind.handler(value)
            return self._pack(result)
        except BadPayload as error:
            return bad_result(kind, error)
        except BaseException as error:  # border: task code may raise anything
            if isinstance(error, GeneratorExit) or _is_ours(error, scope):
                raise
            return failed(kind, error)

    async def _with_context(self, kind: Kind, value: Any, job: Job, scope: CancelScope) -> Any:
        line = self._reports.line(job.task, job.attempt)
        context = Context(job.task, job.attempt, job.kind, line.send, _ScopeStop(scope))
        try:
            return await kind.handler(value, context)
        finally:
            line.close()

    def _forget(self, task: int, run: _Run) -> None:
        if self._running.get(task) is run:
            del self._running[task]
        if self._closing is not None and not self._running:
            self._closing.set()

    def cancel(self, task: int) -> None:
        """Cancel it where it waits."""
        run = self._running.get(task)
        if run is not None and not run.scope.cancel_called:
            run.cancelled = True
            run.scope.cancel()

    def lingering(self, task: int) -> anyio.Event | None:
        """Never: what does not stop when cancelled keeps its `run` from returning."""
        return None

    async def aclose(self) -> None:
        """Cancel everything and wait a little for it."""
        for task in list(self._running):
            self.cancel(task)
        if self._running:
            self._closing = anyio.Event()
            with anyio.move_on_after(CLOSE_SECONDS):
                await self._closing.wait()
