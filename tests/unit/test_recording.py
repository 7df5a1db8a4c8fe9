"""A recording: what goes in comes out at any place, whatever has happened to the file; and its bounds."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from taskmessenger.core.errors import Conflict, NotFound, Refused, UsageError
from taskmessenger.handle import Act, Snapshot, TaskQuery
from taskmessenger.record import Recording as File
from taskmessenger.record import ReplayNode, Writer, recording
from taskmessenger.record.file import FULL_EVERY, MARK
from taskmessenger.screens.fake import FakeNode, FakeWorker

STEPS = 150
_OPEN: list[File] = []


def Recording(path: Path) -> File:  # noqa: N802  stands for the class
    """One that is closed when the test is over."""
    _OPEN.append(File(path))
    return _OPEN[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Snapshot]]:
    """A recording of some minutes of the simulated fleet, and what was seen: made once, and left as it is."""
    path = tmp_path_factory.mktemp("recorded") / "a.tmrec"
    return path, fill(path, FakeNode(tasks=500), STEPS)


@pytest.fixture
def kept(recorded: tuple[Path, list[Snapshot]], tmp_path: Path) -> tuple[Path, list[Snapshot]]:
    """A copy of it, to do anything with."""
    return Path(shutil.copy(recorded[0], tmp_path / "a.tmrec")), recorded[1]


def fill(path: Path, node: FakeNode, steps: int, most: int = 10**9) -> list[Snapshot]:
    writer, seen, cursor = Writer(path, most), [], 0
    for _ in range(steps):
        node.advance(1)
        page = node.events(cursor)
        cursor = page.cursor
        writer.events(node.now, page.rows, page.missed)
        rows = anyio.run(node.tasks, TaskQuery(limit=50)).rows
        writer.tasks(node.now, rows)
        snapshot = node.snapshot()
        writer.snapshot(node.now, snapshot)
        seen.append(snapshot)
    writer.close()
    return seen


def same(one: Snapshot, other: Snapshot) -> bool:
    """The history is kept every few steps only."""
    parts = ("at", "role", "connected", "fleet", "workers", "sessions", "kinds", "alarms")
    return all(getattr(one, part) == getattr(other, part) for part in parts)


def test_every_snapshot_comes_out_as_it_went_in_whatever_the_order(
    kept: tuple[Path, list[Snapshot]],
) -> None:
    path, seen = kept
    found = Recording(path)
    assert found.moments == tuple(snapshot.at for snapshot in seen)
    for place in [0, 1, STEPS - 1, 70, 69, 61, 60, 59, 0, *range(STEPS)]:
        assert same(found.snapshot(place), seen[place])
    assert not found.complaints


def test_history_is_at_most_a_few_steps_old(kept: tuple[Path, list[Snapshot]]) -> None:
    path, seen = kept
    found = Recording(path)
    assert any(found.snapshot(100).history == seen[place].history for place in range(95, 101))


def test_events_are_those_up_to_the_moment(kept: tuple[Path, list[Snapshot]]) -> None:
    path, seen = kept
    found = Recording(path)
    for place in (10, 140, 20):
        rows = found.events(seen[place].at, 100_000)
        assert rows
        assert max(row.at for row in rows) <= seen[place].at
        assert [row.number for row in rows] == sorted(row.number for row in rows)
    assert len(found.events(seen[-1].at, 7)) == 7


def test_the_file_is_for_its_owner_alone_and_never_written_over(kept: tuple[Path, list[Snapshot]]) -> None:
    path, _ = kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(Conflict, match="is there already"):
        Writer(path)
    assert path.read_bytes() == before


def test_a_file_that_was_cut_off_is_read_up_to_there(kept: tuple[Path, list[Snapshot]]) -> None:
    path, seen = kept
    data = path.read_bytes()
    for length in (len(data) - 1, len(data) * 2 // 3, len(data) // 2):
        path.write_bytes(data[:length])
        found = Recording(path)
        assert 0 < len(found.moments) < STEPS + 1
        assert all(same(found.snapshot(i), seen[i]) for i in range(len(found.moments)))
        assert len(found.complaints) <= 1
        found.close()


def test_damage_is_left_out_and_told_and_what_is_shown_was_so(kept: tuple[Path, list[Snapshot]]) -> None:
    path, seen = kept
    data = bytearray(path.read_bytes())
    for at in (len(data) // 3, len(data) // 3 + 5_000):
        data[at : at + 40] = b"\x00" * 40
    path.write_bytes(data)
    found = Recording(path)
    assert found.complaints
    assert "is damaged at byte" in found.complaints[0]
    by_time = {snapshot.at: snapshot for snapshot in seen}
    assert STEPS // 4 < len(found.moments) < STEPS
    assert found.moments[-1] == seen[-1].at
    assert all(same(found.snapshot(i), by_time[at]) for i, at in enumerate(found.moments))


def test_any_byte_may_be_wrong_and_nothing_worse_than_a_gap_comes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tmrec"
    fill(path, FakeNode(tasks=50, workers=2), 3)
    data = path.read_bytes()
    for at in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        try:
            found = Recording(path)
        except UsageError:
            continue
        for place in range(len(found.moments)):
            found.snapshot(place)
        found.events(1e12, 100)
        found.tasks(1e12)
        found.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no recording"),
        (b"PK\x03\x04 something else altogether, and longer", "is no recording"),
        (b"taskmessenger recording 9\n", "another version"),
        (b"taskmessenger recording 1\n", "no snapshot"),
        (b"taskmessenger recording 1\n" + MARK * 100, "no snapshot"),
    ],
)
def test_what_is_no_recording_is_said_to_be_none(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=why):
        Recording(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        Recording(tmp_path / "x")


def test_a_full_file_loses_its_older_half_and_never_its_newest(tmp_path: Path) -> None:
    path = tmp_path / "a.tmrec"
    most = 200_000
    seen = fill(path, FakeNode(tasks=500), 4 * FULL_EVERY, most)
    assert path.stat().st_size <= most
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.tmrec"]
    found = Recording(path)
    assert not found.complaints
    assert found.moments[-1] == seen[-1].at
    assert same(found.snapshot(len(found.moments) - 1), seen[-1])
    assert found.moments[0] > seen[0].at


async def test_a_replayed_node_knows_the_newest_tasks_of_then(kept: tuple[Path, list[Snapshot]]) -> None:
    node = ReplayNode(Recording(kept[0]))
    first = (await node.tasks(TaskQuery(limit=10))).rows
    node.go(100)
    later = (await node.tasks(TaskQuery(limit=10))).rows
    assert len(first) == len(later) == 10
    assert later[0].id > first[0].id
    assert (await node.task(later[0].id)).row == later[0]
    failed = (await node.tasks(TaskQuery(states=(5,), limit=50))).rows
    assert all(row.state == 5 for row in failed)
    sorted_rows = (await node.tasks(TaskQuery(sort="run", descending=True, limit=50))).rows
    times = [row.run_seconds for row in sorted_rows]
    assert times == sorted(times, reverse=True)
    with pytest.raises(NotFound, match="keeps the newest only"):
        await node.task(1)


async def test_the_past_cannot_be_changed(kept: tuple[Path, list[Snapshot]]) -> None:
    node = ReplayNode(Recording(kept[0]))
    with pytest.raises(Refused, match="recording"):
        await node.act(Act(verb="pause", scope="all"))
    with pytest.raises(Refused, match="recording"):
        await node.make_invite(1, 1, "worker")


def test_a_node_that_is_looked_at_is_recorded_from_beside(tmp_path: Path) -> None:
    path, node = tmp_path / "a.tmrec", FakeNode(tasks=100)
    with recording(node, path):
        pass
    found = Recording(path)
    assert found.snapshot(0).fleet == node.snapshot().fleet
    assert found.tasks(1e12)


def test_a_worker_is_recorded_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.tmrec"
    with recording(FakeWorker(), path):
        pass
    assert ReplayNode(Recording(path)).snapshot().worker is not None
    assert ReplayNode(Recording(path)).role == "worker"
