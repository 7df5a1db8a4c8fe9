"""What the console remembers of workers, kinds and links, and what it makes of nonsense."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import Snapshot, WorkerRow
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.table_view import MOST_TERMS, terms
from taskmessenger.screens.trails import KEPT, MOST, Trails, amount, part
from taskmessenger.screens.widgets.columns import Column, Look
from taskmessenger.screens.widgets.plot import plot, sparkline, squeeze


def snapshot(at: float, done: int = 0, **load: float) -> Snapshot:
    row = WorkerRow("w1", "connected", capacity=4, running=2, done=done, load=load)
    return Snapshot(at, "manager", workers=(row,))


def test_the_rate_of_a_worker_is_the_mean_of_the_last_half_minute() -> None:
    trails = Trails()
    for second in range(100):
        trails.take(snapshot(float(second), done=0 if second < 50 else (second - 50) * 2))
    assert trails.worker("w1").rate("ended") == pytest.approx(2.0)


def test_nothing_is_known_of_a_rate_after_one_look() -> None:
    trails = Trails()
    trails.take(snapshot(0.0))
    assert trails.worker("w1").rate("ended") is None
    assert trails.worker("nobody").rate("ended") is None


def test_a_manager_that_began_anew_makes_no_negative_rate() -> None:
    trails = Trails()
    trails.take(snapshot(0.0, done=500))
    trails.take(snapshot(1.0, done=3))
    assert trails.worker("w1").rate("ended") == 0.0
    assert trails.worker("w1").per_second("ended") == [0.0]


def test_the_same_moment_twice_is_noted_once() -> None:
    trails, one = Trails(), snapshot(0.0, cpu=0.5)
    for _ in range(5):
        trails.take(one)
        trails.take(replace(one, at=0.2))
    assert list(trails.worker("w1").values("cpu")) == [0.5]


def test_no_more_is_kept_than_is_shown() -> None:
    trails = Trails()
    for second in range(3 * KEPT):
        trails.take(snapshot(float(second), cpu=second / (3 * KEPT)))
    values = trails.worker("w1").values("cpu")
    assert len(values) == KEPT
    assert values[-1] == max(values)
    assert trails.worker("w1").seconds == KEPT - 1


def test_workers_that_are_gone_are_forgotten_and_more_than_can_be_followed_are_not() -> None:
    trails = Trails()
    rows = tuple(WorkerRow(f"w{n}", "connected") for n in range(MOST + 5))
    trails.take(Snapshot(0.0, "manager", workers=rows))
    assert len(trails._workers) == MOST
    trails.take(snapshot(1.0))
    assert list(trails._workers) == ["w1"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 7.5, -3.0])
def test_what_a_worker_says_of_its_load_can_always_be_drawn(value: float) -> None:
    load = {"cpu": value, "rss": value}
    drawn = part(load, "cpu")
    assert drawn is None or 0.0 <= drawn <= 1.0
    assert (found := amount(load, "rss")) is None or math.isfinite(found)
    trails = Trails()
    trails.take(snapshot(0.0, cpu=value))
    assert len(sparkline(trails.worker("w1").values("cpu"), 5, top=1.0)) == 5


def test_traffic_is_that_of_all_links() -> None:
    trails, node = Trails(), FakeNode()
    found = node.snapshot()
    for second in range(5):
        grown = tuple(replace(row, sent=row.sent + 100 * second) for row in found.sessions)
        trails.take(replace(found, at=found.at + second, sessions=grown))
    standing = sum(row.state != "ended" for row in found.sessions)
    assert trails.traffic() == (pytest.approx(100.0 * standing), 0.0)


def test_a_curve_that_is_too_long_fills_its_cells_exactly() -> None:
    assert len(squeeze(range(300), 69)) == 69
    assert squeeze([1.0, math.nan, 3.0, 3.0], 2) == [1.0, 3.0]
    lines = plot([math.nan] * 10 + [28.0] * 10, 40, 6, seconds=20)
    assert any(line.startswith("     30│") for line in lines)
    assert {len(line) for line in lines} == {40}


COLUMNS = (
    Column(key="name", title="NAME", width=5, cell=lambda r, _: r),
    Column(key="size", title="SIZE", width=5, cell=lambda r, _: str(len(r))),
)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["alpha", "beta", "gamma"]),
        ("A", ["alpha", "beta", "gamma"]),
        ("alp", ["alpha"]),
        ("-alp", ["beta", "gamma"]),
        ("size:5", ["alpha", "gamma"]),
        ("size:5 -gam", ["alpha"]),
        ("name:beta,gamma", ["beta", "gamma"]),
        ("-name:beta,gamma", ["alpha"]),
        ("tcp://10.0.0.1", []),
    ],
)
def test_a_search_is_words_and_columns_and_what_is_not(typed: str, found: list[str]) -> None:
    tests = [*terms(typed, COLUMNS, str)]
    rows = ["alpha", "beta", "gamma"]
    assert [row for row in rows if all(test(row, Look()) for test in tests)] == found


@pytest.mark.parametrize("typed", ["colour:red", "x " * (MOST_TERMS + 1)])
def test_a_search_that_makes_no_sense_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        [*terms(typed, COLUMNS, str)]
