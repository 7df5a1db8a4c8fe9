"""The manager enforces time: what workers keep for too long ends, goes back, or goes to who is idle."""

from __future__ import annotations

import msgspec
import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.effects import Decision
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Patience
from taskmessenger.core.pool.overdue import EXTENSION, OVERDUE, TAKE_OVER
from taskmessenger.handle import ErrorInfo

from tests.support.pool import Fleet, Peer, leases_in, one, the

TTL, WITHIN, GRACE = 30.0, 30.0, 15.0


def a_fleet(**more: object) -> Fleet:
    return Fleet(patience=Patience(WITHIN, GRACE), **more)


def test_an_attempt_ends_at_its_timeout_and_a_grace_whatever_its_worker_beats() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit(timeout=2.0)
    worker.start(1)
    assert not the(e.EndLeases, fleet.wait(2.0 + GRACE - 1.0, beating=[worker]))
    decision = fleet.wait(2.0, beating=[worker])
    assert one(e.EndLeases, decision).leases == [(1, 1)]
    assert decision.commit.attempts[0][5] == "timed_out"
    assert fleet.state(1) in {TaskState.SCHEDULED, TaskState.QUEUED}
    assert fleet.task(1).spent == 1
    info = msgspec.msgpack.decode(OVERDUE, type=ErrorInfo)
    assert info.code == "timed_out"


def test_the_last_attempt_that_its_worker_does_not_end_is_timed_out() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit(timeout=1.0, max_attempts=1)
    worker.start(1)
    decision = fleet.wait(1.0 + GRACE + 2.0, beating=[worker])
    assert decision.commit.settled[0][0] == TaskState.TIMED_OUT


def test_its_result_comes_too_late_and_the_room_is_free_again() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit(timeout=1.0)
    worker.start(1)
    fleet.wait(1.0 + GRACE + 1.0, beating=[worker])
    fleet.wait(10.0, beating=[worker])
    assert not worker.held, "the slot is not trusted before the worker says that it is free"
    decision = worker.send([(1, 1)])
    assert not decision.commit.settled
    assert fleet.pool.late == 1
    assert worker.held == {1: 2}


@pytest.mark.parametrize("how", [s.How.CANCELLED, s.How.RELEASED, s.How.FAILED])
def test_a_worker_that_agrees_to_the_end_has_its_room_back(how: s.How) -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit(timeout=1.0)
    worker.start(1)
    fleet.wait(1.0 + GRACE + 10.0, beating=[worker])
    fleet.do(s.Broke(worker.session, [(1, 1, how, 0.5, None)]))
    assert worker.held == {1: 2}


def test_a_task_without_a_timeout_may_run_for_ever() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    fleet.wait(10_000.0, beating=[worker])
    assert worker.held == {1: 1}


def test_a_worker_whose_link_broke_has_its_grace_when_it_is_back_but_not_again_and_again() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit(timeout=1.0)
    worker.start(1)
    began = fleet.now
    while worker.held:
        worker.drop()
        fleet.wait(GRACE - 5.0)
        worker.back()
        fleet.wait(1.0, beating=[worker])
        assert fleet.now - began < 10 * GRACE
    assert fleet.now - began > 1.0 + 2 * GRACE
    assert fleet.now - began < 1.0 + EXTENSION * GRACE + GRACE


def test_time_in_which_the_manager_stood_still_counts_against_nobody() -> None:
    fleet = a_fleet()
    worker = fleet.worker("w1", capacity=2, limit=3)
    fleet.submit(3, timeout=1.0)
    worker.start(1, 2)
    fleet.stall(500.0)
    decision = fleet.do(s.Finished(worker.session, [1], [1], [b"\xc0"], [0.5]), s.Tick())
    assert decision.commit.settled
    assert not the(e.EndLeases, fleet.wait(5.0, beating=[worker]))
    assert worker.succeed(2, 3).commit.settled


def test_what_does_not_begin_in_time_goes_back_without_loss() -> None:
    fleet = a_fleet()
    worker = fleet.worker("liar", capacity=4)
    ids = fleet.submit(4)
    fleet.wait(WITHIN - 1.0, beating=[worker])
    assert len(worker.held) == 4
    decision = fleet.wait(2.0, beating=[worker])
    assert one(e.EndLeases, decision).leases == [(i, 1) for i in ids]
    assert {row[5] for row in decision.commit.attempts} == {"released"}
    assert [fleet.task(i).spent for i in ids] == [0] * 4
    other = fleet.worker("honest", capacity=4)
    assert list(other.held) == ids


