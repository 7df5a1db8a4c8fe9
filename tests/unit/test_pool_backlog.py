"""A long queue costs a pool next to nothing, and behaves as a short one does."""

from __future__ import annotations

import gc
import tracemalloc
from array import array
from random import Random

from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.commit import Recovered, WaitingRow, gather
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Depth, Pool, check
from taskmessenger.core.pool.backlog import ALIKE_SECONDS, DRAWN, IN_FULL, Series

from tests.support.pool import EPOCH, NO_JITTER, START, Fleet, ids_in_backlog, leases_in, one, the
from tests.support.pool_store import RowStore

MANY = 200_000
BYTES_PER_TASK = 4.0
"""Of a queue in the order of its ids. An object takes some three hundred."""
BYTES_PER_MIXED_TASK = 24.0
"""Of one where tasks of several kinds were submitted in turn."""
TINY = Depth(in_full=0, shallow=0, drawn=2)


def waiting_row(ids: range, kind: str = "echo", priority: int = 0) -> WaitingRow:
    return (ids, kind, priority, 5, None, None, None, EPOCH)


def recovered(*waiting: WaitingRow) -> Fleet:
    """A fleet whose manager has just taken over so many queued tasks."""
    pool = Pool(backoff=NO_JITTER, rng=Random(7))
    last = max(ids[-1] for ids, *_ in waiting)
    pool.recover(Recovered([], [], {}, list(waiting), next_task_id=last + 1), START, EPOCH)
    return Fleet(pool)


def run_all(fleet: Fleet, capacity: int = 1) -> list[int]:
    """Every task, in the order of the leases."""
    worker = fleet.worker("runner", capacity=capacity)
    order: list[int] = []
    while worker.held:
        order += worker.held
        worker.succeed(*worker.held)
    return order


# ---- what it costs --------------------------------------------------------------------------------------


def test_taking_over_many_queued_tasks_makes_no_objects_and_takes_next_to_no_memory() -> None:
    rows = [waiting_row(range(first, first + 1_000)) for first in range(1, MANY, 1_000)]
    gc.collect()
    tracemalloc.start()
    fleet = recovered(*rows)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not fleet.pool.tasks
    assert fleet.pool.pending == fleet.pool.totals[TaskState.QUEUED] == fleet.pool.accepted == MANY
    assert size / MANY < BYTES_PER_TASK


def test_only_tasks_whose_turn_is_near_become_objects() -> None:
    fleet = recovered(waiting_row(range(1, MANY + 1)))
    joined = s.WorkerJoined(1, "w", b"i", fresh=True)
    offer = s.Offered(1, frozenset({"echo"}), frozenset(), 10, 10)
    decision = fleet.pool.handle([joined, offer, s.Holding(1, [])], START, EPOCH)
    assert leases_in(decision) == {"w": list(range(1, 11))}
    assert len(fleet.pool.tasks) <= DRAWN
    assert fleet.pool.pending == MANY


