"""The measures of `bench --transport zerotier`: each has its figure, and says whether its goal is met."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from taskmessenger.cli import bench_overlay, bench_streams
from taskmessenger.cli.bench import Plan
from taskmessenger.cli.bench_overlay import GOALS
from taskmessenger.core.errors import TimedOut

STREAMS = {f"stream_{name}_{what}" for name in bench_streams.WRITES for what in ("mb_per_s", "gap_ms")} | {
    "idle_node_cpu_percent"
}


@pytest.mark.zerotier
@pytest.mark.parametrize("transport", ["tcp", pytest.param("zerotier", marks=pytest.mark.bench)])
async def test_streams_and_an_idle_node_are_measured_between_two_processes(
    tmp_path: Path, transport: str
) -> None:
    found = await bench_streams.measure(tmp_path, transport, 0.5, 1.0)
    assert found.keys() == STREAMS
    assert found.keys() <= GOALS.keys()
    assert all(found[name] > 0 for name in STREAMS - {"idle_node_cpu_percent"})


@pytest.mark.parametrize(
    ("name", "tcp", "overlay", "met"),
    [
        ("stream_1k_gap_ms", 1.0, 200.0, True),
        ("stream_64k_gap_ms", 1.0, 201.0, False),
        ("stream_64k_gap_ms", 1.0, math.nan, False),
        ("idle_node_cpu_percent", 0.0, 0.5, True),
        ("idle_node_cpu_percent", 9.0, 0.51, False),
        ("trivial_tasks_per_s", 100.0, 50.0, True),
        ("trivial_tasks_per_s", 100.0, 49.0, False),
        ("large_echo_mb_per_s", 500.0, 24.0, False),
        ("worker_rss_mb", 40.0, 70.0, True),
        ("lost_tasks", 1.0, 0.0, True),
        ("stream_1k_mb_per_s", 1.0, 1.0, None),
    ],
)
def test_each_row_says_whether_its_goal_is_met(
    name: str, tcp: float, overlay: float, met: bool | None
) -> None:
    found = {"tcp": {name: tcp}, "zerotier": {name: overlay}}
    assert bench_overlay._goal_of(name, found) is met
    assert bench_overlay._row(name, found)[-1] == {True: "yes", False: "NO", None: ""}[met]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_measure_that_fails_costs_its_own_figures_only(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    async def in_fleet(what: str, _: Callable[[Any], Awaitable[dict[str, float]]], transport: str) -> Any:
        if what.startswith("streams") and transport == "zerotier":
            raise TimedOut("the ends do not answer")
        return (
            {"stream_1k_gap_ms": 5.0, "sessions": 300.0}
            if what.startswith("streams")
            else {"sessions": 300.0}
        )

    plan = Plan(tasks=1, many=1, workers=1, quick=True, deep=0, sessions=0, stream_seconds=1.0)
    bench_overlay.compare(plan, in_fleet, as_json=as_json)
    said = capsys.readouterr()
    assert "the ends do not answer" in said.err
    if as_json:
        found = json.loads(said.out)
        assert (found["tcp"]["stream_1k_gap_ms"], found["zerotier"]["stream_1k_gap_ms"]) == (5.0, None)
        assert (found["met"]["sessions"], found["met"]["stream_1k_gap_ms"]) == (True, False)
    else:
        verdicts = {line.split()[0]: line.split()[-1] for line in said.out.splitlines()}
        assert (verdicts["sessions"], verdicts["stream_1k_gap_ms"]) == ("yes", "NO")
