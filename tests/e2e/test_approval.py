"""Approval as operators type it: an invite that asks for it, who waits, and letting them in."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.net.security.identity import is_joined
from taskmessenger.net.security.invites import decode
from taskmessenger.paths import under

from tests.support.processes import Fleet, fleet, refused

FINGERPRINT = r"[0-9A-Z]{5}-[0-9A-Z]{5}"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A manager; each test brings who waits, and lets nobody wait when it is done."""
    with fleet(tmp_path_factory.mktemp("approval")) as one:
        one.manager()
        yield one


def an_invite(here: Fleet, *words: str) -> str:
    done = here.run("invite", "--approve", *words)
    assert decode(done.stdout, time.time()).approve
    assert "waits until you approve it" in done.stderr
    return done.stdout


def waiting(here: Fleet) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(here.run("worker", "ls", "--pending", "--json").stdout)
    return found


def test_a_worker_says_its_fingerprint_waits_and_works_once_it_is_approved(here: Fleet) -> None:
    worker = here._start(
        "worker", here.worker_home("fern"), ["--name", "fern", "--join", "-"], an_invite(here)
    )
    worker.expect(lambda: "waits for approval" in worker.said(), "waiting")
    found = re.search(
        rf"(w-fern-\S+) waits for approval at the manager: fingerprint ({FINGERPRINT})", worker.said()
    )
    assert found is not None
    (row,) = waiting(here)
    assert (row["id"], row["fingerprint"], row["role"]) == (found[1], found[2], "worker")
    assert "processors" in str(row["inventory"])
    table = here.run("worker", "ls", "--pending").stdout
    assert found[2] in table
    assert "FINGERPRINT" in table
    assert json.loads(here.run("worker", "ls", "--json").stdout) == []
    done = here.run("worker", "approve", found[1])
    assert (done.returncode, done.stderr) == (0, f"{found[1]} is approved\n")
    worker.expect(lambda: "connected to " in worker.said(), "connected", within=10)
    assert here.run("submit", "reverse", "hello", "--wait").stdout == "olleh\n"
    assert worker.said().count("waits for approval") == 1
    refused(here.run("worker", "approve", found[1]), 7, "approved already")
    assert waiting(here) == []
    assert worker.stop() == 0


def test_an_operator_joins_and_waits_and_its_commands_say_so(here: Fleet, tmp_path: Path) -> None:
    away = tmp_path / "away"
    done = here.run("join", "-", stdin=an_invite(here, "--role", "operator"), home=away)
    assert done.returncode == 0
    found = re.search(
        rf"(o-\S+) \(operator\); \1 waits for approval at the manager: fingerprint ({FINGERPRINT})",
        done.stderr,
    )
    assert found is not None
    assert is_joined(under(away).identity("operator"))
    refused(here.run("pool", "status", home=away), 4, "waits for approval", found[2])
    (row,) = waiting(here)
    assert row["fingerprint"] == found[2]
    assert here.run("worker", "approve", found[1]).returncode == 0
    assert here.run("pool", "status", home=away).returncode == 0


def test_joining_tells_it_as_json_too(here: Fleet, tmp_path: Path) -> None:
    invite = an_invite(here, "--role", "client")
    told = json.loads(here.run("join", "-", "--json", stdin=invite, home=tmp_path / "away").stdout)
    assert told["approved"] is False
    assert re.fullmatch(FINGERPRINT, told["fingerprint"])
    assert here.run("worker", "revoke", told["id"], "--yes").returncode == 0
    assert waiting(here) == []
    refused(here.run("pool", "status", home=tmp_path / "away"), 4, "was revoked")
    refused(here.run("worker", "approve", told["id"]), 7, "was revoked")


def test_nobody_of_that_name_is_approved(here: Fleet) -> None:
    refused(here.run("worker", "approve", "w-nobody-0000"), 3, "worker ls --pending")


def test_invites_say_what_they_ask_for(here: Fleet) -> None:
    done = here.run("invite", "--ephemeral", "--json")
    made = json.loads(done.stdout)
    assert (made["approve"], made["ephemeral"]) == (False, True)
    rows = {row["id"]: row for row in json.loads(here.run("invite", "ls", "--json").stdout)}
    assert rows[made["id"]]["ephemeral"] is True
    assert "ephemeral" in here.run("invite", "ls").stdout


def test_an_ephemeral_worker_is_forgotten_when_it_stops(here: Fleet) -> None:
    invite = here.run("invite", "--ephemeral").stdout
    worker = here._start("worker", here.worker_home("brief"), ["--name", "brief", "--join", "-"], invite)
    worker.expect(lambda: "connected to " in worker.said(), "connected")
    assert "w-brief-" in here.run("worker", "ls").stdout
    assert worker.stop() == 0
    assert "w-brief-" not in here.run("worker", "ls").stdout
