"""Workers die, or seem to: who is blamed, who only stood beside it, and what is taken back."""

from __future__ import annotations

import msgspec
import pytest
from taskmessenger.core import stimuli as s
from taskmessenger.core.effects import Decision
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import losses
from taskmessenger.handle import ErrorInfo

from tests.support.pool import Fleet, Peer, leases_in

TTL = 30.0


def silent_death(fleet: Fleet, worker: Peer, others: list[Peer] | None = None) -> Decision:
    """Its link is cut, and it is never heard of again."""
    worker.drop()
    return fleet.wait(TTL + 1, beating=others or [])


def standing(fleet: Fleet, task_id: int) -> tuple[int, int, bool]:
    task = fleet.task(task_id)
    return (task.spent, task.crashes, task.suspect)


def test_a_task_that_ran_alone_when_its_worker_fell_silent_has_a_crash() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    decision = silent_death(fleet, worker)
    assert standing(fleet, 1) == (1, 1, True)
    assert decision.commit.attempts[0][5] == "crashed"
    assert decision.commit.grants_ended == [1]
    assert not fleet.pool.workers


def test_a_silent_death_that_several_may_have_caused_costs_no_attempt_and_all_run_alone() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=3)
    ids = fleet.submit(3, max_attempts=1)
    worker.start(*ids)
    silent_death(fleet, worker)
    fleet.wait(10.0)
    assert [standing(fleet, i) for i in ids] == [(0, 0, True)] * 3
    heirs = [fleet.worker(f"heir{n}", capacity=4) for n in range(3)]
    assert [list(heir.held) for heir in heirs] == [[i] for i in ids]


def deaths_of(fleet: Fleet, poison: int, workers: list[Peer]) -> list[str]:
    """Workers that are never started again, whenever they run the poison; the others do their work."""
    dead: list[str] = []
    while poison in fleet.open():
        here = [worker for worker in workers if worker.name not in dead]
        assert here, "the whole fleet is dead"
        for worker in here:
            if poison in worker.held:
                worker.start(*worker.held)
                worker.drop()
                dead.append(worker.name)
            elif worker.held:
                worker.succeed(*worker.held)
        fleet.wait(1.0, beating=[worker for worker in workers if worker.name not in dead])
    return dead


@pytest.mark.parametrize("max_crashes", [2, 3, 5])
@pytest.mark.parametrize("neighbours", [0, 1, 6])
def test_one_task_takes_down_no_more_workers_than_its_crashes(max_crashes: int, neighbours: int) -> None:
    fleet = Fleet(max_crashes=max_crashes)
    workers = [fleet.worker(f"w{n}", capacity=4) for n in range(max_crashes + 2)]
    poison = fleet.submit(max_attempts=50)[0]
    good = fleet.submit(neighbours)
    assert len(deaths_of(fleet, poison, workers)) == max_crashes
    fleet.wait(TTL, beating=workers[-1:])
    assert not fleet.open() & set(good)


def test_who_ends_for_the_deaths_of_workers_ends_with_their_names_and_when() -> None:
    fleet = Fleet(max_crashes=2)
    fleet.submit(max_attempts=9)
    total: list[tuple[object, ...]] = []
    for name in ("first", "second"):
        worker = fleet.worker(name)
        worker.start(1)
        worker.drop()
        total += fleet.wait(TTL + 5).commit.settled
    assert not fleet.open()
    ((state, *_, error, _),) = total
    assert state == TaskState.FAILED
    found = msgspec.msgpack.decode(error, type=ErrorInfo)  # type: ignore[arg-type]
    assert found.code == "crashed"
    assert "2 workers died" in found.message
    deaths = str(found.evidence["deaths"]).split("; ")
    assert [death.split(" at ")[0] for death in deaths] == ["first", "second"]
    assert all("2023-11-14" in death for death in deaths)


