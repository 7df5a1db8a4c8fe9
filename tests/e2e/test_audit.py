"""What the audit says of a chain that was changed, and what the log leaves to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Fleet, refused
from tests.support.processes import fleet as running_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


def said(fleet: Fleet, *words: str, stdin: str = "", code: int = 0) -> str:
    done = fleet.run(*words, stdin=stdin)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_row_that_was_changed_or_taken_out_is_noticed(fleet: Fleet) -> None:
    fleet.manager()
    for verb in ("pause", "resume"):
        said(fleet, "pool", verb)
    found = [json.loads(line) for line in said(fleet, "audit", "--json").splitlines()]
    assert [row["verb"] for row in found] == ["start", "set", "pause", "resume"]
    fleet.started[0].kill()
    assert found[-1]["hash"] in fleet.run("audit", "--verify").stderr  # read from the database
    with sqlite3.connect(fleet.paths.database) as database:
        database.execute("UPDATE audit SET who = 'somebody else' WHERE number = 2")
    refused(fleet.run("audit", "--verify"), 1, "row 2 was changed")
    with sqlite3.connect(fleet.paths.database) as database:
        database.execute("DELETE FROM audit WHERE number = 2")
    refused(fleet.run("audit", "--verify"), 1, "between row 1 and row 3")


def test_a_typed_command_leaves_no_line_in_the_log_and_each_task_one_at_debug(
    fleet: Fleet, tmp_path: Path
) -> None:
    config = tmp_path / "m.json"
    config.write_text('{"logging": {"level": "debug"}}', encoding="utf-8")
    manager = fleet.manager()
    at = len(manager.said())
    said(fleet, "submit", "unheard-of", "x", "--count", "2")
    said(fleet, "pool", "status")
    lines = manager.said()[at:].splitlines()
    assert [one for one in lines if "alarm: " not in one] == [], "that nobody offers the kind is worth a line"
    assert manager.stop() == 0
    manager = fleet.manager("--config", str(config))
    said(fleet, "task", "cancel", "2")
    (done,) = json.loads(said(fleet, "submit", "unheard-of", "x", "--json"))["ids"]
    lines = manager.said().splitlines()
    assert len([one for one in lines if "task 2: cancelled" in one]) == 1
    assert len([one for one in lines if f"task {done}: submitted" in one]) == 1
