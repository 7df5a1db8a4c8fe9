"""`taskmessenger bench` measures a real fleet: all for `make bench-check`, one thing for each commit."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from taskmessenger.cli import bench, bench_measures, bench_short
from taskmessenger.cli.demo_fleet import Fleet

from tests.support.processes import COMMAND, environment

BOUND = 240.0


def measured(home: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [*COMMAND, "bench", *words, "--json"],
        capture_output=True,
        env=environment(home),
        timeout=BOUND,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.bench
@pytest.mark.timeout(BOUND + 30)
def test_all_that_is_asked_for_is_measured_and_rates_are_named_as_such(tmp_path: Path) -> None:
    found = measured(
        tmp_path, "--quick", "--tasks", "200", "--workers", "3", "--sessions", "3", "--deep", "20000"
    )
    rates = {name for name in found if name.endswith("tasks_per_s")}
    assert rates == {
        "trivial_1_worker_tasks_per_s",
        "trivial_2_workers_tasks_per_s",
        "trivial_3_workers_tasks_per_s",
        "wait_10ms_100_slots_tasks_per_s",
        "many_sessions_tasks_per_s",
    }
    others = {
        "version_ms",
        "manager_ready_s",
        "first_result_s",
        "round_trip_p50_ms",
        "round_trip_p99_ms",
        "large_echo_mb_per_s",
        "short_tasks_wall_of_pool",
        "short_tasks_cpu_beside_ms",
        "queued_bytes_per_task",
        "empty_submit_p99_ms",
        "empty_lease_p99_ms",
        "deep_submit_p99_ms",
        "deep_lease_p99_ms",
        "deep_restart_s",
    }
    assert all(found[name] > 0 for name in rates | others)
    assert found["idle_cpu_percent"] >= 0
    assert found["tasks"] == 200, "--quick leaves what was said as it is"
    assert found["deep_left"] < 20_000, "the deep queue is what leases come from"
    assert found.keys() >= {"version", "python", "cores", "transport", "load_before"}


async def test_a_measure_of_a_real_fleet_is_a_figure_of_what_was_counted() -> None:
    counted: list[int] = []

    async def trivial(fleet: Fleet) -> dict[str, float]:
        async with bench_measures.fleet(fleet, 1) as (remote, results):
            found = await bench_measures.trivial(remote, results, 200)
            counted.append(results.count)
        return {"tasks_per_s": found}

    found = await bench.in_fleet("trivial tasks", trivial)
    assert found["tasks_per_s"] > 0
    assert counted == [bench_measures.WARM_UP + 200]


@pytest.mark.parametrize("words", [["--deep", "5"], ["--sessions", "5"]])
def test_what_is_not_measured_over_zerotier_is_refused(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [*COMMAND, "bench", "--transport", "zerotier", *words],
        capture_output=True,
        env=environment(tmp_path),
        timeout=BOUND,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "over tcp only" in done.stderr


async def test_short_tasks_are_measured_beside_a_pool_that_does_the_same() -> None:
    found = await bench.in_fleet("short tasks", partial(bench_short.short_tasks, tasks=30, rounds=1))
    assert found.keys() == {"short_tasks_wall_of_pool", "short_tasks_cpu_beside_ms"}
    assert found["short_tasks_wall_of_pool"] > 0
    assert 0 < found["short_tasks_cpu_beside_ms"] < 100
