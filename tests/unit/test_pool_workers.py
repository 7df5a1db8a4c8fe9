"""Workers come, fall silent, come back, die and leave; what that does to the tasks they had."""

from __future__ import annotations

import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import losses

from tests.support.pool import Fleet, Peer, kinds_of, leases_in, one, suspects, the

TTL = 30.0


def test_a_lost_link_takes_nothing_away() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(2)
    decision = worker.drop()
    assert not decision.effects
    assert not decision.commit
    assert worker.held == {1: 1}
    assert not the(e.Assign, fleet.wait(TTL - 1))


def test_a_worker_that_is_back_in_time_keeps_its_work() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.drop()
    fleet.wait(TTL - 1)
    decision = worker.back()
    assert not decision.effects
    assert not decision.commit
    fleet.wait(TTL - 1)
    assert worker.succeed(1).commit.settled[0][1:3] == (1, 0)


def test_a_sign_of_life_renews_every_lease() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=3)
    fleet.submit(3)
    fleet.wait(500, beating=[worker])
    assert len(worker.held) == 3


def test_a_worker_that_held_nothing_is_forgotten_with_its_link() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    worker.drop()
    assert not fleet.pool.workers
    assert fleet.pool.deadline() is None


def test_what_a_worker_has_done_is_known_after_it_has_left_and_goes_on_when_it_is_back() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit(2)
    worker.succeed(1)
    worker.succeed(2)
    worker.drop()
    assert not fleet.pool.workers
    assert fleet.pool.tallies.workers["w1"].done == 2
    worker.back()
    fleet.submit()
    worker.succeed(3)
    assert fleet.pool.workers["w1"].share.done == 3


def test_leases_that_cannot_have_begun_are_not_spent_by_silence() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2, limit=6)
    fleet.submit(6)
    fleet.do(worker.offered(limit=2))
    worker.start(1)
    worker.drop()
    fleet.wait(TTL)
    assert [fleet.task(i).suspect for i in range(1, 7)] == [True, True, False, False, False, False]
    assert [fleet.task(i).spent for i in range(1, 7)] == [0] * 6
    assert [fleet.state(i) for i in (1, 3)] == [TaskState.SCHEDULED, TaskState.QUEUED]


def test_of_short_tasks_any_of_the_first_may_have_taken_a_silent_worker_along(monkeypatch) -> None:
    """The one that had begun when it last spoke may be over: it must not be convicted for its neighbour."""
    monkeypatch.setattr(losses, "UNTOLD", 3)
    fleet = Fleet()
    worker = fleet.worker(capacity=1, limit=8)
    fleet.submit(8, max_attempts=1)
    worker.start(1)
    worker.drop()
    fleet.wait(TTL)
    assert [fleet.task(i).suspect for i in range(1, 9)] == [True] * 4 + [False] * 4
    assert [(fleet.task(i).spent, fleet.task(i).crashes) for i in range(1, 9)] == [(0, 0)] * 8


def test_short_tasks_of_an_isolated_kind_are_not_suspect_because_they_waited() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=1, limit=8, kinds=("apart",), isolated=("apart",))
    fleet.submit(8, kind="apart")
    worker.start(1)
    worker.drop()
    fleet.wait(TTL)
    assert [fleet.task(i).suspect for i in range(1, 9)] == [False] * 8
    assert [fleet.task(i).spent for i in range(1, 9)] == [1] + [0] * 7


def test_the_last_attempt_lost_in_silence_is_the_end_of_the_task() -> None:
    fleet = Fleet()
    fleet.worker().fleet.submit(max_attempts=1, watch=2)
    fleet.do(s.LinkLost(1))
    decision = fleet.wait(TTL)
    assert decision.commit.settled[0][0] == TaskState.FAILED
    assert one(e.Tell, decision).outcomes[0][3] == "w1"


