"""`taskmessenger bench`: every figure that was measured is told, and a wrong result is never counted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from taskmessenger.cli import bench, bench_measures, connect
from taskmessenger.cli.bench_measures import Results, WrongResult
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, Outcome

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


@pytest.mark.slow
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


def test_the_table_has_a_row_for_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"load_before": 0.5, "trivial_2_workers_tasks_per_s": 3.0, "trivial_7_workers_tasks_per_s": 4.0}
    monkeypatch.setattr(connect, "run", lambda *_: dict(figures))
    shown = CliRunner().invoke(bench.bench, ["--workers", "7"]).output.splitlines()
    rows = [line.split() for line in shown if "trivial" in line]
    assert rows == [
        ["trivial_2_workers_tasks_per_s", "3.00", ">=", "15000"],
        ["trivial_7_workers_tasks_per_s", "4.00", "-"],
    ]


@pytest.mark.parametrize(
    ("words", "tasks"), [([], 20_000), (["--quick"], 5_000), (["--quick", "--tasks", "9000"], 9_000)]
)
def test_quick_measures_fewer_tasks_unless_their_number_is_said(
    monkeypatch: pytest.MonkeyPatch, words: list[str], tasks: int
) -> None:
    plans: list[bench.Plan] = []

    def note(_measure: object, plan: bench.Plan) -> dict[str, float]:
        plans.append(plan)
        return {"load_before": 0.0}

    monkeypatch.setattr(connect, "run", note)
    assert CliRunner().invoke(bench.bench, words).exit_code == 0
    assert [plan.tasks for plan in plans] == [tasks]


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


def outcome(number: int, result: bytes | None, error: ErrorInfo | None = None) -> Outcome:
    state = TaskState.FAILED if result is None else TaskState.SUCCEEDED
    return Outcome(number, int(state), 1, "w", result, error)


async def test_results_are_taken_in_any_order() -> None:
    results = Results()
    results.expect([b"one", b"two", b"two"])
    results.take([outcome(1, b"two"), outcome(2, b"one"), outcome(3, b"two")])
    await results.until(3)


@pytest.mark.parametrize(
    "wrong",
    [
        outcome(2, None, ErrorInfo("failed", "it broke")),
        outcome(2, b"something else"),
        outcome(2, b"x" * bench_measures.HEAD + b"but it ends otherwise"),
        outcome(2, b"one"),
    ],
    ids=["failed", "unknown", "other end", "twice"],
)
async def test_a_wrong_result_ends_the_measure(wrong: Outcome) -> None:
    results = Results()
    results.expect([b"one", b"x" * 200])
    results.take([outcome(1, b"one"), wrong])
    with pytest.raises(WrongResult, match="task 2"):
        await results.until(2)
