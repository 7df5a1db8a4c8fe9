"""What a manager knows after a restart: no less than what was acknowledged before it."""

from __future__ import annotations

from typing import Any

import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.commit import pack_leases
from taskmessenger.core.effects import Decision
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Pool, check

from tests.support.pool import NO_JITTER, Fleet, Peer, leases_in, one, the
from tests.support.pool_store import RowStore

TTL = 30.0


class Stored(Fleet):
    """A fleet whose every decision is stored; it can lose its manager."""

    def __init__(self, **options: Any) -> None:
        self.store = RowStore()
        super().__init__(**options)

    def do(self, *stimuli: s.Stimulus) -> Decision:
        decision = super().do(*stimuli)
        self.store.commit(decision.commit)
        return decision

    def crash(self, *, away: float = 0.0, clock_jump: float = 0.0) -> None:
        """Another manager takes over after `away` seconds, on another monotonic clock."""
        self.wall += away + clock_jump
        self.now = self.now % 97 + 5
        self.pool = Pool(backoff=NO_JITTER)
        self.pool.recover(self.store.load(), self.now, self.wall)
        check(self.pool)


def test_queued_tasks_are_there_again_in_their_order() -> None:
    fleet = Stored()
    fleet.submit(3, batch="b", timeout=4.0)
    fleet.submit(2, priority=1)
    fleet.crash()
    worker = fleet.worker()
    order = []
    while worker.held:
        order += worker.held
        worker.succeed(*worker.held)
    assert order == [4, 5, 1, 2, 3]


def test_tasks_of_one_group_share_their_options_again() -> None:
    fleet = Stored()
    fleet.submit(2, batch="b", timeout=4.0)
    before = fleet.task(1).options
    fleet.crash()
    assert fleet.task(1).options == before
    assert fleet.task(1).options is fleet.task(2).options


def test_ids_and_lease_numbers_go_on_where_they_were() -> None:
    fleet = Stored()
    fleet.worker()
    fleet.submit(2)
    fleet.crash()
    assert fleet.submit() == [3]
    decision = fleet.worker("w2").fleet.do(s.Tick())
    assert not decision.commit.granted
    assert set(fleet.store.grants) == {1, 2}


def test_a_worker_that_returns_keeps_its_work_and_its_result_counts() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    fleet.crash()
    assert worker.held == {1: 1}
    decision = worker.back(holding=[(1, 1)])
    assert not decision.effects
    assert not decision.commit.reopened
    assert worker.succeed(1).commit.settled[0][:4] == (TaskState.SUCCEEDED, 1, 0, "w1")
    assert not fleet.store.grants


def test_leases_hold_one_full_period_from_the_start_of_the_new_manager() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    fleet.wait(TTL - 1)
    fleet.crash(away=3_600.0)
    assert not fleet.wait(TTL - 1).commit.reopened
    decision = fleet.wait(1.0)
    assert decision.commit.reopened[0][:3] == (TaskState.SCHEDULED, 1, 1)
    assert not fleet.pool.workers


def test_an_assignment_that_never_left_is_leased_again_and_not_spent() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    fleet.crash()
    decision = worker.back(holding=[])
    assert leases_in(decision) == {"w1": [1]}
    assert worker.held == {1: 2}
    assert fleet.task(1).spent == 0


def test_a_worker_process_that_died_meanwhile_lost_what_it_ran() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    fleet.crash()
    worker.restart()
    assert fleet.task(1).crashes == 1


def test_attempt_numbers_keep_growing_over_restarts() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit(max_attempts=50)
    attempts = []
    for _ in range(4):
        attempts.append(worker.held[1])
        worker.fail(1)
        fleet.crash()
        fleet.wait(60.0)
        worker.back(holding=[])
        attempts.append(worker.held[1])
        fleet.crash()
        worker.back(holding=[])
    assert attempts == sorted(set(attempts))
    assert fleet.task(1).attempt == attempts[-1] + 1


def test_an_attempt_that_ended_before_the_crash_is_not_leased_after_it() -> None:
    fleet = Stored()
    worker = fleet.worker(capacity=2)
    fleet.submit(2)
    worker.fail(1)
    fleet.crash()
    assert worker.held == {2: 1}
    assert fleet.state(1) is TaskState.SCHEDULED


def test_of_two_rows_of_the_lease_log_about_one_task_the_later_one_holds() -> None:
    fleet = Stored()
    fleet.submit(2)
    fleet.store.grants = {
        1: (1, "old", pack_leases([1, 2], [1, 1])),
        2: (2, "new", pack_leases([1], [2])),
        3: (3, "gone", pack_leases([2, 99], [1, 1])),
    }
    fleet.crash()
    assert Peer(fleet, "new").held == {1: 2}
    assert Peer(fleet, "old").held == {2: 1}
    fleet.do(s.Tick())
    assert set(fleet.store.grants) == {1, 2}


