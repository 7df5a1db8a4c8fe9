"""Waits for tasks and prints how they end: a line for each input, in the order of the inputs or as they end.

A result that is text is its line as it is. Text that would not be one line, or could be taken for something
else (it begins with `"` or with `error: `), is written as a JSON string, any other value as JSON. An input
without a result has the line `error: STATE: MESSAGE`. Where lines come as tasks end, each begins with the
number of its input and a tab. A single input is printed as it is, however many lines that are, and nothing
where it failed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import click

from ..core.errors import TaskMessengerError, TimedOut
from ..core.filter import Range
from ..core.lifecycle import TaskState
from ..core.text import count, printable
from ..runtimes.plain import jsonable
from .collected import Collected
from .output import array, note, on_terminal, to_json, when
from .payload import MAX_SHOWN, shown, value_of
from .progress import DRAW_SECONDS, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..handle import Outcome, TaskDetail
    from ..remote import Remote
    from .inputs import Inputs
    from .submit import Form

WINDOW: Final = 1_000
"""Tasks that are waited for at a time."""
CHUNK: Final = 250
"""Of them, those that are asked for together."""
MAX_FAILURES: Final = 20
"""Failures that get a line of their own on standard error."""
FIRST_LOOK: Final = 1.0
LOOK_EVERY: Final = 5.0
"""Seconds between looks at why tasks wait."""
MOST_RUNNING: Final = 1_000
"""Tasks that run which are counted."""
FAILED: Final = "error: "
"""What the line of an input without a result begins with."""


class Printer:
    """Prints outcomes, and tells of failures."""

    def __init__(self, inputs: Inputs, form: Form, write: Callable[..., None], progress: Progress) -> None:
        """`write`: prints lines, or the elements of JSON."""
        self._inputs, self._form, self._write, self._progress = inputs, form, write, progress
        self._told = self._failed = 0

    async def print(self, batch: Sequence[tuple[int, Outcome]]) -> None:
        """The next ones; a slow reader does not keep the link from being served."""
        with self._progress.hidden():
            some: list[Any] = []
            for place, outcome in batch:
                if self._form.json:
                    some.append(self._element(place, outcome))
                elif not self._form.single:
                    some.append(self._line(place, outcome))
                elif outcome.state == TaskState.SUCCEEDED:
                    some.append(shown(outcome.result or b""))
                if outcome.state != TaskState.SUCCEEDED:
                    self._failed += 1
                    if self._failed <= MAX_FAILURES:
                        await self._flush(some)
                        note(self._failure(place, outcome))
            await self._flush(some)

    def end(self) -> None:
        """Say how many failures were not shown."""
        if self._failed > MAX_FAILURES:
            note(f"... and {self._failed - MAX_FAILURES:,} more did not succeed")

    async def _flush(self, some: list[Any]) -> None:
        if some:
            await anyio.to_thread.run_sync(partial(self._write, *some), abandon_on_cancel=True)
            some.clear()

    def _line(self, place: int, outcome: Outcome) -> str:
        text = result_line(outcome)
        return text if self._form.in_order else f"{place + 1}\t{text}"

    def _failure(self, place: int, outcome: Outcome) -> str:
        if self._form.single:
            return failure(outcome)
        return f"{failure(outcome)} ({self._inputs.about(place)})"

    def _element(self, place: int, outcome: Outcome) -> dict[str, Any]:
        inputs = self._inputs
        return {
            "index": place + 1,
            "line": inputs.line(place),
            "key": inputs.key(place) or None,
            **outcome_json(outcome),
            "payload_head": inputs.head(place),
        }


async def print_results(remote: Remote, ids: Sequence[int], inputs: Inputs, form: Form) -> int:
    """Until all have ended, or the time is over; says how many did not succeed.

    Raises:
        Unreachable: the manager went away and did not come back.
        TimedOut: not all have ended in time.
    """
    collected = Collected(ids, in_order=form.in_order)
    progress = Progress(len(ids))
    with ExitStack() as stack:
        stack.callback(progress.hide)
        write = _print_json if form.json else _print_lines
        printer = Printer(
            inputs, form, stack.enter_context(array()).add if form.json == "array" else write, progress
        )
        remote.on_outcomes = collected.take
        deadline = math.inf if form.timeout is None else anyio.current_time() + form.timeout
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_explain, remote, collected, progress)
            tasks.start_soon(_follow, remote, collected)
            while not collected.complete:
                with anyio.CancelScope(deadline=deadline) as waiting:
                    batch = await collected.batch(remote)
                if waiting.cancelled_caught:
                    break
                await printer.print(batch)  # what has ended is printed, however slow its reader is
            tasks.cancel_scope.cancel()
        progress.hide()
        printer.end()
    if not collected.complete:
        raise TimedOut(
            f"{collected.ended:,} of {count(len(ids), 'task')} had ended when the time to wait was over, and"
            " the manager goes on with the others"
        )
    return collected.failed


def _print_lines(*lines: str) -> None:
    click.echo("\n".join(lines))


def _print_json(*elements: Any) -> None:
    click.echo("\n".join(map(to_json, elements)))


async def _follow(remote: Remote, collected: Collected) -> None:
    """Ask to be told of the tasks, a window of open ones at a time: those that wait cost the manager more."""
    ids = collected.ids
    async with anyio.create_task_group() as tasks:
        chunk = min(CHUNK, WINDOW)
        for start in range(0, len(ids), chunk):
            await collected.room(start, WINDOW)
            tasks.start_soon(remote.wait, ids[start : start + chunk])


async def _explain(remote: Remote, collected: Collected, progress: Progress) -> None:
    """Nobody should have to guess why nothing comes, nor how long it takes."""
    await anyio.sleep(FIRST_LOOK)
    if progress.on_terminal:
        note(f"waiting for {count(len(collected.ids), 'task')}; Ctrl-C stops the waiting, not the tasks")
    look = _Look(remote, collected, progress)
    while True:
        await look.again()
        await anyio.sleep(DRAW_SECONDS)


class _Look:
    """What was said last of how it goes."""

    def __init__(self, remote: Remote, collected: Collected, progress: Progress) -> None:
        self._remote, self._collected, self._progress = remote, collected, progress
        self._said, self._running, self._away = "", "", False
        self._ended, self._still = 0, 0
        self._due = 0.0

    async def again(self) -> None:
        """Say what is new."""
        if self._remote.connected == self._away:
            self._away = not self._remote.connected
            self._note(
                "the manager is away; waiting for it to come back" if self._away else "the manager is back"
            )
        if not self._away and anyio.current_time() >= self._due:
            self._due = anyio.current_time() + LOOK_EVERY
            with suppress(TaskMessengerError):  # whoever waits for the results says what is wrong
                await self._ask()
        if len(self._collected.ids) > 1 or self._running:
            self._progress.show(self._collected.ended, self._collected.failed, self._running)

    async def _ask(self) -> None:
        ended = self._collected.ended
        self._still = self._still + 1 if ended == self._ended else 0
        self._ended = ended
        first = self._collected.first_open()
        if first is None:
            return
        if self._still:
            found = await self._remote.detail(first, 0)
            why = _why(found) if found.held_up or self._still > 1 else ""
            if why and why != self._said:
                self._note(why)
            self._said = why
        else:
            self._said = ""
        if self._progress.is_due():
            self._running = await _running(self._remote, first, self._collected.ids)

    def _note(self, text: str) -> None:
        self._progress.hide()
        note(text)


def _why(found: TaskDetail) -> str:
    """Why a task waits; empty when it runs."""
    if not found.waits_for:
        return ""
    due = f" ({when(found.row.due_at)})" if found.row.due_at is not None else ""
    return f"task {found.row.id} waits: {found.waits_for}{due}"


async def _running(remote: Remote, first: int, ids: Sequence[int]) -> str:
    """How many of them run, as `8 running`: those of others among them are counted as well."""
    from ..handle import TaskQuery

    span = Range("id", first, max(ids))
    query = TaskQuery(states=(TaskState.RUNNING.value,), ranges=(span,), stale=LOOK_EVERY)
    found = await remote.count(query, MOST_RUNNING)
    return f"{found.number:,}{'' if found.exact else ' or more'} running" if found.number else ""


async def say_what_waits(remote: Remote, ids: Sequence[int]) -> None:
    """Tell why the tasks just submitted do not run, if there is more to it than their turn."""
    # Of those that had been submitted before the first may have ended.
    found = await remote.detail(ids[-1], 0)
    if found.held_up:
        note(f"{count(len(ids), 'task waits', 'tasks wait')}: {found.waits_for}")


def result_line(outcome: Outcome) -> str:
    """What became of one input, on one line."""
    if outcome.state != TaskState.SUCCEEDED:
        text = f"{FAILED}{TaskState(outcome.state).word}"
        if outcome.error is not None and outcome.state != TaskState.CANCELLED:
            text += f": {outcome.error.message or outcome.error.code}"
        return printable(text, MAX_SHOWN)
    value = value_of(outcome.result or b"")
    if isinstance(value, str) and value.splitlines() in ([], [value]) and not value.startswith(('"', FAILED)):
        text = value
    else:
        text = json.dumps(jsonable(value), ensure_ascii=False)
        if text.splitlines() != [text]:  # separators of lines that JSON lets stand
            text = json.dumps(jsonable(value))
    return printable(text, MAX_SHOWN, keep="\t") if on_terminal() else text


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
