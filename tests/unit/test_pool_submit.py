"""New tasks: what is accepted, what is not, and what becomes of it."""

from __future__ import annotations

from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState

from tests.support.pool import Fleet, kinds_of, leases_in, one, the


def test_a_submitted_task_is_queued_and_its_id_given_when_it_is_stored() -> None:
    fleet = Fleet()
    decision = fleet.submitting([b"\x01"], kind="hash", priority=3, timeout=9.0, batch="b", target="w9")
    assert one(e.Accepted, decision) == e.Accepted(99, [1], 0)
    assert kinds_of(decision) == ["Accepted"]
    assert decision.commit.submitted == [
        (1, "hash", 3, 5, 9.0, "b", None, None, TaskState.QUEUED, fleet.wall, None, "w9", b"\x01")
    ]
    assert not decision.commit.granted
    assert not decision.commit.settled
    assert fleet.state(1) is TaskState.QUEUED


def test_ids_are_given_in_order_and_never_twice() -> None:
    fleet = Fleet()
    assert fleet.submit(3) == [1, 2, 3]
    fleet.do(s.Cancel([1, 2, 3]))
    assert fleet.submit(2) == [4, 5]


def test_a_delayed_task_waits_for_its_moment_and_no_worker_gets_it_before() -> None:
    fleet = Fleet()
    fleet.worker()
    decision = fleet.submitting(delay=10.0)
    assert not the(e.Assign, decision)
    assert decision.commit.submitted[0][8] == TaskState.SCHEDULED
    assert decision.commit.submitted[0][10] == fleet.wall + 10.0
    assert not the(e.Assign, fleet.wait(9.5, beating=[]))
    assert leases_in(fleet.wait(1.0)) == {"w1": [1]}


def test_a_delay_alone_makes_the_pool_ask_for_time() -> None:
    fleet = Fleet()
    assert fleet.pool.deadline() is None
    fleet.submit(delay=10.0)
    assert fleet.pool.deadline() == fleet.now + 10.0
    fleet.wait(10.0)
    assert fleet.pool.deadline() is None


def test_an_empty_group_is_accepted_and_is_nothing() -> None:
    decision = Fleet().submitting([])
    assert one(e.Accepted, decision).ids == []
    assert not decision.commit.submitted
    assert not decision.events


def test_one_key_submitted_twice_is_one_task() -> None:
    fleet = Fleet()
    first = fleet.submit(keys=["k"])
    again = fleet.submitting(keys=["k"])
    assert one(e.Accepted, again) == e.Accepted(99, first, 1)
    assert not again.commit.submitted


def test_one_key_twice_in_one_group_is_one_task() -> None:
    decision = Fleet().submitting(3, keys=["k", "other", "k"])
    assert one(e.Accepted, decision).ids == [1, 2, 1]
    assert len(decision.commit.submitted) == 2


def test_a_key_with_other_content_is_a_conflict_and_nothing_of_its_group_is_accepted() -> None:
    fleet = Fleet()
    fleet.submit(keys=["k"], digests=[b"one"])
    decision = fleet.submitting(2, keys=["new", "k"], digests=[b"x", b"two"])
    refusal = one(e.Rejected, decision)
    assert refusal.code == "conflict"
    assert "`k` belongs to task 1" in refusal.message
    assert kinds_of(decision) == ["Rejected"]
    assert not decision.commit.submitted
    assert fleet.open() == {1}
    assert "new" not in fleet.pool.keys


def test_a_key_that_the_store_knows_leads_to_the_task_that_ended() -> None:
    fleet = Fleet()
    fleet.submit(4)
    decision = fleet.submitting(keys=["k"], digests=[b"d"], known={"k": (3, b"d")})
    assert one(e.Accepted, decision) == e.Accepted(99, [3], 1)
    assert not decision.commit.submitted
    other = fleet.submitting(keys=["k"], digests=[b"other"], known={"k": (3, b"d")})
    assert one(e.Rejected, other).code == "conflict"


def test_a_key_whose_task_ends_in_the_same_batch_is_still_known() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(keys=["k"])
    # The store was asked before the batch, and not for a key that belonged to an open task then.
    again = s.Submit(s.Options(kind="echo"), [b"\xc0"], ["k"], [b"d"], reply=5)
    decision = fleet.do(s.Finished(worker.session, [1], [1], [b"\xc0"], [0.1]), again)
    assert one(e.Accepted, decision) == e.Accepted(5, [1], 1)
    assert not decision.commit.submitted


def test_a_key_of_a_cancelled_task_is_still_known_in_the_same_batch() -> None:
    fleet = Fleet()
    fleet.submit(keys=["k"])
    decision = fleet.do(s.Cancel([1]), s.Submit(s.Options(kind="echo"), [b"\xc0"], ["k"], [b"d"]))
    assert one(e.Accepted, decision).ids == [1]


def test_beyond_the_bound_a_group_is_refused_whole() -> None:
    fleet = Fleet(max_pending=3)
    fleet.submit(2)
    decision = fleet.submitting(2)
    refusal = one(e.Rejected, decision)
    assert refusal.code == "overloaded"
    assert "2 tasks are pending, and 3 is the bound" in refusal.message
    assert kinds_of(decision) == ["Rejected"]
    assert not decision.commit
    assert fleet.open() == {1, 2}
    assert fleet.submit(1) == [3]


def test_tasks_that_end_make_room_again() -> None:
    fleet = Fleet(max_pending=1)
    worker = fleet.worker()
    fleet.submit()
    assert the(e.Rejected, fleet.submitting())
    worker.succeed(1)
    assert fleet.submit() == [2]


def test_who_submits_and_watches_is_told_the_outcome_once() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(watch=4)
    decision = worker.succeed(1, result=b"\x2a")
    told = one(e.Tell, decision)
    assert told.watch == 4
    assert told.outcomes == [(1, TaskState.SUCCEEDED, 1, "w1", b"\x2a", None, 0.5)]


def test_a_second_submitter_of_a_key_is_told_beside_the_first() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(keys=["k"], watch=4)
    fleet.submit(keys=["k"], watch=5)
    fleet.submit(keys=["k"], watch=5)
    assert sorted(told.watch for told in the(e.Tell, worker.succeed(1))) == [4, 5]


def test_the_totals_are_stored_with_the_tasks_they_count() -> None:
    fleet = Fleet()
    decision = fleet.submitting(3)
    assert '"accepted": 3' in (decision.commit.settings["totals"] or "")
    assert "totals" not in fleet.do(s.Tick()).commit.settings
