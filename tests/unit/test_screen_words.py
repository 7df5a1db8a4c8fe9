"""How screens say things: moments, sizes, numbers, what is known of a worker; and what they remember."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from taskmessenger.handle import EventRow, WorkerRow
from taskmessenger.screens import worker_facts as f
from taskmessenger.screens.event_log import GAP, EventLog, serious, subject
from taskmessenger.screens.trails import KEPT, LARGEST, NOTHING, Trail, amount, of_worker, part
from taskmessenger.screens.widgets import words as w
from taskmessenger.screens.widgets.columns import Look
from taskmessenger.screens.widgets.sheet import pairs
from taskmessenger.screens.widgets.words import TimeMode

NOW = 1_795_378_863.0
UTC, RELATIVE = TimeMode.UTC, TimeMode.RELATIVE
STYLES: dict[str, str] = defaultdict(str)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, ""), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1024**2, "1.0 MiB"),
        (1024**3, "1.0 GiB"), (1024**4, "1.0 TiB"), (1024**5, "1024.0 TiB"), (3 * 1024**6, "3145728.0 TiB"),
    ],
)  # fmt: skip
def test_sizes_have_the_largest_unit_that_is_not_above_them(number: float | None, said: str) -> None:
    assert w.size(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"), (0.25, "0.2"), (3, "3"), (9.96, "10.0"), (10.4, "10"), (9999, "9,999"), (10_000, "10.0k"),
        (999_900, "999.9k"), (1e6, "1.0M"), (4.5e6, "4.5M"), (2e9, "2.0G"),
    ],
)  # fmt: skip
def test_numbers_in_cells_have_at_most_six_characters(number: float, said: str) -> None:
    assert w.short(number) == said
    assert len(said) <= 6


@pytest.mark.parametrize(
    ("at", "mode", "said"),
    [
        (None, UTC, ""),
        (NOW - 63, UTC, "20:20:00"),
        (NOW - 86_400, UTC, "11-21 20:21:03"),
        (NOW + 86_400, UTC, "11-23 20:21:03"),
        (1e30, UTC, "1e+30"),
        (math.inf, TimeMode.LOCAL, "inf"),
        (NOW, RELATIVE, "0 s ago"),
        (NOW + 0.5, RELATIVE, "just now"),
        (NOW + 1, RELATIVE, "in 1.0 s"),
        (NOW - 90, RELATIVE, "1m 30s ago"),
    ],
)
def test_a_moment_has_a_date_unless_it_is_of_today(at: float | None, mode: TimeMode, said: str) -> None:
    assert w.moment(at, mode, NOW) == said
    assert len(said) <= w.DATED


@pytest.mark.parametrize(
    ("at", "mode", "said"),
    [
        (None, UTC, ""),
        (NOW - 60, UTC, "2026-11-22 20:20:03 UTC  (1m ago)"),
        (1e30, UTC, "1e+30"),
    ],
)
def test_a_moment_in_full_says_how_long_ago_that_is(at: float | None, mode: TimeMode, said: str) -> None:
    assert w.exact(at, mode, NOW) == said


def test_ways_to_tell_moments_follow_each_other_round() -> None:
    assert [mode.next for mode in TimeMode] == [UTC, RELATIVE, TimeMode.LOCAL]


def test_small_words() -> None:
    assert [w.with_article(noun) for noun in ("worker", "operator", "Invite")] == [
        "a worker", "an operator", "an Invite",
    ]  # fmt: skip
    assert [w.share(part) for part in (None, 0.0, 0.424, 1.0)] == ["", "0 %", "42 %", "100 %"]
    assert w.safe(None) == ""
    assert w.safe_block("a\r\n\tb", 100) == "a\n    b"


def test_names_and_values_stand_under_each_other_and_what_is_empty_is_left_out() -> None:
    shown = pairs(
        [("id", "7"), ("nothing", ""), ("exactly fits", ("x", "bad")), ("longer than that", "y")], {}
    )
    assert shown.plain == "id           7\nexactly fits x\nlonger than that y"


# ---- what workers say of themselves


@pytest.mark.parametrize(
    ("value", "share", "number"),
    [
        (None, None, None), (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (7.0, 1.0, 7.0),
        (-0.1, 0.0, None), (math.nan, None, None), (math.inf, None, None), (LARGEST, 1.0, LARGEST),
        (LARGEST * 2, 1.0, None),
    ],
)  # fmt: skip
def test_nonsense_that_a_worker_tells_of_itself_is_not_drawn(
    value: float | None, share: float | None, number: float | None
) -> None:
    load = {} if value is None else {"x": value}
    assert part(load, "x") == share
    assert amount(load, "x") == number


@pytest.mark.parametrize(
    ("running", "capacity", "busy"), [(0, 4, 0.0), (3, 4, 0.75), (4, 4, 1.0), (9, 4, 1.0), (0, 0, NOTHING)]
)
def test_a_worker_is_busy_with_its_share_of_slots(running: int, capacity: int, busy: float) -> None:
    row = WorkerRow("w", "connected", running=running, capacity=capacity, done=2, failed=3, load={"cpu": 0.5})
    cpu, memory, found, ended = of_worker(row)
    assert (cpu, ended) == (0.5, 5.0)
    assert math.isnan(memory)
    assert found == busy or (math.isnan(found) and math.isnan(busy))


def test_a_worker_says_in_words_what_it_can_take() -> None:
    here = WorkerRow("w", "connected", limit=5, held=3, capacity=4, running=1, kinds=("a", "b"))
    assert (f.credit(here), f.free(here), f.slots(here)[:4]) == (2, 3, "1/4 ")
    full = WorkerRow("w", "connected", limit=2, held=3, capacity=1, running=2)
    assert (f.credit(full), f.free(full)) == (0, 0)
    away = WorkerRow("w", "away", limit=5, capacity=4)
    assert (f.credit(away), f.free(away)) == (None, None)
    assert f.slots(WorkerRow("w", "offline")) == ""
    assert f.kinds(here) == "a, b"


@pytest.mark.parametrize("beyond", [0, 1, 2])
def test_of_many_kinds_labels_and_faults_the_first_are_told(beyond: int) -> None:
    names = [f"k{number}" for number in range(f.MAX_KINDS + beyond)]
    said = f.kinds(WorkerRow("w", "connected", kinds=tuple(names)))
    more = f" and {beyond} more" if beyond else ""
    assert said == ", ".join(names[: f.MAX_KINDS]) + more
    faults = dict.fromkeys(names[: f.MAX_BROKEN + beyond], "why")
    told = f.broken(WorkerRow("w", "connected", broken=faults)).split("; ")
    assert told == [f"{name}: why" for name in names[: f.MAX_BROKEN]] + (
        [f"and {beyond} more"] if beyond else []
    )
    labels = dict.fromkeys(names[: f.MAX_LABELS + beyond], "x")
    assert f.labels(WorkerRow("w", "connected", labels=labels)).count("=x") == f.MAX_LABELS
    stuck = tuple((number, "hash", 0.0) for number in range(f.MAX_STUCK + beyond))
    [(name, (words, _))] = [*f.held_up(WorkerRow("w", "connected", stuck=stuck))]
    assert name == "does not stop:"
    assert words.endswith(more) if more else words.endswith(f"{f.MAX_STUCK - 1} (hash)")


@pytest.mark.parametrize(
    ("state", "pauses", "short", "full"),
    [
        ("paused", ("own",), "‖ by itself", "‖ paused by its own operator"),
        (
            "paused",
            ("fleet", "own"),
            "‖ by itself",
            "‖ paused by the manager (whole fleet), its own operator",
        ),
        ("paused", ("worker",), None, "‖ paused by the manager"),
        ("connected", ("own",), None, None),
    ],
)
def test_of_a_pause_it_is_said_who_has_it(
    state: str, pauses: tuple[str, ...], short: str | None, full: str | None
) -> None:
    row = WorkerRow("w", state, pauses=pauses)
    plain = f.badge(state)
    assert f.state(row) == ((short, "warn") if short else plain)
    assert f.state_in_full(row) == ((full, "warn") if full else plain)


def test_a_silent_worker_and_a_hot_one_are_pointed_out() -> None:
    assert f.heard(WorkerRow("w", "connected")) == ""
    assert f.heard(WorkerRow("w", "connected", last_heard=f.LATE - 0.1))[1] == ""
    assert f.heard(WorkerRow("w", "connected", last_heard=f.LATE))[1] == "warn"
    trail = Trail(("cpu",))
    cool, hot = (WorkerRow("w", "connected", load={"cpu": value}) for value in (f.HOT - 0.01, f.HOT))
    assert [f.gauge(row, trail, "cpu")[1] for row in (cool, hot)] == ["", "warn"]
    assert f.gauge(WorkerRow("w", "connected"), trail, "cpu") == ""


@pytest.mark.parametrize(
    ("left", "words"), [(60.0, "for 1 min"), (0.0, "ended 0 s ago"), (-60.0, "ended 1 min ago")]
)
def test_a_certificate_says_how_long_it_is_good_for(left: float, words: str) -> None:
    row = WorkerRow("w", "offline", expires_at=NOW + left)
    shown = f.lines(row, Trail(("ended",)), Look(now=NOW, times=UTC), STYLES).plain
    assert f"certificate {words}" in shown


@pytest.mark.parametrize(
    ("value", "said"), [(None, ""), (0.0, "0"), (0.25, "0.25"), (0.999, "1.00"), (1.0, "1"), (4.25, "4.2")]
)
def test_slow_rates_have_two_places(value: float | None, said: str) -> None:
    assert f.rate_words(value) == said


# ---- curves


def test_a_curve_keeps_the_newest_values() -> None:
    trail = Trail(("a", "b"))
    assert (trail.seconds, trail.rate("a")) == (0.0, None)
    assert math.isnan(trail.last("a"))
    for number in range(3 * KEPT):
        trail.add(float(number), float(number), -1.0)
        assert len(trail.values("a")) == min(number + 1, KEPT)
        assert trail.last("a") == number
        assert trail.seconds == min(number, KEPT - 1)
    assert [*trail.values("a")] == [float(number) for number in range(2 * KEPT, 3 * KEPT)]


def test_growth_is_per_second_over_the_last_seconds_and_never_below_zero() -> None:
    trail = Trail(("n",))
    for at, value in ((0.0, 0.0), (10.0, 20.0), (10.0, 30.0), (20.0, 10.0), (60.0, 90.0)):
        trail.add(at, value)
    assert [*trail.per_second("n")] == [2.0, 0.0, 0.0, 2.0]
    assert trail.rate("n", 40.0) == 2.0
    assert trail.rate("n", 39.0) is None, "one moment makes no rate"


# ---- events


def event(
    number: int, what: str = "task.done", about: str = "", text: str = "", level: str = "info"
) -> EventRow:
    return EventRow(number, NOW, level, what, about, text)


def test_events_are_kept_newest_first_and_those_that_are_missing_leave_a_gap() -> None:
    log = EventLog(lambda row: row.level != "debug")
    assert (log.last, log.looked, log.rows) == (-1, 0, ())
    assert log.follows(500)
    log.add([event(5), event(6, level="debug"), event(6), event(5)])
    assert [row.number for row in log.rows] == [5]
    assert (log.last, log.looked) == (6, 2)
    assert (log.follows(6), log.follows(7), log.follows(8)) == (True, True, False)
    log.add([event(9)])
    assert [(row.number, row.what == GAP) for row in log.rows] == [(9, False), (7, True), (5, False)]
    assert log.rows[1].text.startswith("2 events missed")


def test_an_event_of_an_unknown_level_is_never_left_out() -> None:
    levels = ("debug", "info", "warning", "error", "odd")
    found = [level for level in levels if serious(event(1, level=level), "warning")]
    assert found == ["warning", "error", "odd"]


@pytest.mark.parametrize(
    ("row", "place"),
    [
        (event(1, "invite.made", "x"), ("invites", "")),
        (event(1, "worker.joined", "w1"), ("worker", "w1")),
        (event(1, "worker.joined"), None),
        (event(1, "scope.paused", "worker:w1"), ("worker", "w1")),
        (event(1, "scope.paused", "kind:hash"), ("kinds", "")),
        (event(1, "scope.paused", "all"), ("overview", "")),
        (event(1, "task.failed", "17"), ("task", "17")),
        (event(1, "task.done", "w1", "3 tasks: 5, 9-12"), ("tasks", "id:5..12")),
        (event(1, "task.submitted", "hash"), ("tasks", 'kind:"hash"')),
        (event(1, "task.leased", "w1"), ("tasks", 'worker:"w1"')),
        (event(1, "task.leased"), None),
        (event(1, "data.restored", "x"), None),
    ],
)
def test_an_event_leads_to_what_it_is_about(row: EventRow, place: tuple[str, str] | None) -> None:
    assert subject(row, ["hash"]) == place
