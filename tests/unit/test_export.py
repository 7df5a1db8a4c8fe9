"""What an export writes: words and moments that people read, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import json
import math
import stat
import typing
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import live, values
from taskmessenger.handle.live import EventRow
from taskmessenger.handle.values import AttemptInfo, TaskDetail, TaskRow, WorkerRow
from taskmessenger.screens.export import FORMULA, MOMENTS, as_json, write

AT = 1_764_517_264.5
TASKS = [
    TaskRow(1, "flaky", TaskState.CANCELLED.value, 0, 2, 5, 1, AT),
    TaskRow(
        2,
        "hash",
        TaskState.SUCCEEDED.value,
        3,
        1,
        5,
        0,
        AT,
        None,
        AT + 60,
        0.25,
        "w-1",
        "k",
        "b",
        9.0,
        "w-1",
        "no",
    ),
]
LENGTHS = {
    *{"rtt", "last_heard", "rate_5s", "rate_30s", "rate_5min", "rate", "p50", "p95", "fraction", "seconds"},
    *{"step", "timeout", "delay", "run_seconds", "stale", "progress"},
}
"""Numbers that are no moments."""
NOT_ROWS = {"History", "Cursor", "Group", "TaskQuery", "Act", "ActDone"}


async def _of(rows: list[Any]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


async def written(rows: list[Any], folder: Path, form: str) -> str:
    path = folder / f"rows.{form}"
    path.unlink(missing_ok=True)
    assert await write(_of(rows), path) == len(rows)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text("utf-8")


async def test_csv_has_a_column_for_every_field_of_every_row_words_and_moments(tmp_path: Path) -> None:
    rows = [*csv.DictReader((await written(TASKS, tmp_path, "csv")).splitlines())]
    assert [row["state"] for row in rows] == ["cancelled", "succeeded"]
    assert rows[0]["worker"] == rows[0]["finished_at"] == "", "what it does not have is an empty cell"
    assert (rows[1]["worker"], rows[1]["error"], rows[1]["run_seconds"]) == ("w-1", "no", "0.25")
    for row in rows:
        assert datetime.fromisoformat(row["submitted_at"]).timestamp() == AT


async def test_lines_of_json_say_the_same(tmp_path: Path) -> None:
    first, second = map(json.loads, (await written(TASKS, tmp_path, "jsonl")).splitlines())
    assert first.keys() == second.keys() == set(TaskRow.__struct_fields__)
    assert (first["state"], first["worker"], second["state"]) == ("cancelled", None, "succeeded")
    assert second["finished_at"].endswith("Z")
    assert json.loads(as_json(TASKS[1])) == second, "what is copied is what is exported"


async def test_lists_are_text_that_a_spreadsheet_can_read(tmp_path: Path) -> None:
    worker = WorkerRow(
        "w-1", "connected", kinds=("hash", "upper"), load={"cpu": 0.5, "rss": math.nan}, labels={"zone": "a"}
    )
    [row] = csv.DictReader((await written([worker], tmp_path, "csv")).splitlines())
    assert (row["kinds"], row["labels"], row["load"]) == ("hash, upper", "zone=a", "cpu=0.5, rss=null")
    assert json.loads(as_json(worker))["kinds"] == ["hash", "upper"]


@given(st.text(" \t\n=+-@0a", max_size=6), st.sampled_from(sorted(FORMULA)), st.booleans())
def test_no_cell_is_a_formula(text: str, sign: str, listed: bool) -> None:
    from taskmessenger.screens.export import _line

    row = WorkerRow(
        "w", sign + text, address=" " + sign, kinds=(sign + text,) if listed else (), labels={sign: text}
    )
    [_, *cells] = [*csv.reader(_line(row, ".csv", first=True).splitlines(keepends=True))]
    assert all(cell.strip()[:1] not in FORMULA for line in cells for cell in line)


async def test_numbers_stay_numbers(tmp_path: Path) -> None:
    row = TaskRow(1, "hash", TaskState.QUEUED.value, -7, 0, 5, 0, AT)
    [told] = csv.DictReader((await written([row], tmp_path, "csv")).splitlines())
    assert told["priority"] == "-7"


def test_all_that_is_known_of_a_task_can_be_copied() -> None:
    detail = TaskDetail(TASKS[0], 2, None, b"\xff\x00", attempts=(AttemptInfo(1, None, AT, AT + 1, "lost"),))
    told = json.loads(as_json(detail))
    assert (told["row"]["state"], told["payload"]) == ("cancelled", "/wA=")
    assert told["attempts"][0]["started_at"].startswith("20")


@pytest.mark.parametrize("at", [math.nan, math.inf, -1e300, 1e300])
def test_a_moment_that_is_none_is_told_as_it_is(at: float) -> None:
    assert json.loads(as_json(EventRow(1, at, "info", "log")))["at"] in {str(at), at}


def test_every_number_of_a_row_is_known_as_a_moment_or_as_a_length() -> None:
    kinds = [kind for module in (values, live) for kind in vars(module).values() if isinstance(kind, type)]
    rows = [kind for kind in kinds if issubclass(kind, msgspec.Struct) and kind.__name__ not in NOT_ROWS]
    for row in rows:
        for name, of in typing.get_type_hints(row).items():
            if of in {float, float | None}:
                assert (name in MOMENTS) != (name in LENGTHS), f"{row.__name__}.{name}"
