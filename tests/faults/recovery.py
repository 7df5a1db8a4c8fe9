"""A manager that dies around every commit (F2): pool and writer on a real database, recovered from the disk.

Two workers and a client do what they do; at each commit, before it and after it, the disk is copied as
kill -9 would leave it, and a new manager takes over the copy. What anybody was told must be there, the
invariants must hold, no attempt number may come again, and the new manager must bring everything to one end.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final
from unittest.mock import patch

import anyio
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.commit import Recovered
from taskmessenger.core.pool import Depth, Pool, check
from taskmessenger.core.retry import Backoff
from taskmessenger.roles.writer import Writer
from taskmessenger.store.recover import IN_FULL
from taskmessenger.store.sqlite import Bounds, SqliteStore

from tests.faults.power import NAME, PAGES, VERDICT_SECONDS, Disk, Segments, image_files, registered
from tests.support.chaos import Run
from tests.support.pool import ids_in_backlog
from tests.support.stores import a_store, an_error

TTL, WALL = 30.0, 1_700_000_000.0
WORKERS = {"w0": 1, "w1": 2}
"""Names, and the sessions that they have at first."""
KINDS: Final = frozenset({"a"})
EVERY: Final = 10
"""Of so many images one is lived on in to its end; in all of them a manager starts."""
ROUNDS: Final = 100
RESULT = 20_000
"""Bytes, now and then: beyond what is kept in a row."""


async def killed_managers(run: Run) -> None:
    """The script, and a new manager at every point of it."""
    with registered() as disk, patch("taskmessenger.store.writer.CHECKPOINT_PAGES", PAGES):
        life = Life(run, disk)
        await life.live()
    run.figures |= {
        "manager_commit_points": life.points, "managers_recovered": life.points, "lived_on": life.lived_on,
        "accepted": len(life.told.accepted), "ended": len(life.told.ends),
    }  # fmt: skip
    run.must(len(life.told.ends) > 20 and len(life.told.acked) > 20, "the script did nothing")


class Told:
    """What the world was told by a manager, and may rely on."""

    def __init__(self) -> None:
        self.accepted: set[int] = set()
        self.ends: dict[int, tuple[int, int]] = {}
        self.acked: set[tuple[int, int]] = set()
        self.given: dict[int, int] = {}
        """The highest attempt of a task that a worker was leased."""
        self.held: dict[str, dict[int, int]] = {name: {} for name in WORKERS}

    def take(self, effects: list[e.Effect]) -> None:
        """These have left the manager."""
        for one in effects:
            if isinstance(one, e.Accepted):
                self.accepted.update(one.ids)
            elif isinstance(one, e.Tell):
                self.ends |= {row[0]: (row[1], row[2]) for row in one.outcomes}
            elif isinstance(one, e.Ack):
                self.acked.update(zip(one.tasks, one.attempts, strict=True))
            elif isinstance(one, e.Assign):
                for task, attempt, *_ in one.leases:
                    assert attempt > self.given.get(task, 0), f"attempt {attempt} of {task} comes again"
                    self.given[task] = self.held[one.worker][task] = attempt
            elif isinstance(one, e.EndLeases):
                for held in self.held.values():
                    unwanted = set(one.leases) & held.items()
                    for task, _ in unwanted:
                        del held[task]


class Life:
    """The manager that dies again and again, and goes on all the same."""

    def __init__(self, run: Run, disk: Disk) -> None:
        self.run, self.rng, self.disk = run, run.rng, disk
        self.told, self.now = Told(), 100.0
        self.points = self.lived_on = self._next = 0
        self.sessions = dict(WORKERS)
        self.failure: BaseException | None = None
        self._loop = asyncio.get_running_loop()

    async def live(self) -> None:
        """So many commits."""
        store = a_store(
            self.run.folder / "manager", vfs=NAME, before_commit=self._die, after_commit=self._die
        )
        store._access.segments.disk = Segments(self.disk)
        pool = _a_pool(self.rng.random())
        pool.recover(await store.open(), self.now, WALL)
        writer = Writer(pool, store, self.told.take, clock=lambda: self.now, wall=lambda: WALL + self.now)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await _say(writer, *_join(self.sessions, self.told, fresh=True))
            while self.points < 2 * self.run.size["steps"] and self.failure is None:
                await _say(writer, *self._step())
            tasks.cancel_scope.cancel()
        await store.close()
        if self.failure is not None:
            raise self.failure

    def _step(self) -> list[s.Stimulus]:
        """Something that happens to a manager."""
        rng = self.rng
        self.now += rng.random() * 2
        beats: list[s.Stimulus] = [s.Beat(session) for session in self.sessions.values()]
        name = rng.choice(list(self.sessions))
        session, held = self.sessions[name], self.told.held[name]
        leases = rng.sample(sorted(held.items()), min(len(held), rng.randint(1, 3)))
        what: list[s.Stimulus]
        match rng.randrange(8):
            case 2 | 3 if leases:
                what = _outcomes(session, held, leases, well=True, rng=rng)
            case 4 if leases:
                what = _outcomes(session, held, leases, well=False, rng=rng)
            case 5 if held:
                what = [s.Cancel([rng.choice(sorted(held))])]
            case 6:  # a link breaks, and stands again
                self.sessions[name] = max(self.sessions.values()) + 1
                again = _join({name: self.sessions[name]}, self.told, fresh=False)
                what = [s.LinkLost(session), *again]
            case 7:
                what = [s.Pause("all") if rng.random() < 0.5 else s.Resume("all")]
            case _:
                what = [s.Resume("all"), self._submit()]
        return beats + what

    def _submit(self) -> s.Submit:
        self._next += 1
        size = self.rng.randint(1, 4)
        options = s.Options(kind="a", priority=self.rng.choice([0, 5]), max_attempts=3)
        keys = [f"k{self._next}-{n}" for n in range(size)]
        return s.Submit(options, [b"p"] * size, keys, [b"d"] * size, watch=1)

    def _die(self, number: int) -> None:
        """On the store's thread, which waits until a new manager was seen on what is there."""
        if self.failure is None:
            image = self.disk.image(None, 1.0)
            seen = asyncio.run_coroutine_threadsafe(self._recover(image, f"commit {number}"), self._loop)
            self.failure = seen.exception(VERDICT_SECONDS)

    async def _recover(self, image: dict[str, bytes], what: str) -> None:
        self.points += 1
        with image_files(self.run.folder / "copy", image) as folder:
            # Every other manager finds a queue that is too long to be read task by task.
            store = a_store(folder, bounds=Bounds(in_full=0 if self.points % 2 else IN_FULL))
            found = await store.open()
            pool = _a_pool(self.points)
            attempts = {row[0]: row[13] for row in found.tasks} | dict.fromkeys(_gathered(found), 0)
            pool.recover(found, self.now, WALL)
            check(pool)
            await self._all_there(store, attempts, pool, what)
            if self.points % EVERY == 0:
                self.lived_on += 1
                await self._live_on(store, pool, what)
            await store.close()

    async def _all_there(self, store: SqliteStore, attempts: dict[int, int], pool: Pool, what: str) -> None:
        """Nothing that anybody was told is missing or other than it was told."""
        told, must = self.told, self.run.must
        ends = await _ends(store, told)
        there = pool.tasks.keys() | ids_in_backlog(pool)
        must(there == attempts.keys(), f"G1: {what}: the pool has not taken over what is stored")
        gone = told.accepted - there - ends.keys()
        must(not gone, f"G1: {what}: accepted tasks {gone} are gone")
        other = {i: end for i, end in told.ends.items() if ends.get(i) != end}
        must(not other, f"I4: {what}: these were told to have ended: {other}")
        must(not ends.keys() & there, f"I4: {what}: tasks are open and have ended")
        lost = [(i, a) for i, a in told.acked if i not in ends and attempts[i] < a]
        must(not lost, f"I11: {what}: outcomes {lost} were acknowledged")
        again = [i for i, a in told.given.items() if i in there and _attempt(pool, i) < a]
        must(not again, f"I3: {what}: attempts of tasks {again} would come again")

    async def _live_on(self, store: SqliteStore, pool: Pool, what: str) -> None:
        """The workers are back with what they have, and everything ends, once."""
        before = await _ends(store, self.told)
        everything = before.keys() | pool.tasks.keys() | ids_in_backlog(pool)
        told = Told()
        told.held = {name: dict(held) for name, held in self.told.held.items()}
        told.given = dict(self.told.given)
        stimuli = [s.Resume("all"), *_join(WORKERS, told, fresh=False)]
        now = self.now
        for _ in range(ROUNDS):
            decision = pool.handle(stimuli, now, WALL)
            check(pool)
            if decision.commit:
                await store.commit(decision.commit)
            told.take(decision.effects)
            if not pool.pending:
                break
            now += 2.0
            stimuli = [s.Tick()]
            for name, session in WORKERS.items():
                leases, rng = sorted(told.held[name].items()), random.Random(0)
                stimuli += [s.Beat(session), *_outcomes(session, told.held[name], leases, well=True, rng=rng)]
        after = await _ends(store, told, everything)
        self.run.must(after.keys() == everything, f"G2: {what}: {everything - after.keys()} never end")
        self.run.must(before.items() <= after.items(), f"I4: {what}: an outcome has changed")


