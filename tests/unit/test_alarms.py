"""Alarms name what an operator should look at, and since when."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from taskmessenger.handle import Alarm, KindRow, PoolStatus, WorkerRow
from taskmessenger.roles.alarms import IDLE_SECONDS, MOST, Alarms, Facts
from taskmessenger.roles.conduct import Offender

STATUS = PoolStatus("m", "f", "1", (), 1.0, {}, 0, (), 1, 4, 0.0, 0, 0)


def facts(kinds: tuple[KindRow, ...] = (), workers: tuple[WorkerRow, ...] = (), **status: object) -> Facts:
    return Facts(replace(STATUS, **status), kinds, workers)


def only(alarms: tuple[Alarm, ...]) -> Alarm:
    (alarm,) = alarms
    return alarm


def test_all_is_well() -> None:
    assert Alarms().now(facts((KindRow("a", queued=3, workers=1),)), 5.0) == ()


def test_a_kind_that_nobody_offers() -> None:
    waiting = {"foo": "12 tasks wait: no worker offers `foo`"}
    alarm = only(Alarms().now(facts((KindRow("foo", queued=12),), waiting=waiting), 5.0))
    assert alarm == Alarm("warning", "no_worker", waiting["foo"], 5.0, "kind:foo")


def test_an_alarm_remembers_since_when_and_forgets_when_it_is_over() -> None:
    alarms, bad = Alarms(), facts(degraded="the disk is full")
    assert only(alarms.now(bad, 5.0)).since == 5.0
    assert only(alarms.now(bad, 9.0)).since == 5.0
    assert alarms.now(facts(), 10.0) == ()
    assert only(alarms.now(bad, 12.0)).since == 12.0


def test_idle_workers_beside_a_full_queue_are_strange_after_a_while() -> None:
    alarms, strange = Alarms(), facts((KindRow("a", queued=120, workers=3),))
    strange.idle = {"a": 3}
    assert alarms.now(strange, 5.0) == ()
    alarm = only(alarms.now(strange, 11.0))
    assert (alarm.code, alarm.since) == ("idle", 5.0)
    assert "120 tasks wait although 3 workers that offer it are idle" in alarm.text


def test_a_paused_fleet_is_one_alarm_and_not_one_for_each_kind() -> None:
    kinds = (KindRow("a", queued=1), KindRow("b", queued=2))
    waiting = {"a": "1 task waits: the fleet is paused", "b": "2 tasks wait: the fleet is paused"}
    alarm = only(Alarms().now(facts(kinds, waiting=waiting, paused=("all",)), 5.0))
    assert (alarm.code, alarm.scope) == ("paused", "all")
    assert "3 tasks wait" in alarm.text


def test_a_worker_in_quarantine() -> None:
    alarm = only(Alarms().now(facts(workers=(WorkerRow("w-1", "quarantined"),)), 5.0))
    assert (alarm.level, alarm.code, alarm.scope) == ("error", "quarantined", "worker:w-1")
    assert "revoke" in alarm.text


def test_a_worker_that_is_away() -> None:
    alarm = only(Alarms().now(facts(workers=(WorkerRow("w-1", "away", held=4),)), 5.0))
    assert (alarm.code, alarm.scope) == ("away", "worker:w-1")


@pytest.mark.parametrize(
    ("ended", "failed", "expected"),
    [(100, 80, True), (100, 20, False), (10, 10, False), (20, 11, True), (19, 19, False), (20, 10, False)],
)
def test_a_kind_that_mostly_fails(ended, failed, expected) -> None:
    one = facts((KindRow("a", workers=1),))
    one.recent = {"a": (ended, failed)}
    assert [alarm.code for alarm in Alarms().now(one, 5.0)] == ["failing"] * expected


def test_errors_come_first() -> None:
    kinds, waiting = (KindRow("a", queued=1),), {"a": "1 task waits: no worker offers `a`"}
    found = Alarms().now(facts(kinds, waiting=waiting, degraded="full"), 5.0)
    assert [alarm.level for alarm in found] == ["error", "warning"]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1 member waits for approval"), (1_200, "1,200 members wait for approval")]
)
def test_members_that_wait_for_approval(number: int, text: str) -> None:
    waiting = facts()
    waiting.pending = number
    assert only(Alarms().now(waiting, 5.0)) == Alarm("warning", "pending", text, 5.0)


def test_a_paused_kind_is_no_kind_that_nobody_offers() -> None:
    waiting = {"a": "1 task waits: `a` is paused", "b": "1 task waits: no worker offers `b`"}
    kinds = (KindRow("a", queued=1, paused=True), KindRow("b", queued=1))
    found = Alarms().now(facts(kinds, waiting=waiting), 5.0)
    assert [(alarm.code, alarm.scope) for alarm in found] == [("paused", "kind:a"), ("no_worker", "kind:b")]


def test_a_pause_that_holds_up_nobody_is_no_alarm() -> None:
    assert Alarms().now(facts((KindRow("a"),), paused=("all",)), 5.0) == ()
    assert Alarms().now(facts((KindRow("a", queued=1),), paused=("worker:w",)), 5.0) == ()


def test_a_worker_is_idle_for_a_while_before_that_is_strange_and_only_beside_a_queue() -> None:
    alarms, strange, well = Alarms(), facts((KindRow("a", queued=1),)), facts((KindRow("a"),))
    strange.idle = well.idle = {"a": 1}
    assert alarms.now(strange, 5.0) == ()
    assert alarms.now(strange, 4.9 + IDLE_SECONDS) == ()
    assert (
        "1 task waits although a worker that offers it is idle"
        in only(alarms.now(strange, 5.0 + IDLE_SECONDS)).text
    )
    assert alarms.now(well, 20.0) == ()


def test_who_misbehaves_and_what_is_wrong_with_the_data_are_told_with_the_cure() -> None:
    bad = facts()
    bad.offenders, bad.data = (Offender("w-1", "worker", 7, "columns\x1b"),), "the data were put back"
    data, offender = Alarms().now(bad, 5.0)
    assert (data.level, data.code, data.text) == ("error", "data", "the data were put back")
    assert (offender.level, offender.code, offender.scope) == ("warning", "misbehaves", "worker:w-1")
    assert "broke the protocol 7 times" in offender.text
    assert "worker revoke w-1" in offender.text
    assert offender.text.isprintable()


def test_of_too_many_alarms_the_errors_and_the_oldest_are_told() -> None:
    alarms = Alarms()
    away = [WorkerRow(f"w-{n}", "away") for n in range(MOST + 20)]
    assert len(alarms.now(facts(workers=tuple(away[10:])), 1.0)) == MOST
    found = alarms.now(facts(workers=(*away, WorkerRow("x", "quarantined"))), 2.0)
    assert len(found) == MOST
    assert found[0].code == "quarantined"
    assert {alarm.since for alarm in found[1:]} == {1.0}
