"""What people ask for: cancel, retry, pause, watch."""

from __future__ import annotations

import msgspec
import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo

from tests.support.pool import Fleet, kinds_of, leases_in, one, the
from tests.support.pool_store import RowStore


def test_a_queued_task_is_cancelled_at_once_and_never_starts() -> None:
    fleet = Fleet()
    fleet.submit(3, watch=5)
    decision = fleet.do(s.Cancel([2], reply=4))
    row = decision.commit.settled[0]
    assert (row[0], row[1], row[-1]) == (TaskState.CANCELLED, 0, 2)
    assert row[7] is not None
    assert msgspec.msgpack.decode(row[7], type=ErrorInfo).code == "cancelled"
    assert one(e.Done, decision) == e.Done(4, [2])
    assert one(e.Tell, decision).outcomes[0][:2] == (2, TaskState.CANCELLED)
    assert kinds_of(decision) == ["Done", "Tell"]
    assert set(fleet.worker(capacity=9).held) == {1, 3}


def test_a_scheduled_task_is_cancelled_and_its_moment_passes_in_silence() -> None:
    fleet = Fleet()
    fleet.worker()
    fleet.submit(delay=5.0)
    fleet.do(s.Cancel([1]))
    decision = fleet.wait(10.0)
    assert not the(e.Assign, decision)
    assert not decision.commit.settled


@pytest.mark.parametrize("running", [False, True], ids=["leased", "running"])
def test_a_worker_is_told_to_end_a_cancelled_task_and_its_slot_stays_taken(running: bool) -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(2)
    if running:
        worker.start(1)
    decision = fleet.do(s.Cancel([1]))
    assert one(e.EndLeases, decision) == e.EndLeases(worker.session, [(1, 1)])
    assert not the(e.Assign, decision)
    assert not the(e.Assign, worker.beat())
    assert worker.held == {1: 1}
    assert decision.commit.grants_ended == [1]
    freed = worker.fail(1, how=s.How.CANCELLED)
    assert one(e.Ack, freed).tasks == [1]
    assert leases_in(freed) == {"w1": [2]}
    assert not freed.commit.settled


def test_the_result_of_a_cancelled_task_is_never_recorded() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=1)
    fleet.do(s.Cancel([1]))
    decision = worker.succeed(1)
    assert kinds_of(decision) == ["Ack"]
    assert not decision.commit.settled
    assert fleet.pool.totals[TaskState.SUCCEEDED] == 0
    assert fleet.pool.totals[TaskState.CANCELLED] == 1
    assert not worker.held


def test_a_worker_that_was_away_is_told_of_the_cancel_when_it_is_back() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.drop()
    assert not the(e.EndLeases, fleet.do(s.Cancel([1])))
    assert one(e.EndLeases, worker.back()).leases == [(1, 1)]
    assert worker.held == {1: 1}


def test_a_cancelled_task_that_a_lost_worker_had_is_not_requeued() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.drop()
    fleet.do(s.Cancel([1]))
    decision = fleet.wait(40.0)
    assert not decision.commit.reopened
    assert not fleet.pool.workers


def test_cancelling_what_has_ended_or_never_was_changes_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.succeed(1)
    decision = fleet.do(s.Cancel([1, 1, 77, -1], reply=2))
    assert one(e.Done, decision) == e.Done(2, [])
    assert not decision.commit


@pytest.mark.parametrize("ids", [[99, 1, 2], [1, 99, 2]])
def test_a_task_that_never_was_keeps_no_other_from_what_is_done_to_all(ids: list[int]) -> None:
    fleet = Fleet()
    fleet.submit(3)
    assert one(e.Done, fleet.do(s.SetPriority(ids, 7, reply=1))).ids == [1, 2]
    assert one(e.Done, fleet.do(s.SetPriority(ids, 7, reply=1))).ids == [1, 2], "they have it already"
    assert list(fleet.worker(capacity=9).held) == [1, 2, 3]
    assert one(e.Done, fleet.do(s.Cancel(ids, reply=4))).ids == [1, 2]
    assert fleet.open() == {3}


def test_what_operators_do_is_an_event_once_it_has_changed_something() -> None:
    fleet = Fleet()
    worker = fleet.worker(kinds=("other",))
    fleet.submit(2)
    assert fleet.do(s.SetPriority([1, 2, 9], 7)).events == [("priority", "7", [1, 2], "")]
    assert fleet.do(s.SetPriority([9], 7)).events == []
    assert fleet.do(s.Pause("kind:echo")).events == [("paused", "kind:echo", (), "")]
    assert fleet.do(s.Pause("kind:echo")).events == []
    assert fleet.do(s.Drain(worker.name, 30.0)).events == [("draining", worker.name, (), "30")]


def test_cancelling_one_task_twice_in_one_batch_ends_it_once() -> None:
    fleet = Fleet()
    fleet.submit()
    decision = fleet.do(s.Cancel([1, 1]), s.Cancel([1]))
    assert len(decision.commit.settled) == 1


