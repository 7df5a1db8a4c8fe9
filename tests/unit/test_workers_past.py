"""What a manager remembers of each worker, for whoever opens a console later."""

from __future__ import annotations

from taskmessenger.core.journal import Journal
from taskmessenger.roles.workers_past import EVENTS, MOST, STEP, STEPS, UNKNOWN, WorkersPast

from tests.support.pool import Fleet


def test_load_slots_and_what_ended_are_kept_step_by_step() -> None:
    fleet, past = Fleet(), WorkersPast()
    worker = fleet.worker(capacity=2)
    fleet.submit(4)
    worker.start(1)
    past.take(fleet.pool, lambda _: {"cpu": 0.5, "memory": 7.0})
    worker.succeed(1)
    past.take(fleet.pool, lambda _: {"cpu": float("nan")})
    seen = past.of("w1")
    assert (seen.step, seen.cpu, seen.memory) == (STEP, (0.5, UNKNOWN), (1.0, UNKNOWN))
    assert seen.busy[0] == 0.5
    assert seen.ended == (UNKNOWN, 1 / STEP)


def test_only_the_last_minutes_are_kept_and_what_was_not_there_is_not_known() -> None:
    fleet, past = Fleet(), WorkersPast()
    worker = fleet.worker()
    for _ in range(STEPS + 5):
        past.take(fleet.pool, lambda _: {"cpu": 0.25})
    assert past.of("w1").cpu == (0.25,) * STEPS
    worker.drop()
    past.take(fleet.pool, lambda _: {})
    assert past.of("w1").cpu[-2:] == (0.25, UNKNOWN)
    for _ in range(2 * STEPS):
        past.take(fleet.pool, lambda _: {})
    assert not past.of("w1").cpu, "forgotten"


def test_what_happened_to_a_worker_outlives_any_number_of_events_of_tasks() -> None:
    past, journal = WorkersPast(), Journal(capacity=100)  # type: ignore[var-annotated]
    journal.extend([(1.0, ("joined", "w1", (), "tcp://10.0.0.2:4000"))])
    past.catch_up(journal)
    for _ in range(50):
        journal.extend((2.0, ("started", "w1", (task,), "")) for task in range(90))
        past.catch_up(journal)
    journal.extend([(3.0, ("paused", "worker:w1", (), "")), (4.0, ("lost", "w1", (5,), "lease expired"))])
    past.catch_up(journal)
    rows = past.of("w1").events
    assert [row.what for row in rows] == ["worker.connected", "scope.paused", "worker.lost"]
    assert {row.subject for row in rows} == {"w1"}
    assert len({row.number for row in rows}) == 3


def test_its_memory_is_bounded() -> None:
    past, journal = WorkersPast(), Journal(capacity=MOST * 2)  # type: ignore[var-annotated]
    journal.extend((1.0, ("joined", f"w{n}", (), "")) for n in range(MOST + 10))
    journal.extend((2.0, ("draining", "w9", (), "5")) for _ in range(EVENTS * 3))
    past.catch_up(journal)
    past.catch_up(journal)
    assert len(past._events) <= MOST
    assert len(past.of(f"w{MOST + 9}").events) == 1
