"""The command `zerotier`: what it prints of the library and of the nodes of this machine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from taskmessenger.cli import connect, doctor
from taskmessenger.cli import zerotier as zerotiers
from taskmessenger.cli.zerotier import zerotier
from taskmessenger.core.errors import ConfigError
from taskmessenger.handle import WorkerRow
from taskmessenger.net.zerotier import identity, library, report
from taskmessenger.net.zerotier.network import address_of
from taskmessenger.paths import find

from tests.support.commands import talk_to
from tests.support.zerotier_fake import AN_IDENTITY, FakeLibzt, loaded

STATUS: dict[str, Any] = {
    "running": True,
    "node_id": AN_IDENTITY.node_id,
    "online": False,
    "port": 9993,
    "network": "8056c2e21c000001",
    "private": True,
    "join": {"state": "ready", "sentence": ""},
    "address": "240.86.194.225",
    "roots": "8056c2e21c at 10.88.0.1/9993",
    "peers": [
        {"node_id": "5ff51883d8", "role": "leaf", "direct": False, "latency_ms": None, "version": ""},
        {"node_id": "f6f5693a40", "role": "root", "direct": True, "latency_ms": 17, "version": "1.8.4"},
    ],
    "problems": ["no root answers: check that it runs"],
}


@pytest.fixture(autouse=True)
def a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", lambda *_: loaded(FakeLibzt()))


def run(*words: str) -> Any:
    return CliRunner().invoke(zerotier, ["status", *words])


def a_running_manager() -> None:
    home = find().node_state("manager")
    home.mkdir(parents=True)
    home.chmod(0o700)
    written = report.Report(pid=os.getpid(), moment=time.time(), status=STATUS)
    file = home / report.NAME
    file.write_bytes(msgspec.json.encode(written))
    file.chmod(0o600)


def test_without_any_node_it_shows_the_library() -> None:
    done = run()
    assert done.exit_code == 0
    assert "/fake/libzt.so" in done.stdout
    assert "manager: not running; no node yet" in done.stdout


def test_a_node_that_does_not_run_is_known_by_its_identity() -> None:
    identity.keep(find().node("worker"), AN_IDENTITY)
    assert f"worker: not running; node {AN_IDENTITY.node_id}" in run().stdout


def test_a_running_node_is_shown_with_its_peers_and_what_is_wrong() -> None:
    a_running_manager()
    done = run()
    assert done.exit_code == 1
    for shown in ("8056c2e21c000001", "240.86.194.225", "silent so far", "relayed", "17 ms"):
        assert shown in done.stdout
    assert "manager: no root answers" in done.stderr


def test_json_holds_the_same() -> None:
    a_running_manager()
    facts = json.loads(run("--json").stdout)
    assert facts["library"]["found"]
    shown = facts["nodes"]["manager"]["status"]
    assert {peer.pop("rtt") for peer in shown["peers"]} == {None}, "no manager answers here"
    assert shown == STATUS
    assert not facts["nodes"]["worker"]["running"]
    assert facts["problems"] == ["manager: no root answers: check that it runs"]


def test_a_library_that_is_missing_is_a_problem_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ConfigError(
            "ZeroTier needs libzt, which is not installed: run `taskmessenger zerotier install`"
        )

    monkeypatch.setattr(library, "load", missing)
    done = run()
    assert done.exit_code == 1
    assert "not installed" in done.stdout
    assert "run `taskmessenger zerotier install`" in done.stderr


def test_the_library_that_the_settings_name_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(library, "load", lambda path, paths: asked.append(path) or loaded(FakeLibzt()))
    monkeypatch.setenv("TASKMESSENGER_ZEROTIER_LIBRARY_PATH", str(tmp_path / "own.so"))
    run()
    assert asked == [tmp_path / "own.so"]


def test_a_wheel_that_is_not_the_right_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"x")
    done = CliRunner().invoke(zerotier, ["install", "--wheel", str(tmp_path / "x.whl")])
    assert "it is not used" in str(done.exception)


def test_a_node_elsewhere_that_the_settings_name_is_known_by_status_and_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity.keep(tmp_path / "elsewhere", AN_IDENTITY)
    monkeypatch.setenv("TASKMESSENGER_ZEROTIER_IDENTITY_PATH", str(tmp_path / "elsewhere"))
    assert f"worker: not running; node {AN_IDENTITY.node_id}" in run().stdout
    assert f"{AN_IDENTITY.node_id}, not running" in CliRunner().invoke(doctor.doctor).stdout


def a_worker(address: str, rtt: float | None) -> WorkerRow:
    return WorkerRow(id=f"w-{address}", state="connected", address=address, rtt=rtt)


def test_peers_are_shown_with_the_round_trip_that_the_manager_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    here = address_of("f6f5693a40")
    workers = [
        a_worker(f"zt://{here}:49152", 0.0123),
        a_worker("zt://240.0.0.9:1", None),
        a_worker("tcp://10.0.0.1:2", 9.0),
    ]
    assert zerotiers.round_trips(workers) == {str(here): 0.0123}

    class Remote:
        async def workers(self) -> list[WorkerRow]:
            return workers

    talk_to(Remote(), monkeypatch, connect)
    a_running_manager()
    done = run()
    assert "RTT" in done.stdout
    (near,) = [line for line in done.stdout.splitlines() if "f6f5693a40" in line]
    assert "17 ms" in near
    assert "12.3 ms" in near
    (far,) = [line for line in done.stdout.splitlines() if "5ff51883d8" in line]
    assert "12.3" not in far
    peers = json.loads(run("--json").stdout)["nodes"]["manager"]["status"]["peers"]
    assert [peer["rtt"] for peer in peers] == [None, 0.0123]
    existing = STATUS | {"private": False}
    assert zerotiers.trip_to(STATUS["peers"][1], existing, {str(here): 1.0}) is None
