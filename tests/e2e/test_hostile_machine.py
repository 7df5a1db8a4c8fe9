"""A manager on a machine that others use too, or whose clock is wrong: it names in one line what is amiss."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskmessenger.net.security.authority import Authority
from taskmessenger.paths import private_directory, under

from tests.support.processes import ANY_PORT, Fleet, refused
from tests.support.processes import fleet as running_fleet

START = ("--role", "manager", "--no-ui", "--listen", ANY_PORT)
DAY = 86_400.0


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Of this process, and of all that it starts."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_second_manager_by_another_way_to_the_same_home_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    manager = fleet.manager()
    one = tmp_path / "one"
    one.symlink_to(fleet.root)
    other = tmp_path / "other"
    other.symlink_to(one / fleet.home.name)
    for home in (fleet.home, one / fleet.home.name, other):
        refused(fleet.run(*START, home=home), 7, f"pid {manager.pid}")
    assert manager.running
    assert fleet.answers()


@pytest.mark.parametrize("days", [20, 700])
def test_a_clock_that_is_far_behind_is_named_with_the_cure(fleet: Fleet, days: int) -> None:
    private_directory(fleet.paths.authority.parent)
    Authority.load_or_create(fleet.paths.authority, "early", time.time() + days * DAY)
    refused(fleet.run(*START), 2, "clock")
    assert not fleet.answers()


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o067])
def test_nothing_can_be_read_by_others_whatever_the_umask(fleet: Fleet, mask: int) -> None:
    client = fleet.root / "client"
    with umask(mask):
        manager = fleet.manager()
        worker = fleet.worker()
        assert fleet.run("join", "-", stdin=fleet.invite("client"), home=client).returncode == 0
        assert fleet.run("submit", "echo", "secret", "--wait").stdout == "secret\n"
        assert fleet.run("backup", str(fleet.root / "b.tar"), "--with-authority").returncode == 0
        assert (worker.stop(), manager.stop()) == (0, 0)
    homes = [fleet.home, fleet.worker_home("fern"), client]
    inside = [path for home in homes for path in home.iterdir()]
    assert len(inside) >= len(homes)
    found = [path for top in inside if top.stat().st_mode & 0o077 for path in [top, *top.rglob("*")]]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [*found, fleet.root / "b.tar"]}
    assert not {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077 and path.is_file()}


@pytest.mark.parametrize("above", [False, True], ids=["the home", "what it is in"])
def test_a_home_that_others_may_write_in_is_refused(fleet: Fleet, above: bool) -> None:
    opened = fleet.root if above else fleet.home
    opened.mkdir(exist_ok=True)
    opened.chmod(0o777)
    refused(fleet.run(*START), 2, str(opened), "chmod")
    assert not list(under(fleet.home).authority.parent.rglob("*.pem"))
