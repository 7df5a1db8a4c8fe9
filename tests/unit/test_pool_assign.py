"""Who gets which task, and in which order."""

from __future__ import annotations

from time import thread_time

import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.commit import unpack_leases
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import submit
from taskmessenger.core.pool.conduct import FIRST_ROOM, MAX_ROOM

from tests.support.pool import NULL, Fleet, leases_in, one, the


def test_a_lease_is_written_down_and_sent_in_the_same_decision() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    decision = fleet.submitting([b"\x07"], timeout=3.0)
    assigned = one(e.Assign, decision)
    assert (assigned.session, assigned.worker) == (worker.session, "w1")
    ((task_id, attempt, options, payload),) = assigned.leases
    assert (task_id, attempt, options.timeout, payload) == (1, 1, 3.0, b"\x07")
    ((seq, name, packed),) = decision.commit.granted
    assert (seq, name, list(unpack_leases(packed))) == (1, "w1", [(1, 1)])
    assert fleet.state(1) is TaskState.LEASED


def test_a_worker_gets_no_more_than_it_has_credit_for() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2, limit=3)
    assert leases_in(fleet.submitting(5)) == {"w1": [1, 2, 3]}
    assert leases_in(worker.succeed(2)) == {"w1": [4]}
    assert not the(e.Assign, worker.beat())


def test_free_slots_of_everybody_come_before_prefetch_of_anybody() -> None:
    fleet = Fleet()
    fleet.worker("w1", capacity=1, limit=9)
    fleet.worker("w2", capacity=3, limit=9)
    assert {name: len(ids) for name, ids in leases_in(fleet.submitting(4)).items()} == {"w1": 1, "w2": 3}


def test_prefetch_is_shared_evenly() -> None:
    fleet = Fleet()
    for name in ("w1", "w2", "w3"):
        fleet.worker(name, capacity=12, limit=100)
    assert [len(ids) for ids in leases_in(fleet.submitting(90)).values()] == [30, 30, 30]


def test_short_tasks_are_dealt_in_portions_that_are_worth_a_message() -> None:
    fleet = Fleet()
    for number in range(50):
        fleet.worker(f"w{number}", trusted=True, capacity=4, limit=1_028)
    assert sorted(len(ids) for ids in leases_in(fleet.submitting(600)).values()) == [88, 256, 256]
    assert sorted(len(ids) for ids in leases_in(fleet.submitting(1)).values()) == [1]


def test_tasks_that_nobody_can_run_do_not_make_the_shares_of_the_others_uneven() -> None:
    fleet = Fleet()
    fleet.submit(100, kind="unknown")
    fleet.submit(100, target="elsewhere")
    fleet.do(s.Pause("kind:paused"))
    fleet.submit(100, kind="paused")
    for name in ("w1", "w2"):
        fleet.worker(name, capacity=4, kinds=("echo", "paused"))
    assert [len(ids) for ids in leases_in(fleet.submitting(4)).values()] == [2, 2]


def test_tasks_that_come_one_by_one_go_to_whoever_has_the_least_to_do() -> None:
    fleet = Fleet()
    for name in ("w1", "w2"):
        fleet.worker(name, capacity=4)
    for _ in range(4):
        fleet.submit()
    assert len(fleet.pool.workers["w1"].held) == len(fleet.pool.workers["w2"].held) == 2


def test_a_worker_gets_only_kinds_that_it_offers() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=5, kinds=("hash",))
    assert not the(e.Assign, fleet.submitting(kind="echo"))
    assert leases_in(fleet.submitting(kind="hash")) == {"w1": [2]}
    assert leases_in(fleet.do(worker.offered(kinds=("hash", "echo")))) == {"w1": [1]}


def test_a_targeted_task_goes_to_its_worker_or_to_nobody() -> None:
    fleet = Fleet()
    fleet.worker("w1", capacity=5)
    assert not the(e.Assign, fleet.submitting(target="w2"))
    assert fleet.worker("w2").held == {1: 1}


def test_nothing_is_leased_before_the_books_are_compared() -> None:
    fleet = Fleet()
    fleet.submit()
    fleet.do(s.WorkerJoined(1, "w1", b"i", fresh=True))
    assert not the(e.Assign, fleet.do(s.Offered(1, frozenset({"echo"}), frozenset(), 1, 1)))
    assert leases_in(fleet.do(s.Holding(1, []))) == {"w1": [1]}


