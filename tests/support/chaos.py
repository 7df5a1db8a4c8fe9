"""What every fault run needs: kinds that leave marks, a client that sees all outcomes, an audit."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import apsw
import msgspec
from anyio.to_thread import run_sync as in_thread
from taskmessenger.cli.connect import dialler
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group, Outcome, PoolStatus
from taskmessenger.paths import under
from taskmessenger.remote import Remote, attach

from tests.support.machine import at_first, slowness
from tests.support.processes import Fleet, Process, fleet

PATIENCE = 90.0
"""Seconds a client waits for a manager that is gone."""
WAIT_SECONDS = 240.0
"""Nothing here takes so long when it works; the full size has its own factor."""
STARTERS = 4
"""Processes started side by side."""
GROUP = 50
QUICK = {"ttl": 2.0, "heartbeat": 0.25, "dead_after": 1.0}
"""Leases of a fleet in a hurry: where somebody dies, and what that costs is looked at."""
PATIENT = {"ttl": 30.0, "heartbeat": 0.5, "dead_after": 15.0}
"""Of all others: nobody is taken for lost because this machine has other work."""

MARK = '''
"""Leaves a line for every attempt that begins, waits, and returns its number: `[number, seconds, how]`."""

import asyncio
import os
import time

FILE = os.open(f"{FOLDER}/{os.getpid()}.marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


async def handle(payload, ctx):
    number, seconds, how = payload
    # As long as a whole part of a page: a kill between two pages leaves no half of a line.
    os.write(FILE, (b"%d %d %.6f" % (number, ctx.attempt, time.monotonic())).ljust(63) + b"\\n")
    if seconds:
        await asyncio.sleep(seconds)
    if how == "raise":
        raise ValueError(number)
    if how:
        return os.urandom(int(how))
    return number
'''
VICTIM = '''
"""Says who it is; waits for its end when it begins first, and returns at once later: `number`."""

import glob
import os
import time

RUNTIME = "process"


def handle(payload, ctx):
    first = not glob.glob(f"{FOLDER}/{payload}.*")
    with open(f"{FOLDER}/{payload}.{ctx.attempt}.part", "w") as file:
        file.write(f"{os.getpid()} {time.monotonic()}")
    os.rename(file.name, file.name.removesuffix(".part"))
    while first:
        time.sleep(1)
    return payload
'''


class Missed(AssertionError):
    """A guarantee was not kept."""


class Skipped(Exception):
    """This machine cannot make this fault; the text says why."""


@dataclass
class Run:
    """One fault, once: what it may use and what it found."""

    seed: int
    size: dict[str, Any]
    folder: Path
    figures: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    """Goals that were missed, though not by more than this machine is slower than a quiet one."""

    def __post_init__(self) -> None:
        at_first()
        self.rng = random.Random(self.seed)

    def must(self, holds: bool, what: str) -> None:
        """A guarantee: checked at every size, on every machine."""
        if not holds:
            raise Missed(f"{what}; seed {self.seed}, so far {self.figures}")

    def within(self, name: str, value: float, goal: float) -> None:
        """A time with a goal for a quiet machine: a slower one has as many times more as it is slower now."""
        self.figures[name] = f"{value:.3g} (goal {goal:g})"
        if value <= goal:
            return
        factor = slowness()
        self.missed.append(f"{name} {value:.3g} > {goal:g} where all takes {factor:.1f} times as long")
        self.must(value <= goal * factor, f"{name} is {value:.3g} s, over {goal:g} s times {factor:.2f}")


class Mark(NamedTuple):
    """One attempt that began. The moment is of this machine's monotonic clock."""

    number: int
    attempt: int
    moment: float
    pid: int


def marks(folder: Path) -> list[Mark]:
    """All attempts that began, in order."""
    found = []
    for path in folder.glob("*.marks"):
        for line in path.read_text().splitlines():
            number, attempt, moment = line.split()
            found.append(Mark(int(number), int(attempt), float(moment), int(path.stem)))
    return sorted(found, key=lambda mark: mark.moment)


def once_each(run: Run, began: Sequence[Mark]) -> Counter[int]:
    """No attempt of a task ever began twice; how many began of each task."""
    attempts = Counter((mark.number, mark.attempt) for mark in began)
    twice = [pair for pair, count in attempts.items() if count > 1]
    run.must(not twice, f"attempts that began twice: {twice[:5]}")
    return Counter(mark.number for mark in began)


