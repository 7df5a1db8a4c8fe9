"""How much a worker is trusted with: room that grows with work, quarantine for who breaks the rules."""

from __future__ import annotations

import pytest
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Patience, conduct
from taskmessenger.core.pool.conduct import (
    FIRST_ROOM,
    FORGIVEN,
    OFFENCES,
    QUARANTINE_MOST,
    QUARANTINE_SECONDS,
)

from tests.support.pool import Fleet, Peer, leases_in

PATIENCE = Patience(30.0, 15.0)


def test_a_stranger_gets_a_modest_share_whatever_it_offers() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=60_000, limit=120_000)
    fleet.submit(10_000)
    assert len(worker.held) == FIRST_ROOM


def test_room_doubles_with_each_round_of_work() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2, limit=3_000)
    fleet.submit(20_000)
    rounds = []
    while len(worker.held) < 3_000:
        rounds.append(len(worker.held))
        worker.succeed(*worker.held)
    assert rounds == [FIRST_ROOM * 2**n for n in range(6)]


def test_failures_are_work_and_giving_back_is_none() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=1_000)
    fleet.submit(1_000, max_attempts=1)
    worker.fail(*list(worker.held)[:10])
    assert worker.here.limit == FIRST_ROOM + 10
    worker.fail(*worker.held, how=s.How.RELEASED)
    assert worker.here.limit == FIRST_ROOM + 10


def test_many_slots_with_long_tasks_fill_up_while_all_that_is_held_has_begun() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=200)
    fleet.submit(500)
    waited = 0
    while len(worker.held) < 200:
        worker.start(*(set(worker.held) - set(worker.here.running)))
        fleet.wait(1.0, beating=[worker])
        waited += 1
        assert waited < 20
    assert worker.here.limit == 200


def test_what_waits_makes_no_room() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=200)
    fleet.submit(500)
    worker.start(*list(worker.held)[:-1])
    fleet.wait(20.0, beating=[worker])
    assert len(worker.held) == FIRST_ROOM


def test_room_is_kept_over_a_link_and_a_process() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=1_000)
    fleet.submit(FIRST_ROOM)
    worker.succeed(*worker.held)
    worker.drop()
    worker.restart()
    assert worker.here.limit == 2 * FIRST_ROOM


def test_two_hundred_strangers_together_get_all_there_is() -> None:
    fleet = Fleet()
    for number in range(200):
        fleet.worker(f"w{number}", capacity=4, limit=4)
    fleet.submit(800)
    assert fleet.pool.totals[TaskState.LEASED] == 800


def misbehave(fleet: Fleet, worker: Peer) -> None:
    """It does not end a task whose time is up."""
    task_id = fleet.submit(timeout=1.0, max_attempts=1)[0]
    assert task_id in worker.held
    worker.start(task_id)
    attempt = worker.held[task_id]
    while task_id in fleet.open():
        fleet.wait(1.0, beating=[worker])
    fleet.do(s.Broke(worker.session, [(task_id, attempt, s.How.CANCELLED, 1.0, None)]))


def test_who_breaks_the_rules_is_slowed_then_gets_nothing_for_a_time_and_then_a_little() -> None:
    fleet = Fleet(patience=PATIENCE)
    worker = fleet.worker(capacity=100)
    for _ in range(OFFENCES - 1):
        room = worker.here.limit
        misbehave(fleet, worker)
        assert worker.here.limit == room // 2
    misbehave(fleet, worker)
    assert worker.here.share.barred_until is not None
    fleet.submit(5)
    fleet.wait(QUARANTINE_SECONDS - 2.0, beating=[worker])
    assert not worker.held
    decision = fleet.wait(3.0, beating=[worker])
    assert ("readmitted", "w1", (), "") in decision.events
    assert len(worker.held) == 5


def test_quarantine_is_an_event_that_says_why_and_takes_back_what_has_not_begun() -> None:
    fleet = Fleet(patience=PATIENCE)
    worker = fleet.worker(capacity=30)
    worker.here.share.offences = OFFENCES - 1
    ids = fleet.submit(6, timeout=1.0)
    worker.start(*ids[:3])
    decision = fleet.wait(18.0, beating=[worker])
    ((_, who, _, why),) = [event for event in decision.events if event[0] == "quarantined"]
    assert who == "w1"
    assert why.startswith(f"{QUARANTINE_SECONDS:.0f} s: ")
    fleet.wait(2.0, beating=[worker])
    assert not worker.held
    other = fleet.worker("w2", capacity=30)
    fleet.wait(5.0, beating=[worker, other])
    assert set(other.held) == set(ids)


def test_quarantine_doubles_and_is_bounded() -> None:
    fleet = Fleet(patience=PATIENCE)
    worker = fleet.worker(capacity=100)
    times = []
    for _ in range(9):
        while worker.here.share.barred_until is None:
            conduct.offence(fleet.pool, worker.here, "as a test")
        times.append(worker.here.share.barred_until - fleet.now)
        fleet.wait(times[-1] + 1.0, beating=[worker])
        assert worker.here.share.barred_until is None
    assert times == [min(QUARANTINE_SECONDS * 2**n, QUARANTINE_MOST) for n in range(9)]


def test_forged_messages_end_in_quarantine_over_all_their_links() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    for _ in range(OFFENCES):
        worker.send([(77, 1)])
        worker.back(holding=[])
    fleet.submit()
    assert not worker.held
    assert fleet.pool.refused == OFFENCES
    assert leases_in(fleet.wait(QUARANTINE_SECONDS + 2.0, beating=[worker])) == {"w1": [1]}


def test_good_work_is_forgiveness() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=10)
    share = worker.here.share
    conduct.offence(fleet.pool, worker.here, "as a test")
    share.bars = 2
    for left in (1, 0):
        fleet.submit(FORGIVEN)
        while worker.held:
            worker.succeed(*worker.held)
        assert (share.offences, share.bars) == (0, left)


@pytest.mark.parametrize("most", [0, 3])
def test_an_operators_limit_and_quarantine_leave_the_lesser_of_both(most: int) -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=10)
    fleet.do(s.Limit("w1", most))
    assert worker.here.limit == most
    for _ in range(OFFENCES):
        conduct.offence(fleet.pool, worker.here, "as a test")
    assert worker.here.limit == 0
    fleet.wait(QUARANTINE_SECONDS + 1.0, beating=[worker])
    assert worker.here.limit <= most
