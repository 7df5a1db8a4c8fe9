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
from taskmessenger.cli.zerotier import zerotier
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.zerotier import identity, library, report
from taskmessenger.paths import find

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
    assert facts["nodes"]["manager"]["status"] == STATUS
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