def test_a_task_that_goes_back_and_is_cancelled_in_one_batch_stays_cancelled_in_the_store() -> None:
    fleet, store = Fleet(), RowStore()
    worker = fleet.worker()
    store.commit(fleet.submitting().commit)
    decision = fleet.do(s.Broke(worker.session, [(1, 1, s.How.RELEASED, 0.0, None)]), s.Cancel([1]))
    store.commit(decision.commit)
    assert store.rows[1].state == TaskState.CANCELLED
    assert not store.load().tasks


def failed(fleet: Fleet, **more: object) -> RowStore:
    """Task 1 has failed for good, and the store knows it."""
    store = RowStore()
    worker = fleet.worker("dead")
    store.commit(fleet.submitting(max_attempts=1, **more).commit)
    store.commit(worker.fail(1).commit)
    worker.drop()
    return store


def test_a_failed_task_is_retried_under_its_id_with_its_attempts_counting_on() -> None:
    fleet = Fleet()
    store = failed(fleet, keys=["k"])
    decision = fleet.do(s.Retry([store.rows[1].open_row()], reply=6))
    assert one(e.Done, decision) == e.Done(6, [1])
    assert decision.commit.reopened == [(TaskState.QUEUED, 1, 0, 0, None, 1)]
    assert fleet.pool.keys["k"] == (1, b"d")
    assert fleet.pool.totals[TaskState.FAILED] == 0
    store.commit(decision.commit)
    worker = fleet.worker()
    assert worker.held == {1: 2}
    assert worker.succeed(1).commit.settled[0][:3] == (TaskState.SUCCEEDED, 2, 0)


def test_retrying_twice_reopens_once() -> None:
    fleet = Fleet()
    row = failed(fleet).rows[1].open_row()
    decision = fleet.do(s.Retry([row, row]), s.Retry([row], reply=3))
    assert len(decision.commit.reopened) == 1
    assert [done.ids for done in the(e.Done, decision)] == [[1], []]


@pytest.mark.parametrize("state", [TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.QUEUED])
def test_only_what_failed_can_be_retried(state: TaskState) -> None:
    fleet = Fleet()
    store = failed(fleet)
    store.rows[1].state = state
    decision = fleet.do(s.Retry([store.rows[1].open_row()], reply=3))
    assert one(e.Done, decision).ids == []
    assert not decision.commit
    assert not fleet.open()


def test_a_pause_is_stored_told_to_whom_it_concerns_and_answered() -> None:
    fleet = Fleet()
    here = fleet.worker("w1", kinds=("echo",))
    fleet.worker("w2", kinds=("hash",))
    decision = fleet.do(s.Pause("kind:echo", reply=9))
    assert decision.commit.settings == {"pause:kind:echo": "1"}
    assert the(e.Steer, decision) == [e.Steer(here.session, "pause", "kind:echo")]
    assert one(e.Done, decision).reply == 9
    decision = fleet.do(s.Resume("kind:echo"))
    assert decision.commit.settings == {"pause:kind:echo": None}
    assert the(e.Steer, decision) == [e.Steer(here.session, "resume", "kind:echo")]
    assert [what for what, *_ in decision.events] == ["resumed"]
    assert not fleet.do(s.Resume("kind:echo")).events  # nothing was paused: nothing is said to be resumed


def test_running_tasks_go_on_during_a_pause() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    assert not the(e.EndLeases, fleet.do(s.Pause("all")))
    assert worker.succeed(1).commit.settled


def test_submissions_are_taken_during_a_pause() -> None:
    fleet = Fleet()
    fleet.do(s.Pause("all"))
    assert fleet.submit() == [1]


def test_watching_says_what_is_open_and_tells_how_it_ends() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(2)
    worker.succeed(1)
    decision = fleet.do(s.Watch([1, 2, 99], watch=7, reply=8))
    assert one(e.Done, decision) == e.Done(8, [2])
    assert one(e.Tell, worker.succeed(2)).watch == 7


def test_everybody_who_watches_a_task_is_told() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=1)
    fleet.do(s.Watch([1], watch=2), s.Watch([1], watch=3), s.Watch([1], watch=2))
    fleet.do(s.Unwatch(3))
    told = the(e.Tell, worker.succeed(1))
    assert sorted(tell.watch for tell in told) == [1, 2]
    assert all(len(tell.outcomes) == 1 for tell in told)


def test_watchers_that_come_and_go_leave_nothing_behind() -> None:
    fleet = Fleet()
    fleet.submit(watch=1)
    for watch in range(2, 500):
        fleet.do(s.Watch([1], watch=watch))
        fleet.do(s.Unwatch(watch))
    assert fleet.task(1).watch == (1, 499)
    assert fleet.pool.watches == {1}


def test_a_task_whose_priority_changes_and_that_is_cancelled_in_one_batch_is_stored_as_both() -> None:
    fleet, store = Fleet(), RowStore()
    commit = fleet.submitting().commit
    store.commit(commit)
    store.commit(fleet.do(s.SetPriority([1], 9), s.Cancel([1])).commit)
    row = store.rows[1]
    assert row.settled is not None
    assert row.submitted[2] == 9