class Town:
    """A fleet of processes whose manager and workers are set up for a fault."""

    def __init__(self, run: Run, fleet: Fleet) -> None:
        self.run, self.fleet = run, fleet
        self.marks = run.folder / "marks"
        self.marks.mkdir()

    def configure(self, **manager: Any) -> None:
        """The manager's settings; the leases are patient ones unless told."""
        _write(self.fleet.paths.config_file("manager"), {"leases": PATIENT} | manager)

    async def manager(self) -> Process:
        return await in_thread(self.fleet.manager)

    async def worker(self, name: str, capacity: int = 4, **settings: Any) -> Process:
        """Start one, or start it again; it runs the marking kinds."""
        return await in_thread(self._worker, name, capacity, settings)

    def _worker(self, name: str, capacity: int, settings: dict[str, Any]) -> Process:
        paths = under(self.fleet.worker_home(name))
        paths.kinds.mkdir(parents=True, mode=0o700, exist_ok=True)
        for kind, source in (("mark", MARK), ("victim", VICTIM)):
            (paths.kinds / f"{kind}.py").write_text(source.replace("{FOLDER}", str(self.marks)))
        reconnect = {"first": 0.1, "ceiling": 1.0}
        _write(paths.config_file("worker"), {"capacity": capacity, "reconnect": reconnect} | settings)
        return self.fleet.worker(name)

    async def workers(self, names: Sequence[str], capacity: int = 4, **settings: Any) -> list[Process]:
        """Several, a few at a time."""
        found: dict[str, Process] = {}
        places = anyio.Semaphore(STARTERS)

        async def one(name: str) -> None:
            async with places:
                found[name] = await self.worker(name, capacity, **settings)

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(one, name)
        return [found[name] for name in names]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with attach(dialler(self.fleet.paths), patience=PATIENCE) as remote:
            yield Client(self.run, remote)

    async def audit(self, manager: Process) -> dict[str, int]:
        """Stop the manager and read what the file says without its help."""
        self.run.must(await in_thread(manager.stop) == 0, "the manager did not leave in good order")
        return audit(self.run, self.fleet.paths.database)


@asynccontextmanager
async def town(run: Run) -> AsyncIterator[Town]:
    """A fleet none of whose processes outlives the block."""
    with fleet(run.folder / "f") as one:
        yield Town(run, one)


