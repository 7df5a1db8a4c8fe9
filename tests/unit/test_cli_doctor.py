"""The doctor: what it finds wrong, and that it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from taskmessenger.cli import doctor
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.zerotier import library, report
from taskmessenger.paths import under

PEER = {"node_id": "1111111111", "role": "leaf", "direct": False, "latency_ms": None, "version": ""}
STATUS = {
    "node_id": "8056c2e21c",
    "network": "8056c2e21c000001",
    "private": True,
    "join": {"state": "ready"},
    "address": "246.194.226.28",
    "port": 7712,
    "roots": "8056c2e21c at 10.88.0.1/7712",
    "problems": ["no root answers: open the port"],
    "peers": [PEER],
}


def run(*words: str) -> Result:
    return CliRunner().invoke(doctor.doctor, list(words))


def findings() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(run("--json").stdout)["findings"]:
        found.setdefault(one["name"], []).append((one["state"], one["text"]))
    return found


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ConfigError("ZeroTier needs libzt, which is not installed: install it")

    monkeypatch.setattr(library, "load", missing)


def test_on_a_new_machine_nothing_is_wrong_and_nothing_is_made(own_home: Path) -> None:
    done = run()
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "nothing is wrong"
    assert not own_home.exists()


def test_settings_that_cannot_be_used_are_found(own_home: Path) -> None:
    file = under(own_home).config_file("worker")
    file.parent.mkdir(parents=True)
    file.write_text('{"capacity": "many"}')
    done = run()
    assert done.exit_code == 1
    assert "capacity" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 thing to do"
    assert findings()["worker settings"][0][0] == "wrong"


def test_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1))
    assert [state for state, _ in findings()["disk"]] == ["wrong", "wrong"]


def test_a_clock_that_was_set_back_is_found(own_home: Path) -> None:
    database = under(own_home).database
    database.parent.mkdir(parents=True)
    database.touch()
    later = time.time() + 86_400
    os.utime(database, (later, later))
    ((state, text),) = findings()["clock"]
    assert state == "wrong"
    assert "set the clock" in text


def test_a_manager_that_does_not_answer_is_found(own_home: Path) -> None:
    socket = under(own_home).socket
    socket.parent.mkdir(parents=True, mode=0o700)
    socket.touch()
    assert findings()["manager"][0][0] == "wrong"


def test_the_library_is_missed_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings()["libzt"][0][0] == "ok"
    monkeypatch.setenv("TASKMESSENGER_TRANSPORT_LISTEN", "zt://:7711")
    ((state, text),) = findings()["libzt"]
    assert state == "wrong"
    assert "install it" in text


def test_what_a_running_node_reports_is_shown_with_its_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    found = report.Report(pid=1, moment=time.time(), status=STATUS)
    monkeypatch.setattr(report, "read", lambda home: found if "tm-manager" in str(home) else None)
    (node, problem, peer) = findings()["manager node"]
    assert node[0] == "ok"
    assert "8056c2e21c" in node[1]
    assert problem == ("wrong", "no root answers: open the port")
    assert "relayed" in peer[1]
    assert "RTT" not in peer[1], "no manager tells"
    assert "not measured yet" in peer[1]
