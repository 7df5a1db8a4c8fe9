"""Waits for tasks and prints how they end, in the order they were submitted in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import anyio
import click

from ..core.errors import TaskMessengerError
from ..core.lifecycle import TaskState
from ..runtimes.plain import jsonable
from .output import Array, array, count, note
from .payload import shown, value_of

if TYPE_CHECKING:
    from ..handle import Outcome
    from ..remote import Remote

WINDOW: Final = 1_000
"""Tasks waited for at a time: so many results are held at most, until it is their turn."""
MAX_FAILURES: Final = 20
"""Failures that get a line of their own."""
FIRST_LOOK: Final = 1.0
LOOK_EVERY: Final = 5.0
"""Seconds between looks at why tasks wait."""


class Printer:
    """Takes outcomes in any order, prints them in one."""

    def __init__(self, ids: list[int], elements: Array | None) -> None:
        self.failed = 0
        self._ids, self._elements = ids, elements
        self._next = 0
        self._early: dict[int, Outcome] = {}
        self._came = anyio.Event()

    def take(self, outcomes: list[Outcome]) -> None:
        """Keep them until it is their turn; one that comes twice is printed once.

        Called by the link, so it must not print: an output that fails would look like a link that broke.
        """
        self._early.update((one.id, one) for one in outcomes)
        self._came.set()

    async def print_until(self, end: int) -> None:
        """Print until so many have been printed."""
        while self._next < end:
            await self._came.wait()
            self._came = anyio.Event()
            while self._next < end and self._ids[self._next] in self._early:
                self._print(self._early[self._ids[self._next]])
                self._next += 1
        self._early.clear()

    @property
    def done(self) -> int:
        """How many were printed."""
        return self._next

    def end(self) -> None:
        """Say how many failures were not shown."""
        if self.failed > MAX_FAILURES:
            note(f"... and {self.failed - MAX_FAILURES:,} more did not succeed")

    def _print(self, outcome: Outcome) -> None:
        if self._elements is not None:
            self._elements.add(outcome_json(outcome))
        if outcome.state == TaskState.SUCCEEDED:
            if self._elements is None:
                click.echo(shown(outcome.result or b""))
            return
        self.failed += 1
        if self.failed <= MAX_FAILURES:
            note(failure(outcome))


async def print_results(remote: Remote, ids: list[int], *, as_json: bool) -> int:
    """Until all have ended, however long that takes; says how many did not succeed.

    Raises:
        Unreachable: the manager went away and did not come back.
    """
    with ExitStack() as stack:
        printer = Printer(ids, stack.enter_context(array()) if as_json else None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_explain, remote, ids, printer)
            remote.on_outcomes = printer.take
            for start in range(0, len(ids), WINDOW):
                window = ids[start : start + WINDOW]
                async with anyio.create_task_group() as both:
                    both.start_soon(remote.wait, window)
                    await printer.print_until(start + len(window))
            tasks.cancel_scope.cancel()
        printer.end()
    return printer.failed


async def _explain(remote: Remote, ids: list[int], printer: Printer) -> None:
    """Nobody should have to guess why nothing comes."""
    await anyio.sleep(FIRST_LOOK)
    if sys.stderr.isatty():
        note(f"waiting for {count(len(ids) - printer.done, 'task')}; Ctrl-C stops the waiting, not the tasks")
    said, away = "", False
    while True:
        if remote.connected == away:
            away = not remote.connected
            note("the manager is away; waiting for it to come back" if away else "the manager is back")
        if not away and printer.done < len(ids):
            try:
                reason = await _why(remote, ids[printer.done])
            except TaskMessengerError:
                reason = said  # whoever waits for the results says what is wrong with the link
            if reason and reason != said:
                note(reason)
            said = reason
        await anyio.sleep(FIRST_LOOK if away else LOOK_EVERY)


async def say_what_waits(remote: Remote, ids: Sequence[int]) -> None:
    """Tell why the tasks just submitted do not run, if there is more to it than their turn."""
    found = await remote.detail(
        ids[-1], 0
    )  # of those that had been submitted before the first may have ended
    if found.held_up:
        note(f"{count(len(ids), 'task waits', 'tasks wait')}: {found.waits_for}")


async def _why(remote: Remote, task_id: int) -> str:
    found = await remote.detail(task_id, 0)
    return f"task {task_id} waits: {found.waits_for}" if found.held_up else ""


def failure(outcome: Outcome) -> str:
    """One sentence on how a task went wrong."""
    state = TaskState(outcome.state).word.replace("_", " ")
    text = f"task {outcome.id} {state}"
    if outcome.state in {TaskState.FAILED, TaskState.TIMED_OUT}:
        text += f" after {count(outcome.attempt, 'attempt')}"
    if outcome.error is not None and outcome.state != TaskState.CANCELLED:
        text += f": {outcome.error.message or outcome.error.code}"
    return text


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """How a task ended, in the words of `--json`."""
    error = outcome.error
    return {
        "id": outcome.id,
        "state": TaskState(outcome.state).word,
        "attempt": outcome.attempt,
        "worker": outcome.worker,
        "run_seconds": outcome.run_seconds,
        "result": jsonable(value_of(outcome.result)) if outcome.result is not None else None,
        "error": {"code": error.code, "message": error.message} if error is not None else None,
    }
