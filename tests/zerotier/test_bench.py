"""The measures of `bench --transport zerotier`: each has its figure, and says whether its goal is met."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from taskmessenger.cli import bench_overlay, bench_streams
from taskmessenger.cli.bench_overlay import BOTH, GOALS

STREAMS = {f"stream_{name}_{what}" for name in bench_streams.WRITES for what in ("mb_per_s", "gap_ms")} | {
    "idle_node_cpu_percent"
}


@pytest.mark.zerotier
@pytest.mark.parametrize("transport", BOTH)
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
