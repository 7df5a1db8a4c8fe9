"""Outcomes that come too late, twice, or from somebody who never had the lease."""

from __future__ import annotations

import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool.backlog import Depth

from tests.support.pool import NULL, Fleet, Peer, kinds_of, leases_in, one, the

TTL = 30.0


def lost_and_requeued() -> tuple[Fleet, Peer, Peer]:
    """Task 1 expired on w1 as attempt 1, and w2 has it as attempt 2; w1 is back."""
    fleet = Fleet()
    old = fleet.worker("w1")
    fleet.submit()
    old.start(1)
    old.drop()
    fleet.wait(TTL)
    new = fleet.worker("w2")
    fleet.wait(2.0, beating=[new])
    assert new.held == {1: 2}
    old.back(holding=[(1, 1)])
    return fleet, old, new


def test_a_result_after_expiry_changes_nothing_is_counted_and_acknowledged() -> None:
    fleet, old, new = lost_and_requeued()
    decision = old.send([(1, 1)])
    assert one(e.Ack, decision) == e.Ack(old.session, [1], [1])
    assert kinds_of(decision) == ["Ack"]
    assert not decision.commit.settled
    assert decision.commit.attempts == [(1, 1, "w1", None, fleet.wall, "late", None)]
    assert fleet.pool.late == 1
    assert fleet.pool.refused == 0
    assert new.held == {1: 2}
    assert new.succeed(1).commit.settled[0][1:4] == (2, 1, "w2")


def test_a_failure_after_expiry_changes_nothing() -> None:
    fleet, old, new = lost_and_requeued()
    decision = fleet.do(s.Broke(old.session, [(1, 1, s.How.FAILED, 1.0, b"\x80")]))
    assert kinds_of(decision) == ["Ack"]
    assert not decision.commit.reopened
    assert new.held == {1: 2}


def test_a_result_sent_again_after_a_lost_acknowledgement_is_only_acknowledged_again() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=1)
    worker.send([(1, 1)])
    worker.drop()
    worker.back(holding=[(1, 1)])
    decision = worker.send([(1, 1)])
    assert kinds_of(decision) == ["Ack"]
    assert not decision.commit
    assert fleet.pool.totals[TaskState.SUCCEEDED] == 1


def test_a_result_twice_in_one_message_counts_once() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    decision = worker.send([(1, 1), (1, 1)])
    assert len(decision.commit.settled) == 1
    assert fleet.pool.refused == 0


def test_a_fenced_attempt_is_told_to_end_when_its_worker_is_back() -> None:
    fleet = Fleet()
    old = fleet.worker("w1")
    fleet.submit()
    old.drop()
    fleet.wait(TTL)
    new = fleet.worker("w2")
    fleet.wait(2.0, beating=[new])
    decision = old.back(holding=[(1, 1)])
    assert one(e.EndLeases, decision) == e.EndLeases(old.session, [(1, 1)])
    assert new.held == {1: 2}


def test_a_fenced_attempt_beside_its_heir_on_one_worker_costs_the_heir_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit()
    worker.drop()
    fleet.wait(TTL)
    worker.back(holding=[(1, 1)])
    fleet.wait(2.0, beating=[worker])
    assert worker.held == {1: 2}
    for both in ([(1, 1), (1, 2)], [(1, 2), (1, 1)]):
        decision = worker.back(holding=both)
        assert one(e.EndLeases, decision).leases == [(1, 1)]
        assert worker.held == {1: 2}


FORGED = {
    "a task that was never leased": (3, 1),
    "another worker's attempt": (2, 1),
    "an attempt from the future": (1, 2),
    "a far future": (1, 2**31),
    "attempt zero": (1, 0),
    "a negative attempt": (1, -1),
    "an id from the future": (99, 1),
    "a huge id": (2**63, 1),
    "id zero": (0, 1),
    "a negative id": (-1, 1),
    "the next attempt of a task that waits": (4, 2),
}
"""Where task 1 is leased to the criminal, 2 to somebody else, 3 to nobody ever, 4 to nobody again."""


def among_honest_people() -> tuple[Fleet, Peer]:
    fleet = Fleet()
    criminal = fleet.worker("w1", capacity=9)
    victim = fleet.worker("w2", capacity=9)
    for group in ({"target": "w1"}, {"target": "w2"}, {"kind": "unknown"}, {"target": "w2"}):
        fleet.submit(**group)
    victim.fail(4)
    assert (criminal.held, victim.held) == ({1: 1}, {2: 1})
    return fleet, criminal


def books(fleet: Fleet) -> dict[int, tuple[object, ...]]:
    return {i: (t.state, t.attempt, t.worker, t.spent, t.due) for i, t in fleet.pool.tasks.items()}


@pytest.mark.parametrize("good", [True, False], ids=["success", "failure"])
@pytest.mark.parametrize("crime", FORGED)
def test_a_forged_outcome_cuts_the_connection_and_changes_nothing(crime: str, good: bool) -> None:
    fleet, criminal = among_honest_people()
    before = books(fleet)
    task_id, attempt = FORGED[crime]
    decision = (
        criminal.send([(task_id, attempt)])
        if good
        else fleet.do(s.Broke(criminal.session, [(task_id, attempt, s.How.FAILED, 0.1, None)]))
    )
    cut = one(e.Disconnect, decision)
    assert (cut.session, cut.code) == (criminal.session, "peer_error")
    assert kinds_of(decision) == ["Disconnect"]
    assert not decision.commit
    assert fleet.pool.refused == 1
    assert fleet.pool.late == 0
    assert books(fleet) == before


