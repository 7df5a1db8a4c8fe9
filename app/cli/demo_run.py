"""The demo's run: submits files, collects digests, kills and restarts processes on the way.

Makes a `Work` of it; showing that is somebody else's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from ..core.errors import TaskMessengerError, TimedOut, UsageError
from ..core.text import count as number_of
from ..handle import Group, WorkerRow
from ..remote import Remote, attach
from .connect import dialler
from .demo_files import File, Found, batches, read
from .demo_fleet import MANAGER, POLL_SECONDS, READY_SECONDS, SIGNALS, Fleet
from .demo_work import Kill, Work

WINDOW: Final = 256
"""Tasks on their way at a time: enough to keep a fleet busy, few enough for latencies to mean something."""
MIN_CHAOS: Final = 60
"""Files; with fewer there is no telling that a kill strikes while work is in hand."""
WINDOW_SHARE: Final = 6
"""The window is at most this part of the files, so that each kill finds work both ended and still to come."""
SUBMITTERS: Final = 2
"""One reads while the other one's tasks are being stored."""
PATIENCE: Final = 60.0
"""Seconds in which a manager that was killed has to be back."""
STALL_SECONDS: Final = 90.0
"""Without any outcome for so long the run has failed."""
LOOK_SECONDS: Final = 0.1
STILL_SECONDS: Final = 0.2
"""Without a word from a frozen worker, what it still holds is really in its hand."""
INVITE_SECONDS: Final = 300.0
HERE: Final = frozenset({"connected", "paused"})
"""States of a worker that has a session."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    found: Found
    workers: int
    chaos: bool


@dataclass(frozen=True, slots=True)
class Watcher:
    """Whom to tell how far it is."""

    said: Callable[[str], None]
    """Something has happened."""
    looked: Callable[[Work, float], None]
    """Several times a second: the books, and seconds since the start."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that came to its end."""

    work: Work
    seconds: float
    late: int
    """Outcomes that changed nothing, sent twice or too late, as far as the managers lived to tell."""


def checked(plan: Plan) -> Plan:
    """The plan, if it makes sense.

    Raises:
        UsageError: too few files for --chaos.
    """
    count = len(plan.found.files)
    if plan.chaos and count < MIN_CHAOS:
        raise UsageError(f"--chaos needs at least {MIN_CHAOS} files to strike among; there are {count}")
    return plan


async def run(plan: Plan, fleet: Fleet, watcher: Watcher) -> Ran | None:
    """Do it, and have everybody leave. None: a signal came first.

    Raises:
        TaskMessengerError: it could not be brought to its end.
    """
    hurry, work = anyio.Event(), anyio.CancelScope()
    ran: Ran | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_obey_signals, work, hurry)
            try:
                with work:
                    ran = await _drive(plan, fleet, watcher)
            finally:
                await fleet.stop(hurry)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _single(group) from None
    return ran


async def _obey_signals(
    work: anyio.CancelScope, hurry: anyio.Event, *, task_status: TaskStatus[None]
) -> None:
    """The first ends the work, the second one's patience."""
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        async for _ in signals:
            if work.cancel_called:
                hurry.set()
            work.cancel()


