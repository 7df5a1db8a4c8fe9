"""Curves take one value a second, whatever the clock does, and rates come out of the same seconds."""

from __future__ import annotations

from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.pool import Pool
from taskmessenger.core.stimuli import Options
from taskmessenger.roles.curves import STEPS, Curves


class Fleet:
    """A pool whose counters are for the test to turn."""

    def __init__(self) -> None:
        self.pool, self.curves, self.settled, self.now = Pool(), Curves(), 0, 1_000.0
        self.curves.step(self.now, self.pool, 0)

    def second(
        self,
        done: int = 0,
        submitted: int = 0,
        seconds: float = 1.0,
        latency: float | None = None,
        failed: int = 0,
        cancelled: int = 0,
    ) -> bool:
        self.settled += done + failed
        self.pool.tallies.of("a").failed += failed
        self.pool.totals[TaskState.CANCELLED] += cancelled
        self.pool.accepted += submitted
        self.pool.tallies.succeeded(Options(kind="a"), done)
        if latency is not None:
            self.pool.tallies.sample("a", 0.1, latency)
        self.now += seconds
        return self.curves.step(self.now, self.pool, self.settled)


def test_a_step_is_taken_once_a_second() -> None:
    fleet = Fleet()
    assert not fleet.second(seconds=0.25)
    assert not fleet.second(seconds=0.25)
    assert fleet.second(seconds=0.5)
    assert len(fleet.curves.history().finished) == 1


def test_a_step_shows_what_came_and_what_ended_since_the_one_before() -> None:
    fleet = Fleet()
    fleet.pool.totals[TaskState.QUEUED], fleet.pool.totals[TaskState.RUNNING] = 7, 2
    fleet.second(done=4, submitted=9, latency=0.5)
    history = fleet.curves.history()
    assert (history.finished, history.submitted) == ((4.0,), (9.0,))
    assert (history.queued, history.running, history.latency) == ((7,), (2,), (0.5,))
    assert history.start == 1_000.0


def test_failures_are_among_those_that_ended_and_what_was_cancelled_is_not() -> None:
    fleet = Fleet()
    fleet.second(done=4, failed=2, cancelled=100)
    fleet.second(done=1, cancelled=-50)
    history = fleet.curves.history()
    assert (history.finished, history.failed, history.cancelled) == ((6.0, 1.0), (2.0, 0.0), (100.0, 0.0))


def test_seconds_that_were_slept_through_are_filled_in() -> None:
    fleet = Fleet()
    fleet.second(done=6, seconds=3.0)
    assert fleet.curves.history().finished == (2.0, 2.0, 2.0)


def test_a_clock_that_jumps_begins_the_curves_anew() -> None:
    fleet = Fleet()
    fleet.second(done=1)
    fleet.second(done=1, seconds=3_600.0)
    assert len(fleet.curves.history().finished) == 1
    fleet.second(seconds=-7_200.0)
    assert fleet.curves.history().finished == ()


def test_no_more_is_kept_than_is_shown() -> None:
    fleet = Fleet()
    for _ in range(STEPS + 20):
        fleet.second(done=1)
    history = fleet.curves.history()
    assert len(history.finished) == STEPS
    assert history.start == 1_020.0


def test_rates_are_those_of_the_last_seconds() -> None:
    fleet = Fleet()
    for _ in range(10):
        fleet.second(done=2)
    for _ in range(5):
        fleet.second(done=8)
    assert fleet.curves.rate("a", 5) == 8.0
    assert fleet.curves.rate("a", 15) == 4.0
    assert fleet.curves.rate("a", 300) == 4.0, "of the seconds that there were"
    assert fleet.curves.rate("unknown", 5) == 0.0


def test_failures_of_the_last_minutes_are_counted() -> None:
    fleet = Fleet()
    fleet.second(done=6)
    fleet.pool.tallies.of("a").failed += 3
    fleet.second()
    assert fleet.curves.recent("a") == (9, 3)