def test_a_row_of_the_lease_log_without_open_leases_goes_with_the_first_commit() -> None:
    fleet = Stored()
    fleet.store.grants = {1: (1, "w1", pack_leases([5, 6], [1, 1]))}
    fleet.crash()
    assert fleet.do().commit.grants_ended == [1]


def test_a_scheduled_task_keeps_its_moment() -> None:
    fleet = Stored()
    fleet.submit(delay=100.0)
    fleet.wait(30.0)
    fleet.crash(away=50.0)
    fleet.worker()
    assert not the(e.Assign, fleet.wait(19.0, beating=[]))
    assert leases_in(fleet.wait(2.0)) == {"w1": [1]}


def test_a_moment_that_passed_meanwhile_has_come() -> None:
    fleet = Stored()
    fleet.submit(delay=100.0)
    fleet.crash(away=1_000.0)
    worker = fleet.worker()
    fleet.do(s.Tick())
    assert worker.held == {1: 1}


@pytest.mark.parametrize("jump", [-86_400.0, -3_600.0])
def test_a_wall_clock_set_back_meanwhile_makes_no_wait_longer(jump: float) -> None:
    fleet = Stored()
    worker = fleet.worker()
    delayed = fleet.submit(delay=100.0)[0]
    retried = fleet.submit()[0]
    fleet.wait(40.0, beating=[worker])
    worker.fail(retried)
    worker.drop()
    fleet.crash(clock_jump=jump)
    for task, longest in ((delayed, 100.0), (retried, NO_JITTER.longest)):
        due = fleet.task(task).due
        assert due is not None
        assert 0.0 < due - fleet.now <= longest


def test_the_end_of_an_earlier_wait_does_not_cut_the_next_one_short() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    worker.fail(1)
    fleet.wait(1.0, beating=[worker])
    assert worker.held == {1: 2}
    fleet.crash(clock_jump=-0.5)  # the store still has the first wait, and half a second of it seems left
    worker.back(holding=[(1, 2)])
    worker.fail(1)
    assert not the(e.Assign, fleet.wait(1.9, beating=[worker]))
    assert leases_in(fleet.wait(0.2, beating=[worker])) == {"w1": [1]}


def test_pauses_outlive_the_manager() -> None:
    fleet = Stored()
    fleet.do(s.Pause("all"), s.Pause("kind:echo"), s.Pause("worker:w1"))
    fleet.do(s.Resume("all"))
    fleet.submit()
    fleet.crash()
    worker = Peer(fleet, "w1")
    assert {steer.scope for steer in the(e.Steer, worker.join())} == {"kind:echo", "worker:w1"}
    fleet.do(s.Resume("kind:echo"))
    assert not worker.held
    fleet.do(s.Resume("worker:w1"))
    assert worker.held == {1: 1}
    fleet.crash()
    assert not fleet.pool.paused


def test_keys_outlive_the_manager() -> None:
    fleet = Stored()
    fleet.submit(keys=["k"])
    fleet.crash()
    assert one(e.Accepted, fleet.submitting(keys=["k"])) == e.Accepted(99, [1], 1)
    assert one(e.Rejected, fleet.submitting(keys=["k"], digests=[b"other"])).code == "conflict"


def test_the_totals_add_up_after_a_restart() -> None:
    fleet = Stored()
    worker = fleet.worker(capacity=3)
    fleet.submit(6, max_attempts=1)
    worker.succeed(1)
    worker.fail(2)
    fleet.do(s.Cancel([6]))
    fleet.submit(delay=5.0)
    before = dict(fleet.pool.totals)
    fleet.crash()
    assert fleet.pool.totals == before
    assert fleet.pool.accepted == 7


def test_a_retry_by_hand_outlives_the_manager() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit(max_attempts=1)
    worker.fail(1)
    worker.drop()
    fleet.do(s.Retry([fleet.store.rows[1].open_row()]))
    fleet.crash()
    assert (fleet.state(1), fleet.task(1).attempt, fleet.task(1).spent) == (TaskState.QUEUED, 1, 0)
    assert fleet.pool.totals[TaskState.FAILED] == 0


def test_a_cancelled_task_that_a_worker_still_has_is_ended_when_it_returns() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    fleet.do(s.Cancel([1]))
    fleet.crash()
    assert one(e.EndLeases, worker.back(holding=[(1, 1)])).leases == [(1, 1)]


def test_a_pool_that_recovered_asks_for_time_while_somebody_may_return() -> None:
    fleet = Stored()
    fleet.worker()
    fleet.submit()
    fleet.crash()
    deadline = fleet.pool.deadline()
    assert deadline is not None
    assert deadline <= fleet.now + TTL


def test_a_used_pool_does_not_recover() -> None:
    fleet = Stored()
    fleet.submit()
    with pytest.raises(AssertionError):
        fleet.pool.recover(fleet.store.load(), fleet.now, fleet.wall)


