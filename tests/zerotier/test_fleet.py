"""A fleet over ZeroTier: real processes, each with a node of its own, in a namespace without a way out."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.net.security.identity import is_joined, load
from taskmessenger.net.security.invites import decode
from taskmessenger.paths import under

from tests.support.namespaces import HOST
from tests.support.processes import COMMAND, Fleet, Process, environment, until
from tests.support.processes import fleet as running_fleet
from tests.support.zerotier_fleet import (
    OVERLAY,
    all_succeeded,
    over_zerotier,
    row_of,
    state_is,
    submit,
    totals,
    works,
)

pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(180)]
NOBODY = f"tcp://{HOST.rpartition('.')[0]}.77:7711"
"""Nobody answers there, not even with a refusal."""
BACK_SECONDS = 30.0
"""For workers to be back; without care it would take them a minute."""
TASKS = 120
FILES = 80


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        over_zerotier(one, "fern")
        yield one


def again(fleet: Fleet, name: str = "fern") -> Process:
    return fleet.worker(name)


def test_a_worker_joins_with_one_pasted_invite_and_runs_tasks(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "f") as fleet:  # whose nodes make their identities themselves
        fleet._listen = OVERLAY
        fleet.manager()
        invite = fleet.invite()
        assert len(invite) < 500
        assert [str(one).partition("://")[0] for one in decode(invite, 0.0).endpoints] == ["zt"]
        fleet.worker()
        works(fleet)
        row = row_of(fleet)
        assert row["transport"] == "zt"
        assert row["address"].startswith("zt://2")


def test_what_leads_back_to_the_manager_is_kept_with_the_identity(fleet: Fleet) -> None:
    fleet.manager()
    first = fleet.worker()
    home = under(fleet.worker_home("fern"))
    (kept,) = load(home.identity("worker"), "worker").addresses
    assert kept.way
    node = (home.node("worker") / "identity.public").read_text()
    secret = home.node("worker") / "identity.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert first.stop() == 0
    again(fleet)
    works(fleet)
    assert (home.node("worker") / "identity.public").read_text() == node


def test_a_killed_manager_gets_its_workers_back_and_loses_no_task(fleet: Fleet) -> None:
    manager = fleet.manager()
    fleet.worker("fern", "--capacity", "4")
    submit(fleet, TASKS, 0.05)
    until(lambda: totals(fleet).get("succeeded", 0) > 0)
    manager.kill()
    fleet.manager()
    until(state_is(fleet, "connected"), within=BACK_SECONDS)
    until(all_succeeded(fleet, TASKS), within=BACK_SECONDS)
    assert row_of(fleet)["transport"] == "zt"
    known = fleet.paths.node_state("manager") / "peers.d"
    node = (under(fleet.worker_home("fern")).node("worker") / "identity.public").read_text()[:10]
    assert [file.name for file in known.iterdir()] == [f"{node}.peer"]


def test_a_killed_worker_is_noticed_and_its_tasks_are_done_when_it_is_back(fleet: Fleet) -> None:
    fleet.manager()
    worker = fleet.worker("fern", "--capacity", "2")
    submit(fleet, TASKS, 0.05)
    until(lambda: totals(fleet).get("succeeded", 0) > 0)
    worker.kill()
    # Nothing tells but silence: neither an end nor a reset comes over a link whose process was killed.
    until(state_is(fleet, "away"))
    again(fleet)
    until(all_succeeded(fleet, TASKS), within=60.0)


def test_where_both_lead_to_the_manager_the_direct_way_is_kept(fleet: Fleet) -> None:
    fleet._listen = "tcp://127.0.0.1:0"
    fleet.manager("--listen", OVERLAY)
    fleet.worker()
    assert row_of(fleet)["transport"] == "tcp"
    assert len(load(under(fleet.worker_home("fern")).identity("worker"), "worker").endpoints) == 2
    works(fleet)


def test_where_the_direct_way_leads_nowhere_the_overlay_is_taken(fleet: Fleet) -> None:
    fleet._listen = "tcp://127.0.0.1:0"
    fleet.manager("--listen", OVERLAY, "--advertise", NOBODY)
    fleet.worker()
    assert row_of(fleet)["transport"] == "zt"
    works(fleet)


def test_a_client_joins_and_hands_in_tasks_over_the_overlay(fleet: Fleet, tmp_path: Path) -> None:
    fleet.manager()
    fleet.worker()
    home = tmp_path / "client"
    joined = fleet.run("join", "-", stdin=fleet.invite("client"), home=home)
    assert joined.returncode == 0, joined.stderr
    assert is_joined(under(home).identity("client"))
    done = fleet.run("submit", "reverse", "hello", "--wait", home=home)
    assert done.stdout.strip() == "olleh", done.stderr


def test_the_doctor_sees_node_network_and_peers(fleet: Fleet) -> None:
    fleet.manager()
    fleet.worker()

    def looked() -> dict[str, list[str]]:
        done = fleet.run("doctor", "--json")
        found: dict[str, list[str]] = {}
        for one in json.loads(done.stdout)["findings"]:
            found.setdefault(one["name"], []).append(one["text"])
        return found

    node = (under(fleet.home).node("manager") / "identity.public").read_text()[:10]
    peer = (under(fleet.worker_home("fern")).node("worker") / "identity.public").read_text()[:10]
    until(lambda: any(peer in text for text in looked().get("manager node", [])))
    said = looked()["manager node"]
    assert said[0].startswith(node)
    assert "private, ready" in said[0]
    assert any(f"peer {peer}" in text and "direct" in text for text in said)


def test_a_manager_whose_address_is_written_out_listens_again(fleet: Fleet) -> None:
    first = fleet.manager()
    assert fleet._listen.startswith("zt://")
    assert "/" in fleet._listen.removeprefix("zt://")
    assert first.stop() == 0
    fleet.manager()
    fleet.worker()
    works(fleet)


def test_the_demo_kills_and_restarts_over_zerotier_and_verifies_every_file(
    fleet: Fleet, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(FILES):
        (files / f"{number}.bin").write_bytes(bytes([number]) * 4096)
    words = ["demo", "--transport", "zerotier", "--workers", "2", "--chaos", "--json", "--files", str(files)]
    done = subprocess.run(
        [*COMMAND, *words],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["transport"], found["ok"], found["verified"]) == ("zerotier", True, FILES)
    assert {kill["process"] for kill in found["kills"]} >= {"manager"}
    assert len(found["kills"]) == 2


def test_without_namespaces_the_demo_says_so_in_one_line_and_refuses(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--transport", "zerotier"],
        env=environment(tmp_path) | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert "unshare" in said