def test_the_same_process_that_comes_back_takes_the_crash_back() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    silent_death(fleet, worker)
    fleet.wait(5.0)
    assert standing(fleet, 1) == (1, 1, True)
    worker.back(holding=[])
    assert standing(fleet, 1) == (1, 0, False)
    assert worker.held == {1: 2}


def test_the_same_process_that_comes_back_clears_all_that_ran_there() -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=4)
    ids = fleet.submit(4)
    worker.start(*ids)
    silent_death(fleet, worker)
    fleet.wait(5.0)
    decision = worker.back(holding=[])
    assert [standing(fleet, i) for i in ids] == [(0, 0, False)] * 4
    assert leases_in(decision) == {"w1": ids}
    assert ("cleared", "w1", ids, "") in decision.events
    assert not fleet.pool.blame.losses


def test_a_suspect_that_runs_alone_already_has_company_again_when_it_is_cleared() -> None:
    fleet = Fleet()
    worker = fleet.worker("w1", capacity=2)
    ids = fleet.submit(2)
    worker.start(*ids)
    silent_death(fleet, worker)
    other = fleet.worker("w2", capacity=4)
    fleet.wait(5.0, beating=[other])
    assert len(other.held) == 1
    [alone] = other.held
    stored = {row[-1]: row for row in worker.back(holding=[]).commit.reopened}
    assert stored[alone][:4] == (TaskState.QUEUED, 1, 0, 0), "the second is in the log of leases alone"
    assert other.here.alone is None
    assert set(other.held) | set(worker.held) == set(ids)
    assert len(fleet.submit(4)) == 4
    assert len(other.held) == 4


def test_another_process_under_the_same_name_takes_nothing_back() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    silent_death(fleet, worker)
    worker.restart()
    assert standing(fleet, 1) == (1, 1, True)
    assert not fleet.pool.blame.losses


def test_only_the_deaths_that_did_not_happen_are_taken_back() -> None:
    fleet = Fleet(max_crashes=9)
    first, second = fleet.worker("w1"), fleet.worker("w2")
    fleet.submit(max_attempts=9)
    first.start(1)
    first.drop()
    fleet.wait(TTL + 5, beating=[second])
    second.start(1)
    second.restart()
    assert fleet.task(1).crashes == 2
    first.back(holding=[])
    assert standing(fleet, 1) == (2, 1, True)


def test_company_counts_again_as_doubt_when_the_only_proof_is_taken_back() -> None:
    fleet = Fleet(max_crashes=9)
    first = fleet.worker("w1", capacity=2)
    ids = fleet.submit(2, max_attempts=9)
    first.start(*ids)
    first.restart()
    first.leave()
    fleet.wait(3.0)
    second = fleet.worker("w2")
    second.start(ids[0])
    silent_death(fleet, second)
    assert fleet.task(ids[0]).crashes == 2
    second.back(holding=[])
    assert fleet.task(ids[0]).crashes == 0
    assert fleet.task(ids[0]).suspect


def test_a_fleet_that_was_cut_off_as_a_whole_goes_on_as_before_when_it_is_back() -> None:
    fleet = Fleet()
    workers = [fleet.worker(f"w{n}", capacity=2) for n in range(5)]
    ids = fleet.submit(10)
    for worker in workers:
        worker.start(*worker.held)
        worker.drop()
    fleet.wait(3 * TTL)
    for worker in workers:
        worker.back(holding=[])
    fleet.wait(5.0, beating=workers)
    assert {standing(fleet, i)[1:] for i in ids} == {(0, False)}
    assert sum(len(worker.held) for worker in workers) == 10


def test_a_partition_again_and_again_condemns_nobody_and_costs_no_more_than_its_attempts() -> None:
    fleet = Fleet(max_crashes=2)
    worker = fleet.worker(capacity=2)
    ids = fleet.submit(2, max_attempts=3)
    runs = 0
    while fleet.open():
        runs += 1
        worker.start(*worker.held)
        silent_death(fleet, worker)
        worker.back(holding=[])
        fleet.wait(20.0, beating=[worker])
        assert all(fleet.task(i).crashes == 0 for i in fleet.open())
    assert runs == 6, "three that cost nothing, and three attempts"
    assert fleet.pool.totals[TaskState.FAILED] == len(ids)