def test_what_is_long_under_way_may_take_longer_each_time() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit()
    waits = []
    for _ in range(4):
        since = fleet.now
        while 1 in worker.held:
            fleet.wait(1.0, beating=[worker])
        waits.append(fleet.now - since)
        worker.here.share.offences = 0
        fleet.do(s.Broke(worker.session, [(1, fleet.task(1).attempt, s.How.CANCELLED, 0.0, None)]))
        fleet.wait(2.0, beating=[worker])
    assert [round(wait / WITHIN) for wait in waits] == [1, 2, 4, 8]


def liar_and_honest(count: int = 40) -> tuple[Fleet, Peer, Peer]:
    """A worker that took everything and begins nothing; another one that comes later."""
    fleet = a_fleet()
    liar = fleet.worker("liar", capacity=60_000, limit=60_000)
    fleet.submit(count)
    assert len(liar.held) == count
    return fleet, liar, fleet.worker("honest", capacity=4, limit=8)


def work(fleet: Fleet, honest: Peer, beating: list[Peer], seconds: float) -> None:
    until = fleet.now + seconds
    while fleet.now < until:
        while honest.held:
            honest.succeed(*honest.held)
        fleet.wait(1.0, beating=beating)


def test_who_is_idle_takes_over_what_waits_elsewhere() -> None:
    fleet, liar, honest = liar_and_honest()
    fleet.wait(TAKE_OVER - 1.0, beating=[liar, honest])
    assert not honest.held
    decision = fleet.wait(2.0, beating=[liar, honest])
    assert leases_in(decision)["honest"] == list(range(1, 9))
    assert one(e.EndLeases, decision).session == liar.session
    work(fleet, honest, [liar, honest], WITHIN + 10.0)
    assert not fleet.open()
    assert honest.here.share.done == 40


def test_only_what_the_idle_one_can_run_is_taken() -> None:
    fleet = a_fleet()
    holder = fleet.worker("holder", kinds=("echo", "rare"), capacity=9)
    rare = fleet.submit(2, kind="rare")
    bound = fleet.submit(2, target="holder")
    fleet.submit(2)
    idle = fleet.worker("idle", capacity=9)
    fleet.wait(TAKE_OVER + 2.0, beating=[holder, idle])
    assert set(holder.held) == {*rare, *bound}
    assert len(idle.held) == 2


@pytest.mark.parametrize("scope", ["all", "kind:echo", "worker:honest"])
def test_nothing_is_taken_over_for_a_pause(scope: str) -> None:
    fleet, liar, honest = liar_and_honest()
    fleet.do(s.Pause(scope))
    fleet.wait(TAKE_OVER + 3.0, beating=[liar, honest])
    assert not honest.held
    assert len(liar.held) == 40


def test_what_has_begun_is_not_taken_over() -> None:
    fleet, liar, honest = liar_and_honest(4)
    liar.start(1, 2, 3, 4)
    fleet.wait(100.0, beating=[liar, honest])
    assert len(liar.held) == 4


def test_a_hoarder_that_says_it_gives_back_gets_less_each_time() -> None:
    fleet, liar, honest = liar_and_honest(64)
    rooms = []
    for _ in range(30):
        decision = fleet.wait(1.0, beating=[liar, honest])
        for effect in the(e.EndLeases, decision):
            ends = [(i, a, s.How.CANCELLED, 0.0, None) for i, a in effect.leases]
            fleet.do(s.Broke(effect.session, ends))
        while honest.held:
            honest.succeed(*honest.held)
        rooms.append(liar.here.limit)
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[-1] <= 2
    assert honest.here.share.done >= 60


def test_a_worker_that_comes_back_without_what_was_ended_has_its_room() -> None:
    fleet = a_fleet()
    worker = fleet.worker()
    fleet.submit(timeout=1.0)
    worker.start(1)
    fleet.submit()
    fleet.wait(1.0 + GRACE + 1.0, beating=[worker])
    assert not worker.held
    decision: Decision = worker.back(holding=[])
    assert leases_in(decision) == {"w1": [1]}
