"""The audit: an act in parts is one row, what a member repeats is few rows, and a full disk loses nothing."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from taskmessenger.core.errors import StoreFull, UsageError
from taskmessenger.handle.audit import AuditRow
from taskmessenger.roles import audit as module
from taskmessenger.roles.audit import BROKE, Actor, Audit
from taskmessenger.store.memory import MemoryStore

BOUND = 20.0
BOSS, MEMBER = Actor("boss", "operator", "tcp://10.0.0.1:1"), Actor("c-1", "client", "tcp://10.0.0.2:1")


class Full(MemoryStore):
    """Has no space while `full`."""

    full = True

    async def add_audit(self, entries) -> None:
        if self.full:
            raise StoreFull("no space left")
        await super().add_audit(entries)


async def rows(audit: Audit) -> list[AuditRow]:
    return msgspec.msgpack.decode(await audit.asked("audit 0 0"), type=list[AuditRow])


async def test_an_act_in_parts_is_one_row_with_all_its_tasks() -> None:
    audit = Audit(MemoryStore())
    await audit.record(BOSS, "cancel", matching="kind:a", count=5, more=True)
    await audit.record(BOSS, "cancel", matching="kind:b", count=100)
    await audit.record(BOSS, "cancel", matching="kind:a", count=4, more=True)
    assert [row.filter for row in await rows(audit)] == ["kind:b"]
    await audit.record(BOSS, "cancel", matching="kind:a", count=3)
    await audit.record(BOSS, "cancel", matching="kind:a", count=1)
    assert [(row.filter, row.count) for row in await rows(audit)] == [
        ("kind:b", 100),
        ("kind:a", 12),
        ("kind:a", 1),
    ]


async def test_an_act_of_which_no_more_comes_is_written_down_after_a_while(monkeypatch) -> None:
    monkeypatch.setattr(module, "PART_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    audit = Audit(MemoryStore())
    await audit.record(BOSS, "retry", matching="kind:a", count=5, more=True)
    async with anyio.create_task_group() as group:
        group.start_soon(audit.keep)
        with anyio.fail_after(BOUND):
            while not await rows(audit):
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    await audit.close()
    (row,) = await rows(audit)
    assert (row.count, row.outcome) == (5, "done, and no more came")


async def test_what_finds_no_space_waits_in_order_and_within_a_bound(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_UNWRITTEN", 3)
    store = Full()
    audit = Audit(store)
    for number in range(5):
        await audit.record(BOSS, "cancel", str(number))
    assert await rows(audit) == []
    store.full = False
    await audit.record(BOSS, "cancel", "5")
    await audit.record(BOSS, "cancel", "6")
    assert [row.object for row in await rows(audit)] == ["2", "3", "4", "5", "6"]


async def test_what_an_operator_does_is_always_a_row_and_what_it_breaks_is_counted() -> None:
    audit = Audit(MemoryStore())
    for _ in range(4):
        await audit.record(BOSS, "pause", "all")
        await audit.record(BOSS, BROKE, outcome="columns of unequal length")
        await audit.record(MEMBER, "cancel", "1", count=2)
        await audit.record(MEMBER, "cancel", "1", outcome="refused: no")
    await audit.close()
    told: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for row in await rows(audit):
        told.setdefault((row.who, row.verb, row.outcome[:7]), []).append((row.times, row.count))
    assert told == {
        ("boss", "pause", "done"): [(1, 0)] * 4,
        ("boss", BROKE, "columns"): [(1, 0), (3, 0)],
        ("c-1", "cancel", "done"): [(1, 2), (3, 6)],
        ("c-1", "cancel", "refused"): [(1, 0), (3, 0)],
    }


@pytest.mark.parametrize("what", ["audit ", "audit 1", "audit x 0", "audit 0 x", "audit 0 0 0"])
async def test_a_question_that_makes_no_sense_is_refused(what: str) -> None:
    with pytest.raises(UsageError):
        await Audit(MemoryStore()).asked(what)


async def test_the_audit_is_told_from_a_number_and_a_moment_on() -> None:
    audit = Audit(MemoryStore())
    for number in range(3):
        await audit.record(BOSS, "cancel", str(number))
    for what, expected in (("audit 1 0", ["1", "2"]), ("audit -5 0", ["0", "1", "2"]), ("audit 0 1e12", [])):
        answer = msgspec.msgpack.decode(await audit.asked(what), type=list[AuditRow])
        assert [row.object for row in answer] == expected


async def test_what_is_repeated_is_a_row_when_its_time_has_come_and_an_act_in_parts_waits_for_its_end(
    monkeypatch,
) -> None:
    monkeypatch.setattr(module, "PART_SECONDS", 3_600.0)
    monkeypatch.setattr(module, "FIRST_SPAN", 0.05)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    audit = Audit(MemoryStore())
    await audit.record(BOSS, "retry", matching="kind:a", count=5, more=True)
    for _ in range(3):
        await audit.record(MEMBER, "cancel", "1")
    async with anyio.create_task_group() as group:
        group.start_soon(audit.keep)
        with anyio.fail_after(BOUND):
            while sum(row.times for row in await rows(audit)) < 3:
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    assert [(row.who, row.times) for row in await rows(audit)] == [("c-1", 1), ("c-1", 2)]
    await audit.record(BOSS, "retry", matching="kind:a", count=1)
    last = (await rows(audit))[-1]
    assert (last.who, last.count, last.outcome) == ("boss", 6, "done")