def test_a_connected_worker_that_gives_no_sign_of_life_is_cut_off_and_gets_nothing_more() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    decision = fleet.wait(TTL)
    assert one(e.Disconnect, decision).session == worker.session
    assert not the(e.Assign, fleet.wait(60))
    assert fleet.task(1).attempt == 1
    fleet.do(s.LinkLost(worker.session))
    worker.back(holding=[])
    assert worker.held == {1: 2}


def test_the_same_process_that_lacks_a_lease_never_got_it_and_nothing_is_spent() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit(2, max_attempts=1)
    worker.drop()
    decision = worker.back(holding=[(2, 1)])
    assert decision.commit.reopened == [(TaskState.QUEUED, 1, 0, 0, None, 1)]
    assert leases_in(decision) == {"w1": [1]}
    assert worker.held == {2: 1, 1: 2}
    assert fleet.task(1).spent == 0


def test_a_process_that_died_running_one_task_alone_accuses_it() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=4)
    fleet.submit()
    worker.start(1)
    decision = worker.restart()
    task = fleet.task(1)
    assert (task.state, task.spent, task.crashes, task.suspect) == (TaskState.SCHEDULED, 1, 1, True)
    assert decision.commit.attempts[0][5] == "crashed"


def test_a_process_that_died_with_company_accuses_nobody_and_suspects_all() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=3)
    fleet.submit(3)
    worker.start(1, 2)
    decision = worker.restart()
    assert [(t.crashes, t.suspect) for t in fleet.pool.tasks.values()] == [(0, True)] * 3
    assert {row[5] for row in decision.commit.attempts} == {"orphaned"}
    assert {task.spent for task in fleet.pool.tasks.values()} == {0}


def test_a_cancelled_task_that_still_ran_was_company() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit(2)
    worker.start(1, 2)
    fleet.do(s.Cancel([1]))
    worker.restart()
    assert (fleet.task(2).crashes, fleet.task(2).suspect) == (0, True)


def test_leases_that_waited_behind_the_slots_are_not_suspect() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=1, limit=5)
    fleet.submit(5, max_attempts=2)
    worker.start(1)
    decision = worker.restart()
    assert (fleet.task(1).crashes, fleet.task(1).suspect) == (1, True)
    assert [(fleet.task(i).spent, fleet.task(i).suspect) for i in range(2, 6)] == [(0, False)] * 4
    assert leases_in(decision) == {"w1": [2, 3, 4, 5]}


def test_an_isolated_kind_is_not_accused_of_the_death_of_its_worker() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2, kinds=("echo", "apart"), isolated=("apart",))
    fleet.submit(kind="apart")
    worker.start(1)
    worker.restart()
    assert (fleet.task(1).crashes, fleet.task(1).suspect, fleet.task(1).spent) == (0, False, 1)


def test_beside_isolated_kinds_a_task_ran_alone() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2, kinds=("echo", "apart"), isolated=("apart",))
    fleet.submit(kind="apart")
    fleet.submit(kind="echo")
    worker.start(1, 2)
    worker.restart()
    assert (fleet.task(1).crashes, fleet.task(2).crashes) == (0, 1)


def test_what_a_new_process_found_in_its_predecessors_spool_was_not_lost() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit(2)
    worker.start(1, 2)
    worker.restart(holding=[(1, 1)])
    assert fleet.state(1) is TaskState.RUNNING
    assert fleet.task(2).crashes == 1
    assert worker.succeed(1).commit.settled


def test_a_death_is_not_forgotten_when_the_new_process_loses_its_first_link() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    worker.drop()
    fleet.do(worker.joining(fresh=True))
    worker.drop()
    worker.back(holding=[])
    assert fleet.task(1).crashes == 1


def test_a_death_shows_when_the_manager_missed_the_first_session_of_the_new_process() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    worker.drop()
    worker.instance = b"another process"
    worker.back(holding=[])
    assert fleet.task(1).crashes == 1