class Client:
    """Submits with keys, hears of every outcome, and never of two different ones for a task."""

    def __init__(self, run: Run, remote: Remote) -> None:
        self.run, self.remote = run, remote
        self.ids: dict[int, Any] = {}
        """Accepted tasks, with the result that each must have."""
        self.outcomes: dict[int, Outcome] = {}
        remote.on_outcomes = self._hear

    def _hear(self, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            first = self.outcomes.setdefault(one.id, one)
            self.run.must((first.state, first.attempt, first.result) == (one.state, one.attempt, one.result),
                          f"the outcome of task {one.id} has changed")  # fmt: skip

    @property
    def progress(self) -> int:
        return len(self.ids) + len(self.outcomes)

    async def marks(
        self,
        first: int,
        count: int,
        seconds: float | Callable[[], float] = 0.0,
        how: str = "",
        **options: Any,
    ) -> list[int]:
        """`count` tasks that leave marks, group after group, each with a key; their ids."""
        all_ids: list[int] = []
        for start in range(first, first + count, GROUP):
            numbers = range(start, min(start + GROUP, first + count))
            payloads = [pack([n, seconds() if callable(seconds) else seconds, how]) for n in numbers]
            keys = [f"{self.run.seed}-{n}" for n in numbers]
            answer = await self.remote.submit([Group("mark", payloads, keys, **options)], watch=True)
            self.ids |= dict(zip(answer.ids, numbers, strict=True))
            all_ids += answer.ids
        return all_ids

    async def submit(self, kind: str, *payloads: Any, **options: Any) -> list[int]:
        answer = await self.remote.submit([Group(kind, [pack(p) for p in payloads], **options)], watch=True)
        return answer.ids

    async def all(self, ids: Sequence[int] | None = None, seconds: float = WAIT_SECONDS) -> None:
        """Until all of these, or all that were submitted with marks, have ended."""
        wanted = list(self.ids) if ids is None else ids
        with anyio.move_on_after(seconds) as scope:
            await self.remote.wait([i for i in wanted if i not in self.outcomes])
        left = [i for i in wanted if i not in self.outcomes]
        status = await self.remote.status() if left else None
        self.run.must(
            not (scope.cancelled_caught and left), f"{len(left)} tasks never ended: {left[:5]}, {status}"
        )

    async def all_well(self) -> PoolStatus:
        """Every task that was accepted has its right result, and the manager's books say the same."""
        for task, number in self.ids.items():
            one = self.outcomes[task]
            self.run.must(one.state == TaskState.SUCCEEDED, f"task {task} ended badly: {one}")
            self.run.must(one.result == pack(number), f"task {task} has another task's result: {one}")
        status = await self.remote.status()
        self.run.must(sum(status.totals.values()) == status.accepted, f"the totals do not add up: {status}")
        return status

    async def endings(self) -> Counter[str]:
        """How attempts ended that were not the last, of all tasks that needed more than one."""
        again = [one.id for one in self.outcomes.values() if one.attempt > 1]
        details = [await self.remote.detail(task) for task in again]
        return Counter(attempt.how for detail in details for attempt in detail.attempts)

    async def same_again(self, options: dict[str, Any] | None = None, seconds: float = 0.0) -> None:
        """Submitted again with their keys, all tasks are the ones of before."""
        numbers = sorted((number, task) for task, number in self.ids.items())
        for start in range(0, len(numbers), 1000):
            part = numbers[start : start + 1000]
            payloads = [pack([number, seconds, ""]) for number, _ in part]
            keys = [f"{self.run.seed}-{number}" for number, _ in part]
            answer = await self.remote.submit([Group("mark", payloads, keys, **options or {})])
            self.run.must(answer.ids == [task for _, task in part], "a key led to another task")
            self.run.must(answer.duplicates == len(part), "a task was accepted twice")


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


async def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> float:
    """Poll until it holds (it may be a coroutine function); says how long that took."""
    start = time.monotonic()
    while True:
        answer = condition()
        if hasattr(answer, "__await__"):
            answer = await answer
        if answer:
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise Missed(f"not within {seconds:g} s: {what}")
        await anyio.sleep(0.01)


def audit(run: Run, database: Path) -> dict[str, int]:
    """The file is whole, every task has one row that says where it is, and attempts only count up."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:

        def one(sql: str) -> Any:
            return connection.execute(sql).fetchone()[0]

        run.must(one("PRAGMA integrity_check") == "ok", "the database is damaged")
        tasks, ended, waiting = (one(f"SELECT count(*) FROM {t}") for t in ("task", "ended", "open_task"))
        run.must(tasks == ended + waiting, f"{tasks} tasks, but {ended} ended and {waiting} open")
        both = one("SELECT count(*) FROM ended JOIN open_task USING (id)")
        run.must(both == 0, f"{both} tasks are both open and ended")
        wrong = one(
            "SELECT count(*) FROM ended JOIN attempt ON task = id WHERE attempt.attempt > ended.attempt"
        )
        run.must(wrong == 0, f"{wrong} attempts came after the one that ended the task")
        empty = one(
            "SELECT count(*) FROM ended WHERE result IS NULL AND error IS NULL"
            " AND id NOT IN (SELECT task FROM large WHERE part = 1)"
        )
        run.must(empty == 0, f"{empty} outcomes have neither result nor error")
        twice = "SELECT key FROM task WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1"
        again = one(f"SELECT count(*) FROM ({twice})")
        run.must(again == 0, f"{again} keys belong to more than one task")
        return {"tasks": tasks, "ended": ended, "open": waiting}
    finally:
        connection.close()


def by_number(began: Sequence[Mark]) -> dict[int, list[Mark]]:
    """The attempts of each task, in order."""
    found: dict[int, list[Mark]] = defaultdict(list)
    for mark in began:
        found[mark.number].append(mark)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent of `values` lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] if ordered else 0.0


def _write(path: Path, settings: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.write_text(json.dumps(settings), encoding="utf-8")
