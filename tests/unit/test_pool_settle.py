"""How attempts end, and what a task becomes then."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import msgspec
import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.effects import Decision
from taskmessenger.core.lifecycle import FINAL, TaskState
from taskmessenger.core.pool import Pool
from taskmessenger.core.pool.losses import LOST_RESTARTED, LOST_SILENT
from taskmessenger.core.pool.operate import CANCELLED
from taskmessenger.core.pool.settle import FREE_RELEASES, RELEASED_WAIT
from taskmessenger.core.retry import Backoff
from taskmessenger.handle import ErrorInfo

from tests.support.pool import NULL, Fleet, kinds_of, leases_in, one, the


def totals(*, accepted: int, **final: int) -> str:
    """The setting that carries the totals over a restart."""
    counts = {str(state.value): final.get(state.word, 0) for state in FINAL}
    return json.dumps({"accepted": accepted, "final": counts})


def test_a_success_is_recorded_acknowledged_and_makes_room() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(2)
    worker.start(1)
    decision = worker.succeed(1, result=b"\x2a")
    row = (TaskState.SUCCEEDED, 1, 0, "w1", fleet.wall, 0.5, b"\x2a", None, 1)
    assert decision.commit.settled == [row]
    assert one(e.Ack, decision) == e.Ack(worker.session, [1], [1])
    assert leases_in(decision) == {"w1": [2]}
    assert kinds_of(decision) == ["Ack", "Assign"]
    assert decision.commit.settings == {"totals": totals(accepted=2, succeeded=1)}
    assert not decision.commit.attempts
    assert not decision.commit.reopened
    assert fleet.open() == {2}


def test_a_result_may_come_before_word_of_the_start() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    assert len(worker.succeed(1).commit.settled) == 1


@pytest.mark.parametrize("falsy", [b"", b"\xc0", b"\xc2", b"\x00", b"\xa0", b"\x90", b"\x80"])
def test_a_falsy_result_is_a_result(falsy: bytes) -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=1)
    decision = worker.succeed(1, result=falsy)
    assert decision.commit.settled[0][6] == falsy
    assert one(e.Tell, decision).outcomes[0][4] == falsy


def test_a_start_is_seen_and_not_stored() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    decision = worker.start(1)
    assert fleet.state(1) is TaskState.RUNNING
    assert not decision.commit
    assert not decision.effects
    assert decision.events == [("started", "w1", [1], "")]


def test_a_failed_attempt_is_tried_again_after_a_wait() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=1)
    worker.start(1)
    decision = worker.fail(1, error=b"\x80")
    assert decision.commit.reopened == [(TaskState.SCHEDULED, 1, 1, 0, fleet.wall + 1.0, 1)]
    assert decision.commit.attempts == [(1, 1, "w1", fleet.wall, fleet.wall, "failed", b"\x80")]
    assert kinds_of(decision) == ["Ack"]
    assert not decision.commit.settled
    assert not the(e.Assign, fleet.wait(0.9, beating=[worker]))
    assert leases_in(fleet.wait(0.2, beating=[worker])) == {"w1": [1]}
    assert worker.held == {1: 2}


def test_the_wait_grows_with_every_attempt() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=10)
    waits = []
    for _ in range(4):
        worker.fail(1)
        waits.append((fleet.task(1).due or 0) - fleet.now)
        fleet.wait(waits[-1], beating=[worker])
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_after_the_last_attempt_the_task_has_failed_for_good() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=2, watch=1, keys=["k"])
    worker.fail(1)
    fleet.wait(2, beating=[worker])
    decision = worker.fail(1, error=b"\x81")
    assert decision.commit.settled == [
        (TaskState.FAILED, 2, 2, "w1", fleet.wall, 0.5, None, b"\x81", 1),
    ]
    assert one(e.Tell, decision).outcomes == [(1, TaskState.FAILED, 2, "w1", None, b"\x81", 0.5)]
    assert not decision.commit.reopened
    assert not fleet.open()
    assert not fleet.pool.keys
    assert not the(e.Assign, fleet.wait(600, beating=[worker]))


def test_an_error_that_another_attempt_cannot_cure_is_final_at_once() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=5)
    decision = worker.fail(1, how=s.How.REFUSED)
    assert decision.commit.settled[0][:3] == (TaskState.FAILED, 1, 1)
    assert not decision.commit.reopened


@pytest.mark.parametrize("how", [s.How.TIMED_OUT, s.How.STUCK])
def test_a_task_whose_last_attempt_took_too_long_has_timed_out(how: s.How) -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=2)
    assert worker.fail(1, how=how).commit.attempts[0][5] == "timed_out"
    fleet.wait(2, beating=[worker])
    assert worker.fail(1, how=how).commit.settled[0][0] == TaskState.TIMED_OUT
    assert not worker.held


def test_crashes_are_counted_apart_and_end_a_task_before_its_attempts_do() -> None:
    fleet = Fleet(max_crashes=2)
    worker = fleet.worker()
    fleet.submit(max_attempts=10)
    worker.fail(1)
    fleet.wait(600, beating=[worker])
    worker.fail(1, how=s.How.CRASHED)
    assert (fleet.task(1).spent, fleet.task(1).crashes) == (2, 1)
    fleet.wait(600, beating=[worker])
    decision = worker.fail(1, how=s.How.CRASHED)
    assert decision.commit.settled[0][:3] == (TaskState.FAILED, 3, 3)


def test_a_task_without_a_reason_for_its_failure_still_has_an_error() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=1)
    error = worker.fail(1, error=None).commit.settled[0][7]
    assert error is not None
    assert msgspec.msgpack.decode(error, type=ErrorInfo).code == "failed"


def test_a_task_given_back_is_not_spent_and_goes_out_again_at_once() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=1)
    decision = worker.fail(1, how=s.How.RELEASED, error=None)
    assert decision.commit.reopened == [(TaskState.QUEUED, 1, 0, 0, None, 1)]
    assert decision.commit.attempts[0][5] == "released"
    assert leases_in(decision) == {"w1": [1]}
    assert not decision.commit.settled


def test_who_gives_everything_back_keeps_nobody_busy() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(max_attempts=1)
    for _ in range(FREE_RELEASES):
        assert the(e.Assign, worker.fail(1, how=s.How.RELEASED))
    for _ in range(20):
        assert not the(e.Assign, worker.fail(1, how=s.How.RELEASED))
        assert fleet.state(1) is TaskState.SCHEDULED
        assert the(e.Assign, fleet.wait(RELEASED_WAIT, beating=[worker]))
    assert fleet.task(1).spent == 0


def test_failures_that_come_together_come_back_apart() -> None:
    backoff = Backoff(first=10.0, jitter=0.25)
    fleet = Fleet(backoff=backoff, rng=Random(3))
    worker = fleet.worker(trusted=True, capacity=1_000)
    worker.fail(*fleet.submit(1_000))
    moments = sorted(due for due, _ in fleet.pool.due)
    assert 7.5 <= moments[0] - fleet.now < 7.7
    assert 12.3 < moments[-1] - fleet.now <= 12.5
    widest = max(later - earlier for earlier, later in pairwise(moments))
    assert widest < 0.1
    assert len(set(moments)) == 1_000


def test_one_batch_may_mix_good_and_bad_ends_of_many_tasks() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=3)
    fleet.submit(3)
    decision = fleet.do(
        s.Finished(worker.session, [1, 3], [1, 1], [NULL, NULL], [0.1, 0.1]),
        s.Broke(worker.session, [(2, 1, s.How.FAILED, 0.1, b"\x80")]),
    )
    assert one(e.Ack, decision) == e.Ack(worker.session, [1, 3, 2], [1, 1, 1])
    assert fleet.open() == {2}


def test_the_row_of_the_lease_log_goes_when_its_last_lease_has_ended() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=3)
    fleet.submit(3)
    assert not worker.succeed(1).commit.grants_ended
    assert not worker.fail(2).commit.grants_ended
    assert fleet.do(s.Cancel([3])).commit.grants_ended == [1]


def test_who_no_longer_watches_is_not_told() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=6)
    fleet.do(s.Unwatch(6))
    decision = worker.succeed(1)
    assert kinds_of(decision) == ["Ack"]


@pytest.mark.parametrize(
    ("blob", "code"), [(LOST_RESTARTED, "lost"), (LOST_SILENT, "lost"), (CANCELLED, "cancelled")]
)
def test_the_errors_of_the_pool_read_as_error_infos(blob: bytes, code: str) -> None:
    info = msgspec.msgpack.decode(blob, type=ErrorInfo)
    assert info.code == code
    assert " " in info.message
    assert info.stack == ""


def test_how_long_a_task_ran_and_how_long_it_took_from_its_submission_are_two_figures() -> None:
    fleet = Fleet()
    fleet.submit()
    fleet.wait(40.0)
    worker = fleet.worker()
    fleet.do(s.Finished(worker.session, [1], [1], [NULL], [0.25]))
    assert list(fleet.pool.tallies.kinds["echo"].seconds) == [0.25]
    assert list(fleet.pool.tallies.latencies) == [pytest.approx(40.0)]


def test_a_pool_that_is_told_nothing_about_it_tries_again_after_a_while() -> None:
    fleet = Fleet(Pool())
    worker = fleet.worker()
    fleet.submit()
    worker.fail(1)
    due = fleet.task(1).due
    assert due is not None
    assert due > fleet.now


def events_of(decision: Decision, what: str) -> list[tuple[str, str, tuple[int, ...], str]]:
    return [(word, who, tuple(ids), why) for word, who, ids, why in decision.events if word == what]


def test_tasks_that_go_back_together_are_one_event() -> None:
    fleet = Fleet(backoff=Backoff(first=10.0, jitter=0.25), rng=Random(3))
    worker = fleet.worker(trusted=True, capacity=600, kinds=("echo", "other"))
    ids = fleet.submit(500)
    other = fleet.submit(100, kind="other")
    decision = worker.fail(*ids, *other)
    ((_, _, first, waits), (_, kind, second, _)) = events_of(decision, "requeued")
    assert first == tuple(ids)
    assert (kind, second) == ("other", tuple(other))
    word, _, seconds = waits.partition(" ")
    assert word == "failed"
    least, longest = map(float, seconds.split(" to "))
    assert 7.5 <= least < 8.5
    assert 11.5 < longest <= 12.5


def test_tasks_that_end_together_in_one_way_are_one_event_and_batches_stay_apart() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=50)
    ids = fleet.submit(50, max_attempts=1)
    first, second = worker.fail(*ids[:20]), worker.fail(*ids[20:])
    assert events_of(first, "failed") == [("failed", "w1", tuple(ids[:20]), "")]
    assert events_of(second, "failed") == [("failed", "w1", tuple(ids[20:]), "")]
    waiting = fleet.submit(300)
    fleet.do(s.Pause("all"))
    cancelled = events_of(fleet.do(s.Cancel(waiting)), "cancelled")
    assert sorted(i for *_, some, _ in cancelled for i in some) == waiting
    assert len(cancelled) == 2, "those that the worker had, and those that nobody had"


def test_one_task_that_goes_back_is_told_as_before() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    assert events_of(worker.fail(1), "requeued") == [("requeued", "echo", (1,), "failed 1.0")]
    fleet.wait(5.0, beating=[worker])
    assert events_of(worker.fail(1, how=s.How.RELEASED), "requeued") == [
        ("requeued", "echo", (1,), "released")
    ]
