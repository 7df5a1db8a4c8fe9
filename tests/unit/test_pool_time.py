"""Clocks that jump, and a manager that is away from its own."""

from __future__ import annotations

import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool.timers import LOOK, STALL

from tests.support.pool import Fleet, leases_in, the

TTL = 30.0


@pytest.mark.parametrize("away", [5.0, 31.0, 3_600.0])
def test_a_manager_that_was_away_blames_no_worker_for_it(away: float) -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    fleet.wait(TTL - 2)
    fleet.stall(away)
    decision = fleet.do(s.Tick())
    assert not decision.commit
    assert not the(e.Disconnect, decision)
    assert worker.held == {1: 1}
    worker.beat()
    fleet.wait(TTL - 1)
    assert worker.held == {1: 1}


def test_the_same_silence_with_a_manager_that_looks_ends_the_lease() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    fleet.wait(TTL)
    assert not worker.held


def test_signs_of_life_of_others_do_not_prolong_the_lease_of_a_silent_worker() -> None:
    fleet = Fleet()
    silent = fleet.worker("w1")
    fleet.submit()
    other = fleet.worker("w2")
    silent.drop()
    until = fleet.now + TTL + STALL
    while fleet.now < until:
        fleet.stall(min(5.0, (fleet.pool.deadline() or until) - fleet.now))
        fleet.do(s.Beat(other.session), s.Tick())
    assert not silent.held


def test_a_worker_that_stays_away_after_a_stall_is_lost_in_the_end() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.drop()
    fleet.stall(100.0)
    fleet.do(s.Tick())
    fleet.wait(TTL)
    assert not fleet.pool.workers
    assert fleet.task(1).spent == 1


def test_a_stall_delays_what_was_to_happen_and_loses_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit(2, delay=5.0)
    fleet.stall(50.0)
    assert leases_in(fleet.do(s.Tick())) == {"w1": [1, 2]}
    assert len(worker.held) == 2


def test_nothing_is_leased_to_a_worker_whose_time_is_up() -> None:
    fleet = Fleet()
    fleet.worker()
    fleet.wait(TTL - 1)
    fleet.stall(1.5)
    assert not the(e.Assign, fleet.submitting())
    assert fleet.do(s.Tick()).effects


def test_while_there_are_workers_the_pool_wants_a_look_at_the_clock_before_it_could_take_it_for_a_stall() -> (
    None
):
    fleet = Fleet()
    fleet.worker()
    assert LOOK < STALL
    assert fleet.pool.deadline() == fleet.now + LOOK


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0, 86_400.0, -86_400.0, 1.0])
def test_a_jump_of_the_wall_clock_changes_nothing(jump: float) -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    delayed = fleet.submit(delay=10.0)[0]
    worker.fail(1)
    fleet.wall += jump
    decision = fleet.do(s.Tick(), s.Beat(worker.session))
    assert not decision.commit
    assert not decision.effects
    assert leases_in(fleet.wait(1.0, beating=[worker])) == {"w1": [1]}
    fleet.wall -= 2 * jump
    fleet.wait(8.5, beating=[worker])
    assert fleet.state(delayed) is TaskState.SCHEDULED
    fleet.wait(1.0, beating=[worker])
    assert fleet.state(delayed) is TaskState.QUEUED
    assert worker.held == {1: 2}
    fleet.wall += 10 * jump
    fleet.wait(TTL - 1)
    assert worker.held == {1: 2}
    fleet.wait(2.0)
    assert worker.held == {}


def test_the_clock_is_looked_at_when_the_first_of_all_things_ends() -> None:
    fleet = Fleet()
    assert fleet.pool.deadline() is None, "nothing will end"
    fleet.submit(delay=100.0)
    fleet.submit(delay=0.5)
    assert fleet.pool.deadline() == pytest.approx(fleet.now + 0.5)
    fleet.worker("w1")
    assert fleet.pool.deadline() == pytest.approx(fleet.now + 0.5)
    fleet.wait(0.5)
    assert fleet.pool.deadline() == pytest.approx(fleet.now + LOOK), "soon, lest a stall looks like silence"
    lease = min(worker.lease_until for worker in fleet.pool.workers.values())
    fleet.stall(lease - fleet.now - LOOK / 2)
    assert fleet.pool.deadline() <= lease