def test_within_a_priority_tasks_start_in_the_order_of_submission() -> None:
    fleet = Fleet()
    for kind in ("a", "b", "a", "b"):
        fleet.submit(2, kind=kind)
    worker = fleet.worker(kinds=("a", "b"))
    order = []
    while worker.held:
        order += worker.held
        worker.succeed(*worker.held)
    assert order == list(range(1, 9))


def test_a_higher_priority_goes_first_across_kinds() -> None:
    fleet = Fleet()
    fleet.submit(kind="a", priority=0)
    fleet.submit(kind="b", priority=5)
    fleet.submit(kind="a", priority=9)
    worker = fleet.worker(kinds=("a", "b"))
    order = []
    while worker.held:
        order += worker.held
        worker.succeed(*worker.held)
    assert order == [3, 2, 1]


def test_a_task_given_back_returns_to_its_place_in_the_queue() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(3)
    assert leases_in(worker.fail(1, how=s.How.RELEASED)) == {"w1": [1]}


@pytest.mark.parametrize("kinds", [("echo",), ("echo", "other")], ids=["one kind", "across kinds"])
def test_a_low_priority_is_served_in_spite_of_constant_load_above_it(kinds: tuple[str, ...]) -> None:
    fleet = Fleet(aging=60.0)
    worker = fleet.worker(kinds=kinds)
    fleet.submit(2, priority=5)
    low = fleet.submit(kind=kinds[-1], priority=0)[0]
    served: list[int] = []
    started = fleet.now
    while low not in served and fleet.now < started + 200:
        fleet.submit(2, priority=5)
        fleet.wait(1.0, beating=[worker])
        served += worker.held
        worker.succeed(*worker.held)
    assert low in served
    assert fleet.now - started <= 60.0 + 10
    assert fleet.now - started > 60.0


def test_who_starves_gets_one_lease_in_eight_and_no_more() -> None:
    fleet = Fleet(aging=10.0)
    worker = fleet.worker(trusted=True, capacity=80, kinds=("high", "low"))
    worker.drop()
    low = set(fleet.submit(80, kind="low", priority=-1))
    fleet.submit(400, kind="high", priority=5)
    fleet.wait(20.0)
    worker.join()
    assert len(low & set(worker.held)) == 10


def test_a_starving_kind_does_not_hold_up_the_urgent_tasks_beside_it() -> None:
    fleet = Fleet(aging=10.0)
    fleet.submit(50, kind="a", priority=0)
    fleet.wait(20.0)
    fleet.submit(20, kind="b", priority=5)
    urgent = fleet.submit(1, kind="a", priority=9)[0]
    worker = fleet.worker(kinds=("a", "b"))
    first = list(worker.held)
    worker.succeed(*first)
    assert urgent in {*first, *worker.held}


@pytest.mark.parametrize("scope", ["all", "kind:echo", "worker:w1"])
def test_a_pause_hands_out_nothing_in_its_scope_until_it_is_resumed(scope: str) -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=9)
    fleet.do(s.Pause(scope))
    assert not the(e.Assign, fleet.submitting(2))
    assert not the(e.Assign, fleet.wait(5, beating=[worker]))
    assert leases_in(fleet.do(s.Resume(scope))) == {"w1": [1, 2]}


def test_a_pause_leaves_what_is_outside_its_scope_alone() -> None:
    fleet = Fleet()
    fleet.worker("w1", capacity=9, kinds=("echo", "hash"))
    fleet.worker("w2", capacity=9, kinds=("echo", "hash"))
    fleet.do(s.Pause("kind:echo"), s.Pause("worker:w1"))
    assert not the(e.Assign, fleet.submitting(kind="echo"))
    assert leases_in(fleet.submitting(2, kind="hash")) == {"w2": [2, 3]}


def test_pauses_of_different_scopes_end_one_by_one() -> None:
    fleet = Fleet()
    fleet.worker()
    fleet.do(s.Pause("all"), s.Pause("kind:echo"))
    fleet.submit()
    assert not the(e.Assign, fleet.do(s.Resume("all")))
    assert the(e.Assign, fleet.do(s.Resume("kind:echo")))


def test_a_worker_that_paused_itself_gets_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker(paused=True)
    assert not the(e.Assign, fleet.submitting())
    assert the(e.Assign, fleet.do(worker.offered(paused=False)))


def test_a_draining_worker_gets_nothing() -> None:
    fleet = Fleet()
    fleet.worker()
    fleet.do(s.Drain("w1", 30.0))
    assert not the(e.Assign, fleet.submitting())


