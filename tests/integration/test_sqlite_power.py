"""Power cuts at every moment: what was acknowledged is there, and nothing refers to what is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from taskmessenger.core.commit import Commit
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import TaskQuery
from taskmessenger.store.sqlite import SqliteStore

from tests.support.disks import Image, PowerDisk, PowerVfs
from tests.support.stores import T0, a_store, reopened, settle, settled, submitted

State = dict[int, tuple[bytes, bytes | None]]
"""Payload and result by task."""


@dataclass(frozen=True)
class Moment:
    """When the power was cut."""

    acknowledged: int
    """Steps."""
    database: Image
    values: Image


class Machine:
    """A store that remembers what every power cut would have left."""

    def __init__(self, folder: Path) -> None:
        self.acknowledged = 0
        self.moments: list[Moment] = []
        self._vfs = PowerVfs("power", self.cut)
        self._disk = PowerDisk(self.cut)
        self.store = a_store(folder, vfs="power")
        self.store._access.segments.disk = self._disk

    def cut(self) -> None:
        self.moments.append(Moment(self.acknowledged, self._vfs.image(), self._disk.image()))

    def close(self) -> None:
        self._vfs.unregister()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr("taskmessenger.store.large.LARGE", 900)
    monkeypatch.setattr("taskmessenger.store.large.MUCH", 900)
    monkeypatch.setattr("taskmessenger.store.segments.SEGMENT_SIZE", 20_000)
    monkeypatch.setattr("taskmessenger.store.writer.CHECKPOINT_PAGES", 30)
    made = Machine(tmp_path)
    yield made
    made.close()


def value(number: int, size: int) -> bytes:
    return bytes([number]) * size


STEPS = [
    Commit(submitted=[submitted(1, payload=value(1, 5000)), submitted(2, payload=b"small")]),
    Commit(settled=[settled(1, result=value(101, 6000))]),
    Commit(submitted=[submitted(n, payload=value(n, 3000 * n)) for n in range(3, 7)]),
    Commit(submitted=[submitted(7, payload=value(7, 50_000))], settled=[settled(3, result=b"small")]),
    Commit(settled=[settled(4, TaskState.FAILED, result=value(104, 4000))]),
    Commit(reopened=[reopened(4)], submitted=[submitted(8, payload=value(8, 1000))]),
    "prune",
    Commit(settled=[settled(n, result=value(100 + n, 7000)) for n in range(4, 8)]),
    "prune",
    Commit(submitted=[submitted(9, payload=value(9, 2000))]),
]


def states() -> list[State]:
    """What is stored after each number of steps."""
    tasks: dict[int, tuple[bytes, bytes | None]] = {}
    ended: dict[int, float] = {}
    found = [dict(tasks)]
    for step in STEPS:
        if isinstance(step, Commit):
            tasks |= {row[0]: (row[12], None) for row in step.submitted}
            tasks |= {row[5]: (tasks[row[5]][0], None) for row in step.reopened}
            tasks |= {row[8]: (tasks[row[8]][0], row[6]) for row in step.settled}
            ended = {n: t for n, t in ended.items() if n not in {row[5] for row in step.reopened}}
            ended |= {row[8]: row[4] for row in step.settled}
        else:
            tasks = {n: values for n, values in tasks.items() if n not in ended}
            ended = {}
        found.append(dict(tasks))
    return found


async def stored(store: SqliteStore) -> State:
    ids = [row.id for row in (await store.page(TaskQuery())).rows]
    payloads = await store.payloads(ids)
    results = {outcome.id: outcome.result for outcome in await store.outcomes(ids)}
    return {task_id: (payloads[task_id], results.get(task_id)) for task_id in ids}


async def after(folder: Path, database: dict[str, bytes], values: dict[str, bytes]) -> State:
    """What the next start finds, and that it leaves no garbage."""
    directory = folder / "tasks.db.values"
    directory.mkdir(parents=True)
    for name, data in database.items():
        (folder / name).write_bytes(data)
    for name, data in values.items():
        (directory / name).write_bytes(data)
    store = a_store(folder)
    await store.open()
    try:
        used = {use.segment: use.end for use in await store._access.ask(store._access.quick, _used)}
        assert {int(path.stem): path.stat().st_size for path in directory.iterdir()} == used
        return await stored(store)
    finally:
        await store.close()


def _used(connection: object) -> list[object]:
    from taskmessenger.store.large import used

    return used(connection)  # type: ignore[arg-type, return-value]


async def test_a_power_cut_at_any_moment_loses_nothing_acknowledged_and_leaves_no_reference_to_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    await machine.store.open()
    machine.moments.clear()
    for step in STEPS:
        if isinstance(step, Commit):
            await machine.store.commit(step)
        else:
            await machine.store.prune(T0 * 2, 100)
        machine.acknowledged += 1
    await machine.store.close()
    expected = states()
    folders = (tmp_path / f"cut-{number}" for number in itertools.count())
    assert len(machine.moments) > 3 * len(STEPS)
    for moment in machine.moments:
        for database, values in itertools.product(
            (moment.database.certain, moment.database.possible),
            (moment.values.certain, moment.values.possible),
        ):
            found = await after(next(folders), database, values)
            assert found in expected[moment.acknowledged : moment.acknowledged + 2]


async def test_a_step_of_the_script_takes_every_way(machine: Machine, tmp_path: Path) -> None:
    """The script is worth cutting: it fills segments, has one for a single value, and removes some."""
    await machine.store.open()
    for step in STEPS:
        if isinstance(step, Commit):
            await machine.store.commit(step)
        else:
            await machine.store.prune(T0 * 2, 100)
    assert await stored(machine.store) == states()[-1]
    names = [path.name for path in (tmp_path / "tasks.db.values").iterdir()]
    assert 0 < len(names) < int(max(names)[:8])
    await machine.store.commit(settle(8))
    await machine.store.close()