@pytest.mark.parametrize("planned", ["leave", "revoke", "drain"])
def test_an_end_that_was_planned_accuses_nobody(planned: str) -> None:
    fleet = Fleet()
    worker = fleet.worker(capacity=2)
    ids = fleet.submit(2)
    worker.start(*ids)
    if planned == "leave":
        worker.leave()
    elif planned == "revoke":
        fleet.do(s.WorkerRevoked("w1"))
    else:
        fleet.do(s.Drain("w1", 1.0))
        silent_death(fleet, worker)
    assert [standing(fleet, i) for i in ids] == [(0, 0, False)] * 2


def test_a_worker_that_was_told_to_leave_and_is_started_anew_accuses_nobody() -> None:
    fleet = Fleet()
    worker = fleet.worker()
    fleet.submit()
    worker.start(1)
    fleet.do(s.Drain("w1", 1.0))
    worker.restart()
    assert standing(fleet, 1) == (0, 0, False)


def test_a_task_that_is_beside_every_death_still_ends_well() -> None:
    fleet = Fleet(max_crashes=3)
    workers = [fleet.worker(f"w{n}", capacity=8) for n in range(3)]
    good = fleet.submit(max_attempts=1)[0]
    bad = fleet.submit(6, max_attempts=50)
    rounds = 0
    while fleet.open():
        rounds += 1
        assert rounds < 500
        for worker in workers:
            worker.start(*worker.held)
            if set(worker.held) & set(bad):
                worker.restart()
            elif worker.held:
                worker.succeed(*worker.held)
        fleet.wait(1.0, beating=workers)
    assert fleet.pool.totals[TaskState.SUCCEEDED] == 1, f"task {good} was one of the victims"
    assert fleet.pool.totals[TaskState.FAILED] == len(bad)


def test_a_task_in_a_process_of_its_own_loses_nothing_by_a_neighbour_and_runs_alone_in_the_end() -> None:
    fleet = Fleet(max_crashes=9)
    worker = fleet.worker(capacity=2, kinds=("echo", "apart"), isolated=("apart",))
    apart = fleet.submit(kind="apart", max_attempts=9)[0]
    for _ in range(2):
        assert not fleet.task(apart).suspect
        killer = fleet.submit(kind="echo", max_attempts=1)[0]
        worker.start(apart, killer)
        worker.restart()
        assert killer not in fleet.open()
        fleet.wait(5.0, beating=[worker])
    assert standing(fleet, apart) == (0, 0, True)
    fleet.submit(kind="echo")
    assert list(worker.held) == [apart]
    worker.succeed(apart)
    assert not fleet.pool.blame.doubts


def test_what_is_remembered_of_silent_workers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "MAX_LOSSES", 3)
    fleet = Fleet(max_crashes=99)
    fleet.submit(max_attempts=99)
    for number in range(6):
        worker = fleet.worker(f"w{number}")
        fleet.wait(2 * 300.0, beating=[worker])
        worker.start(1)
        silent_death(fleet, worker)
    assert list(fleet.pool.blame.losses) == ["w3", "w4", "w5"]
    assert fleet.task(1).crashes == 6


def test_an_end_without_a_death_clears_only_what_was_not_proven() -> None:
    fleet = Fleet(max_crashes=9)
    worker = fleet.worker()
    fleet.submit(max_attempts=9)
    worker.start(1)
    worker.restart()
    fleet.wait(5.0, beating=[worker])
    worker.fail(1)
    assert standing(fleet, 1) == (2, 1, False)
    fleet.do(s.Cancel([1]))
    assert not fleet.pool.blame.doubts