def test_columns_of_unequal_length_cut_the_connection() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    decision = fleet.do(s.Finished(worker.session, [1], [1], [], []))
    assert kinds_of(decision) == ["Disconnect"]
    assert fleet.open() == {1}
    worker.back()
    assert kinds_of(fleet.do(s.Started(worker.session, [1], []))) == ["Disconnect"]
    assert fleet.state(1) is TaskState.LEASED


def test_a_success_among_the_failures_is_a_forgery() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    decision = worker.fail(1, how=s.How.SUCCEEDED)
    assert kinds_of(decision) == ["Disconnect"]
    assert worker.held == {1: 1}


def test_what_was_true_before_the_forgery_counts_and_nothing_after_it_does() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=3)
    fleet.submit(5)
    decision = fleet.do(
        s.Finished(worker.session, [1, 99, 2], [1, 1, 1], [NULL] * 3, [0.1] * 3),
        s.Finished(worker.session, [3], [1], [NULL], [0.1]),
    )
    assert [row[-1] for row in decision.commit.settled] == [1]
    assert fleet.open() == {2, 3, 4, 5}
    assert not the(e.Assign, decision)


def test_who_was_cut_off_keeps_its_leases_until_they_expire_or_it_is_back() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit(2)
    worker.send([(77, 1)])
    assert worker.held == {1: 1, 2: 1}
    worker.back()
    assert [row[-1] for row in worker.succeed(1, 2).commit.settled] == [1, 2]


def test_a_start_that_is_not_true_is_ignored() -> None:
    fleet, old, new = lost_and_requeued()
    decision = fleet.do(s.Started(old.session, [1, 1, 99], [1, 2, 1]))
    assert not decision.effects
    assert not decision.events
    assert fleet.state(1) is TaskState.LEASED
    assert new.held == {1: 2}


def test_messages_of_a_session_that_is_over_change_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.drop()
    gone = worker.session
    decision = fleet.do(
        s.Finished(gone, [1], [1], [NULL], [0.1]), s.Broke(gone, [(1, 1, s.How.FAILED, 0.1, None)]),
        s.Started(gone, [1], [1]), s.Beat(gone), s.Holding(gone, []), s.WorkerLeft(gone), s.LinkLost(gone),
        s.Offered(gone, frozenset(), frozenset(), 9, 9),
    )  # fmt: skip
    assert not decision.effects
    assert not decision.commit
    assert worker.held == {1: 1}
    assert leases_in(decision) == {}


@pytest.mark.parametrize("depth", [Depth(), Depth(in_full=0, shallow=0, drawn=2)], ids=["objects", "backlog"])
def test_numbers_that_a_worker_has_from_a_moment_that_was_taken_back_are_not_given_again(depth) -> None:
    fleet = Fleet(depth=depth)
    fleet.submit(4, kind="other")
    worker = fleet.worker("w1", kinds=("echo",))
    worker.drop()
    decision = worker.back(holding=[(2, 1), (7, 3)])
    assert sorted(one(e.EndLeases, decision).leases) == [(2, 1), (7, 3)]
    assert fleet.pool.unwanted == 2
    worker.drop()
    worker.join(fresh=False, kinds=("other",), capacity=9, holding=[(2, 1)])
    assert worker.held == {1: 1, 2: 2, 3: 1, 4: 1}
    decision = worker.send([(2, 1)])  # the large result came later than the books
    assert kinds_of(decision) == ["Ack"]
    assert (fleet.pool.refused, worker.held) == (0, {1: 1, 2: 2, 3: 1, 4: 1})
    fleet.submit(kind="other")
    assert fleet.pool.next_id == 9
    worker.succeed(2)
    assert 2 not in fleet.open()


def test_books_that_are_told_in_parts_are_compared_when_all_was_told() -> None:
    fleet = Fleet()
    worker = fleet.worker("w1", capacity=4)
    fleet.submit(4)
    worker.drop()
    first = fleet.do(worker.joining(fresh=False), worker.offered(capacity=4))
    told = [
        fleet.do(s.Holding(worker.session, part, more=True))
        for part in ([(1, 1), (50, 1)], [], [(3, 1), (3, 9)])
    ]
    assert [leases_in(decision) for decision in (first, *told)] == [{}] * 4, (
        "nothing is leased before all is told"
    )
    assert one(e.EndLeases, told[0]).leases == [(50, 1)]
    assert one(e.EndLeases, told[2]).leases == [(3, 9)]
    fleet.do(s.Holding(worker.session, [(51, 1)]))
    assert fleet.pool.unwanted == 3
    assert worker.held == {1: 1, 3: 1, 2: 2, 4: 2}, "what it no longer had it got again"
    fleet.do(s.Holding(worker.session, []))
    assert worker.held == {1: 2, 2: 3, 3: 2, 4: 3}, "books are begun anew each time"


def test_books_half_told_are_forgotten_with_the_link() -> None:
    fleet = Fleet()
    worker = fleet.worker("w1", capacity=2)
    fleet.submit(2)
    worker.drop()
    fleet.do(worker.joining(fresh=False), worker.offered(capacity=2))
    fleet.do(s.Holding(worker.session, [(1, 1)], more=True))
    worker.drop()
    worker.back(holding=[(2, 1)])
    assert worker.held == {2: 1, 1: 2}


def test_what_was_neither_leased_nor_announced_is_a_forgery_after_all() -> None:
    fleet = Fleet()
    worker = fleet.worker("w1")
    fleet.submit()
    worker.drop()
    worker.back(holding=[(1, 1), (50, 1)])
    assert kinds_of(worker.send([(50, 1)])) == ["Ack"]
    assert kinds_of(worker.send([(60, 1)])) == ["Disconnect"]