def test_rows_that_were_taken_over_are_not_kept_beside_the_tasks() -> None:
    fleet = Stored()
    fleet.submit(3)
    fleet.submit(2, delay=60.0)
    found = fleet.store.load()
    pool = Pool()
    pool.recover(found, fleet.now, fleet.wall)
    assert (len(pool.tasks), found.tasks) == (5, [])


def test_a_suspicion_outlives_the_manager() -> None:
    fleet = Stored()
    worker = fleet.worker(capacity=3)
    ids = fleet.submit(3)
    worker.start(*ids)
    worker.restart()
    fleet.crash()
    fleet.wait(5.0)
    assert [fleet.task(i).suspect for i in ids] == [True] * 3
    other = fleet.worker("w2", capacity=3)
    assert list(other.held) == ids[:1]
    fleet.crash()
    other.back(holding=[(ids[0], 2)])
    fleet.submit(5)
    assert list(other.held) == ids[:1], "it ran alone, and goes on alone"
    fleet.do(s.Tick())
    while other.held:
        other.succeed(*other.held)
    assert not [name for name in fleet.store.settings if name.startswith("suspect:")]


def test_deaths_before_and_after_a_restart_of_the_manager_count_together_and_are_told() -> None:
    fleet = Stored()
    poison = fleet.submit(max_attempts=9)[0]
    for number in range(2):
        worker = fleet.worker(f"w{number}", capacity=2)
        if number == 0:
            fleet.submit()
        worker.start(*worker.held)
        worker.drop()
        fleet.wait(TTL + 5)
        fleet.crash()
        fleet.do(s.Tick())
    assert fleet.task(poison).crashes == 2
    last = fleet.worker("w2")
    last.start(poison)
    last.drop()
    (settled,) = [row for row in fleet.wait(TTL + 1).commit.settled if row[-1] == poison]
    assert settled[0] == TaskState.FAILED
    assert b"w0 at" in settled[7]
    assert b"w2 at" in settled[7]


def test_the_same_process_takes_its_death_back_from_the_next_manager_too() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    worker.drop()
    fleet.wait(TTL + 5)
    assert fleet.task(1).crashes == 1
    fleet.crash()
    worker.back(holding=[])
    assert (fleet.task(1).crashes, fleet.task(1).suspect) == (0, False)
    fleet.crash()
    assert fleet.task(1).crashes == 0


def test_a_worker_that_never_returns_to_a_new_manager_counts_as_dead() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    fleet.crash()
    fleet.wait(TTL + 5)
    assert (fleet.task(1).crashes, fleet.task(1).suspect) == (1, True)
    worker.back(holding=[])
    assert (fleet.task(1).crashes, fleet.task(1).suspect) == (0, False)


def test_of_its_leases_only_those_are_suspect_that_had_a_slot() -> None:
    fleet = Stored()
    worker = fleet.worker(capacity=2, limit=9, kinds=("echo", "apart"), isolated=("apart",))
    apart = fleet.submit(kind="apart")
    ids = fleet.submit(8)
    worker.drop()
    fleet.crash()
    fleet.wait(TTL + 1)
    suspects = {i for i in (*apart, *ids) if fleet.task(i).suspect}
    assert apart[0] not in suspects
    assert ids[0] in suspects
    assert ids[-1] not in suspects or len(suspects) < 8


def test_what_is_stored_of_workers_goes_when_they_do() -> None:
    fleet = Stored()
    worker = fleet.worker()
    fleet.submit()
    assert "slots:w1" in fleet.store.settings
    worker.succeed(1)
    worker.drop()
    assert "slots:w1" not in fleet.store.settings
    worker.back(holding=[])
    fleet.submit()
    fleet.crash()
    fleet.store.grants.clear()
    fleet.crash()
    fleet.do(s.Tick())
    assert "slots:w1" not in fleet.store.settings


@pytest.mark.parametrize("later", [0.0, 60.0], ids=["at once", "after the counts were saved"])
def test_what_workers_and_kinds_have_done_is_counted_on(later: float) -> None:
    fleet = Stored()
    worker = fleet.worker(capacity=4)
    for time in range(3):
        first, second, *rest = fleet.submit(4)
        worker.succeed(first, second)
        if time:
            fleet.do(s.Cancel(rest))
        else:
            worker.succeed(*rest)
        if time == 1:
            fleet.wait(later, [worker])
    before = {name: one.done for name, one in fleet.pool.tallies.workers.items()}
    kinds = {name: (one.done, one.failed) for name, one in fleet.pool.tallies.kinds.items()}
    assert sum(before.values()) == 8
    fleet.crash()
    assert {name: one.done for name, one in fleet.pool.tallies.workers.items()} == before
    assert {name: (one.done, one.failed) for name, one in fleet.pool.tallies.kinds.items()} == kinds
    fleet.crash()
    assert {name: one.done for name, one in fleet.pool.tallies.workers.items()} == before, "once"