def test_suspects_run_alone_one_on_each_worker() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 3)
    fleet.submit(20)
    first = fleet.worker("w1", capacity=4)
    second = fleet.worker("w2", capacity=4)
    assert (list(first.held), list(second.held)) == ([ids[0]], [ids[1]])
    first.succeed(ids[0])
    assert list(first.held) == [ids[2]]
    assert list(second.held) == [ids[1]]
    first.succeed(ids[2])
    assert len(first.held) == 4


def test_a_suspect_whose_priority_changes_still_waits_to_run_alone() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 3)
    fleet.submit(4)
    fleet.do(s.SetPriority([ids[1]], 9))
    assert fleet.task(ids[1]).options.priority == 9
    worker = fleet.worker("w1", capacity=4)
    for task_id in ids:
        assert list(worker.held) == [task_id], "alone, each in its turn"
        worker.succeed(task_id)
    assert len(worker.held) == 4


def test_a_suspect_that_ends_without_killing_anybody_is_cleared() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 2)
    worker = fleet.worker("w1", capacity=4)
    worker.fail(ids[0])
    assert not fleet.task(ids[0]).suspect
    assert worker.here.alone == ids[1]


def test_a_suspect_that_was_only_given_back_is_not_cleared() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 2)
    worker = fleet.worker("w1", capacity=4)
    worker.fail(ids[0], how=s.How.RELEASED)
    assert fleet.task(ids[0]).suspect
    assert len(worker.held) == 1


def test_who_killed_a_worker_alone_runs_alone_until_its_crashes_are_used_up() -> None:
    fleet = Fleet(max_crashes=3)
    worker = fleet.worker(capacity=4)
    poison = fleet.submit(max_attempts=9)[0]
    worker.start(poison)
    worker.restart()
    good = fleet.submit(8)
    deaths = 1
    while poison in fleet.open():
        fleet.wait(1.0, beating=[worker])
        if poison in worker.held:
            assert list(worker.held) == [poison]
            worker.restart()
            deaths += 1
        elif worker.held:
            worker.succeed(*worker.held)
    assert deaths == 3
    assert not fleet.open() & set(good)
    assert fleet.pool.totals[TaskState.FAILED] == 1


def test_a_busy_fleet_makes_room_for_a_suspect() -> None:
    fleet = Fleet()
    busy = [fleet.worker(name, capacity=4) for name in ("w1", "w2")]
    fleet.submit(8)
    ids = suspects(fleet, fleet.worker("w0"), 2)
    rounds = 0
    while fleet.open() & set(ids):
        fleet.submit(2)
        for worker in busy:
            worker.succeed(next(iter(worker.held)))
        fleet.wait(1.0, beating=busy)
        rounds += 1
        assert rounds < 30
    assert all(worker.held for worker in busy)


def test_a_suspect_that_nobody_can_run_holds_up_nobody() -> None:
    fleet = Fleet()
    suspects(fleet, fleet.worker("w0", kinds=("rare", "echo")), 2, kind="rare")  # type: ignore[arg-type]
    worker = fleet.worker("w1", capacity=4)
    assert len(leases_in(fleet.submitting(9))["w1"]) == 4
    assert len(worker.held) == 4


def test_a_paused_suspect_waits_like_everybody() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 2)
    fleet.do(s.Pause("kind:echo"))
    worker = fleet.worker("w1", capacity=4)
    assert not worker.held
    fleet.do(s.Resume("kind:echo"))
    assert list(worker.held) == ids[:1]


def test_a_second_connection_takes_the_place_of_the_first() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit()
    first = worker.session
    decision = worker.back()
    cut = one(e.Disconnect, decision)
    assert (cut.session, cut.code) == (first, "replaced")
    assert worker.held == {1: 1}
    assert not fleet.do(s.LinkLost(first)).events
    assert worker.here.session == worker.session