def test_new_tasks_behind_many_others_are_not_kept_in_memory() -> None:
    pool = Pool()
    options = s.Options(kind="echo")
    gc.collect()
    tracemalloc.start()
    for _ in range(IN_FULL // 1_000):
        pool.handle([s.Submit(options, [bytes(100)] * 1_000)], START, EPOCH)
    full, _ = tracemalloc.get_traced_memory()
    for _ in range(MANY // 1_000):
        pool.handle([s.Submit(options, [bytes(100)] * 1_000)], START, EPOCH)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pool.tasks) == IN_FULL
    assert pool.pending == IN_FULL + MANY
    assert (size - full) / MANY < BYTES_PER_TASK


def test_tasks_of_several_kinds_that_come_one_by_one_are_not_kept_in_memory_either() -> None:
    pool = Pool(depth=Depth(in_full=0, shallow=0))
    kinds = [s.Options(kind=kind, priority=priority) for kind in "abc" for priority in (0, 5)]
    gc.collect()
    tracemalloc.start()
    for _ in range(100):
        pool.handle([s.Submit(options, [b"x"]) for options in kinds * 10], START, EPOCH)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not pool.tasks
    assert pool.pending == 100 * 60
    assert size / pool.pending < BYTES_PER_MIXED_TASK
    check(pool)


def test_a_task_in_a_short_queue_is_an_object_however_many_wait_elsewhere() -> None:
    fleet = Fleet(depth=Depth(in_full=5, shallow=3))
    fleet.submit(20)
    (urgent,) = fleet.submit(priority=50)
    assert urgent in fleet.pool.tasks
    worker = fleet.worker()
    assert worker.held == {urgent: 1}


def test_the_bound_on_pending_tasks_counts_those_without_objects() -> None:
    fleet = Fleet(depth=TINY, max_pending=10)
    fleet.submit(9)
    assert not fleet.pool.tasks
    refused = one(e.Rejected, fleet.submitting(2))
    assert (refused.code, "9 tasks are pending" in refused.message) == ("overloaded", True)
    assert fleet.submit(1) == [10]


# ---- order ----------------------------------------------------------------------------------------------


def test_tasks_run_by_priority_then_age_whether_or_not_they_have_objects() -> None:
    """G10, over a restart: what was there before, what came after, and what was tried before."""
    rng = Random(3)
    fleet = Fleet(depth=Depth(in_full=6, shallow=2, drawn=3))
    wanted = []
    for _ in range(40):
        priority = rng.choice((0, 0, 5, -5))
        wanted += [(-priority, i) for i in fleet.submit(rng.randint(1, 4), priority=priority)]
    assert len(ids_in_backlog(fleet.pool)) > len(wanted) // 2
    fleet.pool.aging = 1e9
    assert run_all(fleet) == [i for _, i in sorted(wanted)]


def test_a_task_that_goes_back_to_its_queue_is_next_again() -> None:
    fleet = recovered(waiting_row(range(1, 30)))
    worker = fleet.worker(capacity=2)
    worker.fail(1, how=s.How.RELEASED)
    assert set(worker.held) == {1, 2}


def test_series_that_overlap_are_served_in_the_order_of_their_ids() -> None:
    rows = [(i, ("echo", 0, 5, None, f"b{i % 3}", None), EPOCH) for i in range(1, 200)]
    fleet = recovered(*gather(rows))
    assert run_all(fleet, capacity=7) == list(range(1, 200))


# ---- what is done to single tasks -----------------------------------------------------------------------


def test_waiting_tasks_are_cancelled_where_they_wait() -> None:
    fleet = recovered(waiting_row(range(1, 1_001)))
    rng = Random(5)
    gone = list(dict.fromkeys([1, 2, 3, 1_000, 999, 500, *rng.sample(range(4, 900), 300)]))
    rng.shuffle(gone)
    for start in range(0, len(gone), 50):
        some = gone[start : start + 50]
        decision = fleet.do(s.Cancel([*some, 5_000]))
        assert set(one(e.Done, decision).ids) == set(some)
        assert [row[0] for row in decision.commit.settled] == [TaskState.CANCELLED] * len(set(some))
    assert one(e.Done, fleet.do(s.Cancel([500]))).ids == []
    assert fleet.pool.totals[TaskState.CANCELLED] == len(set(gone))
    assert run_all(fleet, capacity=50) == [i for i in range(1, 1_001) if i not in set(gone)]
    assert not fleet.pool.lanes


def test_cancelling_all_of_a_long_queue_leaves_nothing_behind() -> None:
    fleet = recovered(waiting_row(range(1, 2_001)), waiting_row(range(2_001, 2_101), priority=3))
    for top in range(2_100, 0, -100):
        fleet.do(s.Cancel(list(range(top, top - 100, -1))))
    assert (fleet.pool.pending, fleet.pool.backlog.size) == (0, 0)
    assert not fleet.pool.lanes
    assert not fleet.pool.backlog._blocks
    assert fleet.submit(1) == [2_101]


def test_a_new_priority_moves_waiting_tasks_without_making_objects_of_them() -> None:
    fleet = recovered(waiting_row(range(1, 101)), waiting_row(range(101, 111), priority=7))
    decision = fleet.do(s.SetPriority([90, 3, 50, 105], 7))
    assert set(one(e.Done, decision).ids) == {90, 3, 50, 105}
    assert decision.commit.repriced == [(7, [90, 3, 50, 105])]
    fleet.do(s.SetPriority([50], 0))
    assert not fleet.pool.tasks
    fleet.pool.aging = 1e9
    order = run_all(fleet)
    assert order[:12] == [3, 90, *range(101, 111)]
    assert order[12:] == [i for i in range(1, 101) if i not in {3, 90}]


def test_whoever_watches_a_waiting_task_is_told_of_its_end() -> None:
    fleet = recovered(waiting_row(range(1, 11)))
    assert one(e.Done, fleet.do(s.Watch([4, 11], 1))).ids == [4]
    worker = fleet.worker(capacity=10)
    told = [tell for i in range(1, 11) for tell in the(e.Tell, worker.succeed(i))]
    assert [(tell.watch, [row[0] for row in tell.outcomes]) for tell in told] == [(1, [4])]


def test_whoever_watches_a_submission_is_told_of_tasks_that_had_no_objects() -> None:
    fleet = Fleet(depth=TINY)
    ids = fleet.submit(5, watch=3)
    assert ids_in_backlog(fleet.pool) == set(ids)
    worker = fleet.worker(capacity=5)
    (tell,) = the(e.Tell, worker.succeed(*ids))
    assert (tell.watch, [row[0] for row in tell.outcomes]) == (3, ids)


def test_tasks_with_different_watchers_are_not_taken_for_alike() -> None:
    fleet = Fleet(depth=TINY)
    for watcher in (1, 2, None, 1):
        fleet.submit(2, watch=watcher)
    worker = fleet.worker(capacity=8)
    tells = the(e.Tell, worker.succeed(*range(1, 9)))
    assert {tell.watch: [row[0] for row in tell.outcomes] for tell in tells} == {1: [1, 2, 7, 8], 2: [3, 4]}


def test_an_outcome_of_a_task_that_only_waits_is_forged() -> None:
    fleet = recovered(waiting_row(range(1, 11), kind="other"))
    worker = fleet.worker()
    decision = worker.send([(5, 1)])
    assert the(e.Disconnect, decision)
    assert fleet.pool.refused == 1
    assert fleet.pool.pending == 10


def test_a_lease_that_was_given_before_the_restart_holds() -> None:
    fleet = Stored()
    worker = fleet.worker(capacity=2)
    fleet.submit(10)
    fleet.crash()
    assert set(fleet.pool.tasks) == {1, 2}
    worker.back(holding=[(1, 1), (2, 1)])
    worker.succeed(1, 2)
    assert run_all(fleet) == list(range(5, 11))
    assert set(worker.held) == {3, 4}


# ---- idempotency keys -----------------------------------------------------------------------------------


class Stored(Fleet):
    """A fleet whose every decision is stored, and whose pool asks the store for keys as its host does."""

    def __init__(self) -> None:
        self.store = RowStore()
        super().__init__(depth=TINY)

    def do(self, *stimuli: s.Stimulus):
        for got in stimuli:
            if isinstance(got, s.Submit) and got.keys is not None:
                got.known = self.store.find_keys([key for key in got.keys if key not in self.pool.keys])
        decision = super().do(*stimuli)
        self.store.commit(decision.commit)
        return decision

    def crash(self) -> None:
        self.pool = Pool(backoff=NO_JITTER, depth=TINY)
        self.pool.recover(self.store.load(in_full=0), self.now, self.wall)
        check(self.pool)


def test_a_key_leads_to_its_task_before_and_after_it_was_only_in_the_store() -> None:
    fleet = Stored()
    options = s.Options(kind="echo")
    keys = ["a", "b", "a"]
    first = s.Submit(options, [b"x"] * 3, keys, [b"d"] * 3, reply=1)
    second = s.Submit(options, [b"x"] * 2, ["b", "c"], [b"d"] * 2, reply=2)
    both = the(e.Accepted, fleet.do(first, second))
    assert [(one.ids, one.duplicates) for one in both] == [([1, 2, 1], 1), ([2, 3], 1)]
    assert not fleet.pool.keys
    assert fleet.submit(3, keys=["c", "b", "d"]) == [3, 2, 4]
    fleet.crash()
    assert fleet.submit(2, keys=["d", "e"]) == [4, 5]
    worker = fleet.worker(capacity=9)
    worker.succeed(1, 2)
    assert fleet.submit(2, keys=["a", "b"]) == [1, 2]
    refused = one(e.Rejected, fleet.submitting(1, keys=["e"], digests=[b"other"]))
    assert refused.code == "conflict"


def test_a_watcher_that_submits_a_known_key_is_told_of_the_task_that_waits() -> None:
    fleet = Stored()
    fleet.submit(2, keys=["a", "b"])
    fleet.crash()
    assert fleet.submit(2, keys=["b", "c"], watch=4) == [2, 3]
    worker = fleet.worker(capacity=3)
    (tell,) = the(e.Tell, worker.succeed(1, 2, 3))
    assert [row[0] for row in tell.outcomes] == [2, 3]


# ---- series ---------------------------------------------------------------------------------------------


def test_a_series_keeps_its_count_whatever_leaves_it_in_whatever_order() -> None:
    for seed in range(30):
        rng = Random(seed)
        ids = sorted(rng.sample(range(1, 200), 60)) if seed % 2 else list(range(5, 65))
        given = array("Q", ids) if seed % 2 else range(5, 65)
        series, left = Series(given, s.Options(kind="a"), EPOCH), list(ids)
        while left:
            if rng.random() < 0.7:
                task_id = rng.choice((left[0], left[-1], rng.choice(left)))
                series.leave(series.place_of(task_id))
                left.remove(task_id)
                assert series.place_of(task_id) == -1
            else:
                drawn = series.draw(rng.randint(1, 5))
                assert list(drawn) == left[: len(drawn)]
                assert drawn or not left
                del left[: len(drawn)]
            assert series.left == len(left)
            assert [i for i in ids if series.place_of(i) >= 0] == left
            assert not left or series.front == left[0]


def test_tasks_that_were_submitted_long_after_each_other_are_not_alike() -> None:
    fleet = Fleet(depth=TINY)
    fleet.submit(2)
    fleet.wall += ALIKE_SECONDS + 1
    fleet.submit(2)
    assert {fleet.pool.backlog.find(i).submitted for i in (1, 2)} == {EPOCH}
    assert {fleet.pool.backlog.find(i).submitted for i in (3, 4)} == {fleet.wall}