def _a_pool(seed: float) -> Pool:
    backoff, depth = Backoff(first=0.5, ceiling=2.0), Depth(in_full=4, shallow=1, drawn=2)
    return Pool(lease_ttl=TTL, rng=random.Random(seed), backoff=backoff, depth=depth)


def _gathered(found: Recovered) -> list[int]:
    return [task_id for ids, *_ in found.waiting for task_id in ids]


def _attempt(pool: Pool, task_id: int) -> int:
    return pool.tasks[task_id].attempt if task_id in pool.tasks else 0


def _join(sessions: dict[str, int], told: Told, *, fresh: bool) -> list[s.Stimulus]:
    """Workers whose processes are the ones of before, with all that they still have."""
    said: list[s.Stimulus] = []
    for name, session in sessions.items():
        said += [
            s.WorkerJoined(session, name, name.encode(), fresh),
            s.Offered(session, KINDS, KINDS, 2, 4),
            s.Holding(session, list(told.held[name].items())),
        ]
    return said


def _outcomes(
    session: int, held: dict[int, int], leases: list[tuple[int, int]], *, well: bool, rng: random.Random
) -> list[s.Stimulus]:
    """These attempts end."""
    if not leases:
        return []
    for task, _ in leases:
        del held[task]
    if not well:
        return [s.Broke(session, [(i, a, s.How.FAILED, 0.5, an_error()) for i, a in leases])]
    many = len(leases)
    results = [b"r" * (RESULT if rng.random() < 0.1 else 5)] * many
    return [s.Finished(session, [i for i, _ in leases], [a for _, a in leases], results, [0.5] * many)]


async def _ends(store: SqliteStore, told: Told, ids: Any = None) -> dict[int, tuple[int, int]]:
    wanted = sorted(ids) if ids is not None else range(1, max(told.accepted, default=0) + 10)
    return {one.id: (one.state, one.attempt) for one in await store.outcomes(wanted)}


async def _say(writer: Writer, *stimuli: s.Stimulus) -> None:
    """And wait until what follows from it is stored and told."""
    for stimulus in stimuli:
        await writer.inbox.put(stimulus)
    while writer.inbox._queue:
        await anyio.sleep(0.001)

    async def nothing() -> None:
        """Only the wait counts."""

    await writer.between(nothing)