def test_a_worker_that_can_run_nothing_is_given_nothing_to_keep() -> None:
    fleet = Fleet()
    fleet.worker(capacity=0, limit=10)
    assert not the(e.Assign, fleet.submitting())


def test_absurd_offers_are_cut_to_size() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=-5, limit=-1)
    assert (worker.here.capacity, worker.here.limit, worker.here.credit) == (0, 0, 0)
    fleet.do(worker.offered(capacity=2**62, limit=2**62))
    assert worker.here.credit == FIRST_ROOM
    worker.here.share.room = 2**62
    fleet.do(worker.offered())
    assert worker.here.credit == MAX_ROOM


def test_an_offer_below_what_it_holds_takes_nothing_away_and_gives_nothing() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=4)
    fleet.submit(6)
    decision = fleet.do(worker.offered(capacity=1))
    assert not decision.effects
    assert not the(e.Assign, worker.succeed(1, 2, 3))
    assert leases_in(worker.succeed(4)) == {"w1": [5]}


def test_a_payload_that_is_not_in_memory_is_sent_as_missing() -> None:
    fleet = Fleet()
    fleet.submit([NULL])
    fleet.task(1).payload = None
    worker = fleet.worker()
    assert worker.held == {1: 1}


def test_cancelled_tasks_leave_no_trace_in_the_queues() -> None:
    fleet = Fleet()
    for _ in range(3):
        ids = fleet.submit(50)
        fleet.do(s.Cancel(ids))
    assert not fleet.pool.lanes
    ids = fleet.submit(3)
    fleet.do(s.Cancel(ids[:2]))
    assert fleet.worker(capacity=5).held == {ids[2]: 1}


def test_a_cancelled_task_at_the_head_of_its_priority_is_passed_over() -> None:
    fleet = Fleet()
    high = fleet.submit(2, priority=5)
    low = fleet.submit(2, priority=1)
    other = fleet.submit(kind="other", priority=3)
    fleet.do(s.Cancel(high), s.Cancel(low[:1]))
    worker = fleet.worker(kinds=("echo", "other"), capacity=5)
    assert list(worker.held) == other + low[1:]


def test_a_priority_whose_tasks_were_all_cancelled_is_not_starving() -> None:
    fleet = Fleet(aging=10.0)
    gone = fleet.submit(1, priority=-5)
    fleet.submit(8, priority=5)
    fleet.submit(8, priority=6)
    fleet.do(s.Cancel(gone))
    fleet.wait(20.0)
    assert len(fleet.worker(capacity=20).held) == 16


def test_kinds_that_nobody_offers_cost_a_batch_nothing() -> None:
    def seconds(kinds: int) -> float:
        """Of processor, for a few hundred tasks that come and go."""
        pool = Fleet().pool
        offered = s.Offered(1, frozenset({"echo"}), frozenset(), 4, 8)
        pool.handle([s.WorkerJoined(1, "w", b"i", fresh=True), offered, s.Holding(1, [])], 0.0, 0.0)
        for number in range(kinds):
            pool.handle([s.Submit(s.Options(kind=f"k{number}"), [NULL], reply=1)], 0.0, 0.0)
        start = thread_time()
        for number in range(300):
            decision = pool.handle([s.Submit(s.Options(kind="echo"), [NULL], reply=1)], 0.0, 0.0)
            ((task, attempt, _, _),) = one(e.Assign, decision).leases
            pool.handle([s.Finished(1, [task], [attempt], [NULL], [0.1])], 0.0, float(number))
        return thread_time() - start

    few, many = (min(seconds(kinds) for _ in range(3)) for kinds in (1, 3_000))
    assert many < 5 * few, "looking at each of them would take thirty times as long"


def test_a_task_for_one_worker_is_found_among_many_kinds() -> None:
    fleet = Fleet()
    for number in range(200):
        fleet.submitting(1, kind=f"k{number}")
    fleet.submitting(1, kind="echo", target="w2")
    (task,) = fleet.submit(1, kind="k7")
    fleet.worker("w1", kinds=("echo",))
    two = fleet.worker("w2", kinds=("echo", "k7"), capacity=4)
    assert set(two.held) == {8, 201, task}


def test_no_more_kinds_wait_than_can_be_looked_after(monkeypatch) -> None:
    monkeypatch.setattr(submit, "MAX_LANES", 5)
    fleet = Fleet()
    for number in range(5):
        fleet.submit(1, kind=f"k{number}")
    assert one(e.Rejected, fleet.submitting(1, kind="one more")).code == "overloaded"
    assert fleet.submit(1, kind="k3")
