"""Alarms name what an operator should look at, and since when."""

from __future__ import annotations

import pytest
from taskmessenger.core.pool.reasons import Reason, Wait
from taskmessenger.handle import Alarm, WorkerRow
from taskmessenger.roles.alarms import IDLE_SECONDS, MOST, RETURN_SECONDS, Alarms, Facts
from taskmessenger.roles.conduct import Offender

NOBODY = Reason("no_worker", "no worker offers `foo`")
PAUSED = Reason("paused", "kind `a` is paused")
TURN = Reason("turn", "its turn")


def wait(kind: str = "foo", count: int = 1, reason: Reason = NOBODY, since: float = 0.0, **more: str) -> Wait:
    return Wait(kind, more.get("target"), count, reason, since)


def facts(*waits: Wait, **more: object) -> Facts:
    return Facts(waits=waits, **more)


def looked() -> Alarms:
    """Alarms of a manager that has looked before, at 1.0, and found nothing."""
    alarms = Alarms()
    assert alarms.now(Facts(), 1.0) == ()
    return alarms


def only(alarms: tuple[Alarm, ...]) -> Alarm:
    (alarm,) = alarms
    return alarm


def test_all_is_well() -> None:
    assert looked().now(facts(wait("a", 3, TURN)), 5.0) == ()


def test_a_kind_that_nobody_offers() -> None:
    alarm = only(looked().now(facts(wait(count=12)), 5.0))
    assert alarm == Alarm("warning", "no_worker", "12 tasks wait: no worker offers `foo`", 5.0, "kind:foo")


def test_an_alarm_remembers_since_when_and_forgets_when_it_is_over() -> None:
    alarms, bad = looked(), facts(degraded="the disk is full")
    assert only(alarms.now(bad, 5.0)).since == 5.0
    assert only(alarms.now(bad, 9.0)).since == 5.0
    assert alarms.now(facts(), 10.0) == ()
    assert only(alarms.now(bad, 12.0)).since == 12.0


def test_the_beginning_and_the_end_of_an_alarm_are_told_once() -> None:
    alarms, bad = looked(), facts(wait())
    for moment, began, ended in ((2.0, 1, 0), (3.0, 0, 0)):
        alarms.now(bad, moment)
        assert (len(alarms.began), len(alarms.ended)) == (began, ended)
    alarms.now(facts(), 4.0)
    assert [(alarm.code, alarm.since) for alarm in alarms.ended] == [("no_worker", 2.0)]
    alarms.now(facts(), 5.0)
    assert not alarms.began
    assert not alarms.ended


def test_an_alarm_is_as_old_as_the_oldest_task_that_waits() -> None:
    alarms = looked()
    alarm = only(alarms.now(facts(wait(since=1.6)), 2.0))
    assert alarm.since == 1.6
    assert only(alarms.now(facts(wait(since=1.6), wait("foo", since=1.7)), 90.0)).since == 1.6


def test_an_alarm_is_no_older_than_the_look_that_did_not_find_it() -> None:
    alarms = looked()
    alarms.now(facts(wait("foo", 1, TURN, since=2.0)), 50.0)
    assert only(alarms.now(facts(wait(since=2.0)), 51.0)).since == 50.0


def test_after_a_restart_an_alarm_is_as_old_as_its_tasks_once_workers_had_time_to_come_back() -> None:
    alarms, bad = Alarms(), facts(wait(since=100.0))
    assert alarms.now(bad, 3_700.0) == ()
    alarm = only(alarms.now(bad, 3_700.0 + RETURN_SECONDS))
    assert alarm.since == 100.0
    assert alarms.began == [alarm]


def test_a_pause_is_an_alarm_at_once_after_a_restart_too() -> None:
    assert only(Alarms().now(facts(wait("a", 1, PAUSED, since=100.0)), 3_700.0)).since == 100.0


def test_a_clock_that_was_put_back_makes_no_alarm_of_the_future() -> None:
    assert only(looked().now(facts(wait(since=900.0)), 5.0)).since == 5.0