async def _drive(plan: Plan, fleet: Fleet, watcher: Watcher) -> Ran:
    count = len(plan.found.files)
    work = Work(max(1, min(WINDOW, count // WINDOW_SHARE)))
    work.skipped += plan.found.skipped
    watcher.said(f"starting a manager and {number_of(plan.workers, 'worker')}")
    await fleet.start_manager()
    async with attach(dialler(fleet.paths), patience=PATIENCE) as remote:
        fleet.listens_at((await remote.status()).listening[0])
        names = [f"worker{number}" for number in range(1, plan.workers + 1)]
        invite = await remote.make_invite(plan.workers, INVITE_SECONDS)
        for name in names:
            fleet.start_worker(name, invite.text)
        await _connected(fleet, remote, names)
        return await _Run(plan, fleet, remote, watcher, work).to_the_end()


class _Run:
    """One run, once everybody is there."""

    def __init__(self, plan: Plan, fleet: Fleet, remote: Remote, watcher: Watcher, work: Work) -> None:
        self._plan, self._fleet, self._remote = plan, fleet, remote
        self._watcher, self._work = watcher, work
        self._began = anyio.current_time()
        self._late = 0

    async def to_the_end(self) -> Ran:
        """Until every file has its outcome, and everybody who was killed is back."""
        work = self._work
        self._remote.on_outcomes = lambda found: work.outcomes(found, anyio.current_time())
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look)
                async with anyio.create_task_group() as doing:
                    doing.start_soon(self._submit_all)
                    if self._plan.chaos:
                        doing.start_soon(self._strike)
                    await work.until(lambda: work.finished)
                    seconds = anyio.current_time() - self._began
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _single(group) from None
        late = self._late + (await self._remote.status()).late
        return Ran(work, seconds, late)

    async def _look(self) -> None:
        """Tell how far it is, and notice when it goes no further."""
        work, ended, moved = self._work, -1, anyio.current_time()
        while True:
            now = anyio.current_time()
            self._watcher.looked(work, now - self._began)
            self._fleet.check()
            if work.ended != ended:
                ended, moved = work.ended, now
            if now - moved > STALL_SECONDS:
                raise TimedOut(f"no task has ended for {STALL_SECONDS:g} s; {work.open} are open")
            await anyio.sleep(LOOK_SECONDS)

    # ---- submitting -------------------------------------------------------------------------------------

    async def _submit_all(self) -> None:
        todo = batches(self._plan.found.files)
        async with anyio.create_task_group() as tasks:
            for _ in range(SUBMITTERS):
                tasks.start_soon(self._submit, todo)
        self._work.complete = True
        self._work.changed()

    async def _submit(self, todo: Iterator[list[File]]) -> None:
        for files in todo:
            for part in _parts(files, self._work.window):
                await self._submit_one(part)

    async def _submit_one(self, files: list[File]) -> None:
        """One batch. Keys make it safe to send it again when the manager dies before it answers."""
        work = self._work
        await work.reserve(len(files))
        batch = await anyio.to_thread.run_sync(read, files)
        work.release(len(batch.skipped))
        work.skipped += batch.skipped
        if not batch.names:
            return
        moment = anyio.current_time()
        group = Group("hash", batch.payloads, batch.keys)
        answer = await self._remote.submit([group], watch=True)
        work.accepted(batch, answer.ids, moment, answer.duplicates)

    # ---- killing ----------------------------------------------------------------------------------------

    async def _strike(self) -> None:
        """A worker after a third of the outcomes, the manager after two thirds."""
        count = len(self._plan.found.files)
        first, second = count // 3, count * 2 // 3
        await self._ripe(first)
        await self._kill_worker(second + self._work.window)
        self._late = (await self._remote.status()).late
        await self._ripe(second)
        await self._kill_manager()

    async def _ripe(self, mark: int) -> None:
        """Until so many tasks have ended while others are on their way.

        Submissions are held back meanwhile: what is to be interrupted must not be over too soon.
        """
        work = self._work
        self._submit_up_to(mark + work.window)
        await work.until(lambda: work.ended >= mark or work.finished)
        if not work.open:  # all that was on its way has ended at once
            self._submit_up_to(work.ended + work.window)
            await work.until(lambda: work.open > 0 or work.finished)

    def _submit_up_to(self, count: int | None) -> None:
        self._work.hold = count
        self._work.changed()

    async def _kill_worker(self, submit_up_to: int) -> None:
        """The busiest one. It is frozen first, so that it cannot finish what it has before the blow."""
        here = [row for row in await self._remote.workers() if row.state in HERE]
        name = name_of(max(here, key=lambda row: row.held))
        self._fleet.freeze(name)
        self._submit_up_to(submit_up_to)
        for _ in range(2):  # the second look is at what is left when all that it had sent was read
            await self._row(name, lambda row: _holds_still(row) or self._starved(row))
        outcomes, began = self._work.ended, anyio.current_time()
        self._fleet.kill(name)
        in_hand = (await self._row(name, lambda row: row.state not in HERE)).held
        self._watcher.said(_struck(name, outcomes, in_hand))
        self._fleet.start_worker(name)
        await self._row(name, lambda row: row.state in HERE)
        self._note(Kill(name, outcomes, in_hand, anyio.current_time() - began))

    def _starved(self, row: WorkerRow) -> bool:
        """A frozen worker that has nothing gets something when more is submitted; True: there is none."""
        if not row.held and not self._work.open:
            self._submit_up_to(self._work.submitted + self._work.window)
        return self._work.finished

    async def _kill_manager(self) -> None:
        """At once: nothing is awaited between the look at what is open and the blow."""
        outcomes, in_hand, began = self._work.ended, self._work.open, anyio.current_time()
        self._fleet.kill(MANAGER)
        self._submit_up_to(None)
        self._watcher.said(_struck(MANAGER, outcomes, in_hand))
        await self._fleet.start_manager()
        self._note(Kill(MANAGER, outcomes, in_hand, anyio.current_time() - began))

    def _note(self, kill: Kill) -> None:
        self._work.kills.append(kill)
        self._watcher.said(f"{kill.name} is back after {kill.back_seconds:.1f} s")

    async def _row(self, name: str, wanted: Callable[[WorkerRow], bool]) -> WorkerRow:
        """The worker, as soon as it is as wanted."""
        with anyio.move_on_after(READY_SECONDS):
            while True:
                for row in await self._remote.workers():
                    if name_of(row) == name and wanted(row):
                        return row
                await anyio.sleep(POLL_SECONDS)
        raise TimedOut(f"nothing was seen of {name} for {READY_SECONDS:g} s")


async def _connected(fleet: Fleet, remote: Remote, names: list[str]) -> None:
    with anyio.move_on_after(READY_SECONDS):
        while True:
            fleet.check()
            here = {name_of(row) for row in await remote.workers() if row.state in HERE}
            if here.issuperset(names):
                return
            await anyio.sleep(POLL_SECONDS)
    raise TimedOut(f"not all workers were there within {READY_SECONDS:g} s")


def name_of(row: WorkerRow) -> str:
    """The name a worker was started with: its id is `w-NAME-XXXX`."""
    return row.id.removeprefix("w-").rpartition("-")[0]


def _holds_still(row: WorkerRow) -> bool:
    return row.held > 0 and (row.last_heard or 0.0) >= STILL_SECONDS


def _parts(files: list[File], most: int) -> Iterator[list[File]]:
    for start in range(0, len(files), most):
        yield files[start : start + most]


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of what went wrong at once, the error that an operator can act on."""
    todo: list[BaseException] = [group]
    while todo:
        error = todo.pop()
        if isinstance(error, BaseExceptionGroup):
            todo += error.exceptions
        elif isinstance(error, TaskMessengerError):
            return error
    return group


def _struck(name: str, outcomes: int, in_hand: int) -> str:
    after, had = number_of(outcomes, "outcome"), number_of(in_hand, "task")
    return f"kill -9 {name} after {after}; it had {had} in hand"
