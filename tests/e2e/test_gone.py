"""A real manager whose data are gone in part does not start as if nothing had happened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ANY_PORT, Fleet, refused
from tests.support.processes import fleet as running_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


def test_what_is_gone_is_told_in_one_line_and_accepted_with_a_flag(fleet: Fleet) -> None:
    start = ("--role", "manager", "--no-ui", "--listen", ANY_PORT)
    manager = fleet.manager()
    home = fleet.root / "elsewhere"
    assert fleet.run("join", "-", stdin=fleet.invite("client"), home=home).returncode == 0
    assert fleet.run("submit", "unheard-of", "x").returncode == 0
    assert manager.stop() == 0
    database, authority = fleet.paths.database, fleet.paths.authority
    kept = database.with_name("kept")
    authority.rename(kept)
    refused(fleet.run(*start), 1, "1 member has joined with it", "--accept-data-loss")
    assert not authority.exists()
    kept.rename(authority)
    shutil.copy(database, kept)
    os.truncate(database, 0)
    refused(fleet.run(*start), 1, "tasks.db is empty or was replaced", "--accept-data-loss", "restore FILE")
    shutil.copy(kept, database)
    manager = fleet.manager()  # it was put back: nothing is gone
    assert manager.stop() == 0
    database.unlink()
    manager = fleet.manager("--accept-data-loss")
    assert "a loss of data is accepted" in manager.said()
    assert fleet.run("task", "show", "1").returncode == 3
    assert manager.stop() == 0
    for path in database.parent.glob(f"{database.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(fleet.run(*start), 1, "tasks.db is gone, with all tasks", "--accept-data-loss", "restore FILE")
    assert not database.exists()
    assert "a loss of data is accepted" in fleet.manager("--accept-data-loss").said()
