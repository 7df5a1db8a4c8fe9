"""Priorities that are changed while tasks wait, and caps on workers."""

from __future__ import annotations

from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.commit import Recovered
from taskmessenger.core.pool import Pool

from tests.support.pool import Fleet, leases_in, one, the


def test_a_task_whose_priority_is_raised_is_served_first() -> None:
    fleet = Fleet()
    fleet.submit(4)
    decision = fleet.do(s.SetPriority([3], 7, reply=2))
    assert one(e.Done, decision) == e.Done(2, [3])
    assert decision.commit.repriced == [(7, [3])]
    assert list(fleet.worker(capacity=2, limit=2).held) == [3, 1]


def test_a_task_that_is_moved_to_and_fro_is_leased_once() -> None:
    fleet = Fleet()
    fleet.submit(3)
    for priority in (5, 0, 5, -5, 0, 5):
        fleet.do(s.SetPriority([2], priority))
    worker = fleet.worker(capacity=9, limit=9)
    assert list(worker.held) == [2, 1, 3]


def test_tasks_that_a_worker_has_keep_their_priority() -> None:
    fleet = Fleet()
    fleet.worker(capacity=1, limit=1)
    fleet.submit(2)
    decision = fleet.do(s.SetPriority([1, 2, 99], 5))
    assert one(e.Done, decision).ids == [2]


def test_a_scheduled_task_has_its_new_priority_when_its_moment_comes() -> None:
    fleet = Fleet()
    fleet.submit(delay=2.0)
    fleet.submit()
    fleet.do(s.SetPriority([1], 5))
    fleet.wait(3.0)
    assert list(fleet.worker(capacity=2, limit=2).held) == [1, 2]


def test_a_task_that_moved_away_and_ran_comes_back_to_where_it_was_first() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=1, limit=1)
    fleet.submit(3)
    fleet.do(s.SetPriority([3], 5))
    worker.succeed(1)
    worker.fail(3, how=s.How.RELEASED)
    fleet.do(s.SetPriority([3], 5))
    worker.succeed(3)
    assert list(worker.held) == [2]
    worker.succeed(2)
    fleet.submit(2)
    fleet.do(s.SetPriority([5], 5), s.SetPriority([5], 0))
    worker.succeed(4)
    assert list(worker.held) == [5]


def test_a_task_that_moved_away_can_be_cancelled_and_forgotten() -> None:
    fleet = Fleet()
    fleet.submit(2)
    fleet.do(s.SetPriority([1], 5))
    fleet.do(s.Cancel([1]))
    assert list(fleet.worker(capacity=2, limit=2).held) == [2]


def test_a_capped_worker_gets_no_more_than_that_and_prefetches_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=4, limit=20)
    fleet.do(s.Limit("w1", 2))
    fleet.submit(10)
    assert len(worker.held) == 2
    worker.succeed(1)
    assert len(worker.held) == 2
    decision = fleet.do(s.Limit("w1", None))
    assert len(leases_in(decision)["w1"]) == 7


def test_a_cap_above_what_a_worker_offers_changes_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2, limit=6)
    fleet.do(s.Limit("w1", 5))
    fleet.submit(10)
    assert len(worker.held) == 6


def test_leases_above_a_new_cap_are_left_to_end() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=4, limit=4)
    fleet.submit(6)
    decision = fleet.do(s.Limit("w1", 1))
    assert not the(e.EndLeases, decision)
    worker.succeed(1, 2, 3)
    assert list(worker.held) == [4]


def test_a_cap_outlives_the_worker_and_the_manager() -> None:
    fleet = Fleet()
    settings = fleet.do(s.Limit("w1", 1)).commit.settings
    pool = Pool()
    kept = {name: value for name, value in settings.items() if value is not None}
    pool.recover(Recovered([], [], kept), 0.0, 0.0)
    again = Fleet(pool)
    again.submit(3)
    assert len(again.worker(capacity=3, limit=9).held) == 1
