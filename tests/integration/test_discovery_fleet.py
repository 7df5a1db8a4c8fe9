"""Real managers and workers that find each other over loopback, and the command that lists them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.net.security.identity import load
from taskmessenger.paths import under

from tests.support.processes import ANY_PORT, Fleet, fleet, refused


@pytest.fixture
def port() -> int:
    """One that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def here(tmp_path: Path, port: int) -> Iterator[Fleet]:
    """A fleet that may speak on the loopback interface; a manager is not started."""
    with fleet(tmp_path / "fleet") as one:
        near(one.home, "manager", port, lan=True)
        near(one.worker_home("fern"), "worker", port)
        yield one


def near(home: Path, role: str, port: int, **settings: object) -> None:
    file = under(home).config_file(role)  # type: ignore[arg-type]
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    chosen = {"port": port, "interfaces": ["127.0.0.1"], **settings}
    file.write_text(json.dumps({"discovery": chosen}), encoding="utf-8")


def test_a_worker_finds_its_manager_at_a_new_address(here: Fleet) -> None:
    manager = here.manager()
    before = here._listen
    worker = here.worker("fern")
    assert worker.stop() == 0
    assert manager.stop() == 0
    with socket.create_server(("127.0.0.1", int(before.rpartition(":")[2]))):  # so that nobody gets it back
        here._listen = ANY_PORT
        here.manager()
        assert here._listen != before
        found = here.worker("fern", "--discover")
        assert f" at {here._listen} as " in found.said()
        assert load(under(here.worker_home("fern")).identity("worker"), "worker").endpoints == (before,)
        assert here.run("submit", "reverse", "hello", "--wait").stdout == "olleh\n"


def test_what_is_heard_is_listed_for_people_and_programs(here: Fleet) -> None:
    here.manager("--name", "north")
    here.worker("fern")
    at_worker = here.worker_home("fern")
    shown = here.run("discover", "--seconds", "2s", home=at_worker)
    assert shown.returncode == 0, shown.stderr
    head, row = shown.stdout.splitlines()
    assert head.split() == ["MANAGER", "ENDPOINTS", "WANTS", "HEARD", "FROM"]
    assert row.split() == ["north", here._listen, "-", "127.0.0.1"]
    done = here.run("discover", "--seconds", "2s", "--kind", "hash", "--json", home=at_worker)
    facts = json.loads(done.stdout)
    (manager,) = facts["managers"]
    assert (manager["name"], manager["endpoints"]) == ("north", [here._listen])
    assert facts["offered_by"] == [{"manager": "north", "workers": [here.worker_id("fern")], "total": 1}]
    # On the manager's machine the manager's settings count: there is no file of a worker.
    own = json.loads(here.run("discover", "--seconds", "2s", "--json").stdout)
    assert [one["source"] for one in own["managers"]] == ["127.0.0.1"]
    nobody = here.run("discover", "--seconds", "2s", "--kind", "unheard-of", home=at_worker)
    assert nobody.stderr == "no connected worker offers unheard-of\n"


def test_a_manager_that_was_not_told_to_is_silent(here: Fleet, port: int) -> None:
    near(here.home, "manager", port)
    here.manager()
    here.worker("fern")
    done = here.run("discover", "--seconds", "500ms", home=here.worker_home("fern"))
    refused(done, 3, "no manager of fleet", "is discovery.lan on there", f"at port {port}")
    own = json.loads(here.run("discover", "--seconds", "500ms", "--json").stdout)
    assert [(one["source"], one["endpoints"]) for one in own["managers"]] == [
        ("this machine", [here._listen])
    ]


def test_who_belongs_to_no_fleet_cannot_tell_whom_to_believe(here: Fleet, tmp_path: Path) -> None:
    refused(here.run("discover", home=tmp_path / "nobody"), 4, "belongs to no fleet", "taskmessenger join")


def test_a_kind_that_cannot_be_is_refused(here: Fleet) -> None:
    here.manager()
    refused(here.run("discover", "--kind", "k" * 65, home=here.home), 2, "is no name of a kind")
    refused(here.run("discover", "--interface", "eth0", home=here.home), 2, "discovery", "`eth0`")


def test_only_a_worker_looks_for_its_manager(here: Fleet) -> None:
    done = here.run("--role", "manager", "--no-ui", "--discover")
    refused(done, 2, "--discover is for a worker")
