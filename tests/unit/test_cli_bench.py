"""What `taskmessenger bench` shows and plans; a wrong result is never counted."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from taskmessenger.cli import bench, bench_measures, connect
from taskmessenger.cli.bench_measures import Results, WrongResult
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, Outcome


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