def test_a_revoked_worker_is_cut_off_and_its_tasks_go_to_others() -> None:
    fleet = Fleet()
    worker = fleet.worker("w1")
    other = fleet.worker("w2")
    fleet.submit(2)
    assert (worker.held, other.held) == ({1: 1}, {2: 1})
    decision = fleet.do(s.WorkerRevoked("w1"))
    cut = one(e.Disconnect, decision)
    assert (cut.session, cut.code) == (worker.session, "refused")
    assert "w1" not in fleet.pool.workers
    assert fleet.task(1).spent == 0
    assert leases_in(other.succeed(2)) == {"w2": [1]}
    assert not worker.send([(1, 1)]).effects


def test_revoking_who_is_not_here_changes_nothing() -> None:
    decision = Fleet().do(s.WorkerRevoked("nobody"))
    assert not decision.effects
    assert not decision.commit


def test_a_goodbye_gives_everything_back_at_once_and_accuses_nobody() -> None:
    fleet = Fleet()
    worker = fleet.worker("w1", capacity=2)
    fleet.submit(2, max_attempts=1)
    worker.start(1, 2)
    other = fleet.worker("w2", capacity=2)
    decision = worker.leave()
    assert leases_in(decision) == {"w2": [1, 2]}
    assert {(t.spent, t.crashes, t.suspect) for t in fleet.pool.tasks.values()} == {(0, 0, False)}
    assert "w1" not in fleet.pool.workers
    assert other.held == {1: 2, 2: 2}


def test_drain_tells_the_worker_and_a_reconnect_of_the_same_process_does_not_undo_it() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    fleet.submit()
    decision = fleet.do(s.Drain("w1", 12.0, reply=3))
    steer = one(e.Steer, decision)
    assert (steer.session, steer.verb, steer.deadline) == (worker.session, "drain", 12.0)
    assert one(e.Done, decision).reply == 3
    worker.drop()
    again = one(e.Steer, worker.back())
    assert (again.session, again.verb, again.deadline) == (worker.session, "drain", 12.0)
    assert not the(e.Assign, fleet.submitting())
    worker.restart()
    assert 2 in worker.held


def test_an_idle_worker_that_drains_is_remembered_for_one_lease() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.do(s.Drain("w1", 12.0))
    worker.drop()
    assert one(e.Steer, worker.back()).verb == "drain"
    worker.drop()
    fleet.wait(TTL)
    assert not fleet.pool.workers


def test_draining_who_is_not_connected_is_refused() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.drop()
    for name in ("w1", "nobody"):
        decision = fleet.do(s.Drain(name, 5.0, reply=8))
        refusal = one(e.Rejected, decision)
        assert (refusal.reply, refusal.code) == (8, "not_found")
        assert name in refusal.message
        assert kinds_of(decision) == ["Rejected"]


def test_a_worker_that_comes_is_told_which_pauses_concern_it() -> None:
    fleet = Fleet()
    for scope in ("kind:echo", "kind:other", "worker:w1", "worker:w2"):
        fleet.do(s.Pause(scope))
    worker = Peer(fleet, "w1")
    steers = the(e.Steer, worker.join())
    assert {(steer.verb, steer.scope) for steer in steers} == {("pause", "kind:echo"), ("pause", "worker:w1")}


@pytest.mark.parametrize("paused", [True, False])
def test_a_worker_that_pauses_itself_is_an_event(paused: bool) -> None:
    fleet = Fleet()
    worker = fleet.worker(paused=not paused)
    decision = fleet.do(worker.offered(paused=paused))
    word = "paused" if paused else "resumed"
    assert decision.events == [(word, "worker:w1", (), "by the worker")]


def test_a_suspect_that_is_cancelled_keeps_nobody_waiting() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 2)
    fleet.do(s.Cancel(ids[:1]))
    worker = fleet.worker("w1", capacity=4)
    assert list(worker.held) == ids[1:]
    worker.succeed(ids[1])
    assert leases_in(fleet.submitting(2)) == {"w1": [3, 4]}