def test_idle_workers_beside_a_full_queue_are_strange_after_a_while() -> None:
    alarms, strange = looked(), facts(wait("a", 120, TURN, since=3.0), idle={"a": 3})
    assert alarms.now(strange, 5.0) == ()
    alarm = only(alarms.now(strange, 11.0))
    assert (alarm.code, alarm.since) == ("idle", 5.0)
    assert "120 tasks wait although 3 workers that offer it are idle" in alarm.text


def test_a_paused_fleet_is_one_alarm_and_not_one_for_each_kind() -> None:
    fleet = Reason("paused", "the fleet is paused")
    alarm = only(looked().now(facts(wait("a", 1, fleet), wait("b", 2, fleet), paused=True), 5.0))
    assert (alarm.code, alarm.scope) == ("paused", "all")
    assert "3 tasks wait" in alarm.text


def test_tasks_for_one_worker_are_an_alarm_about_that_worker() -> None:
    absent = Reason("no_target", "worker w-9, the only one that may, does not exist")
    found = looked().now(
        facts(wait("a", 1, absent, target="w-9"), wait("b", 2, absent, target="w-9"), wait("a", 4, TURN)), 5.0
    )
    alarm = only(found)
    assert (alarm.code, alarm.scope) == ("no_target", "worker:w-9")
    assert alarm.text == "3 tasks wait: worker w-9, the only one that may, does not exist"


def test_a_task_that_does_not_stop_is_an_alarm_with_its_kind_and_worker_as_old_as_it_is_stuck() -> None:
    row = WorkerRow("w-1", "connected", stuck=((7, "spin", 40.0), (8, "spin", 30.0)))
    alarm = only(looked().now(facts(workers=(row,)), 95.0))
    assert (alarm.level, alarm.code, alarm.scope, alarm.since) == ("warning", "stuck", "worker:w-1", 30.0)
    assert "worker w-1: task 7 of `spin`, task 8 of `spin` do not stop and keep 2 slots" in alarm.text
    assert "restart the worker" in alarm.text


def test_a_worker_in_quarantine() -> None:
    alarm = only(looked().now(facts(workers=(WorkerRow("w-1", "quarantined"),)), 5.0))
    assert (alarm.level, alarm.code, alarm.scope) == ("error", "quarantined", "worker:w-1")
    assert "revoke" in alarm.text


def test_a_worker_that_is_away() -> None:
    alarm = only(looked().now(facts(workers=(WorkerRow("w-1", "away", held=4),)), 5.0))
    assert (alarm.code, alarm.scope) == ("away", "worker:w-1")


@pytest.mark.parametrize(
    ("ended", "failed", "expected"),
    [(100, 80, True), (100, 20, False), (10, 10, False), (20, 11, True), (19, 19, False), (20, 10, False)],
)
def test_a_kind_that_mostly_fails(ended, failed, expected) -> None:
    one = facts(recent={"a": (ended, failed)})
    assert [alarm.code for alarm in looked().now(one, 5.0)] == ["failing"] * expected


def test_errors_come_first() -> None:
    found = looked().now(facts(wait(), degraded="full"), 5.0)
    assert [alarm.level for alarm in found] == ["error", "warning"]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1 member waits for approval"), (1_200, "1,200 members wait for approval")]
)
def test_members_that_wait_for_approval(number: int, text: str) -> None:
    alarm = only(Alarms().now(facts(pending=number, pending_since=2.0), 5.0))
    assert alarm == Alarm("warning", "pending", text, 2.0)


def test_a_paused_kind_is_no_kind_that_nobody_offers() -> None:
    found = looked().now(facts(wait("a", 1, PAUSED), wait("b")), 5.0)
    assert [(alarm.code, alarm.scope) for alarm in found] == [("paused", "kind:a"), ("no_worker", "kind:b")]


def test_a_pause_that_holds_up_nobody_is_no_alarm() -> None:
    assert looked().now(facts(paused=True), 5.0) == ()


def test_a_worker_is_idle_for_a_while_before_that_is_strange_and_only_beside_a_queue() -> None:
    alarms, strange, well = looked(), facts(wait("a", 1, TURN), idle={"a": 1}), facts(idle={"a": 1})
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
    data, offender = looked().now(bad, 5.0)
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
