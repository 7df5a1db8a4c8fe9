"""The namespace for demos and measures: made once, and refused with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from taskmessenger.cli import namespace
from taskmessenger.cli.demo import demo
from taskmessenger.core.errors import ConfigError, Refused
from taskmessenger.net.zerotier import library

needs_namespaces = pytest.mark.skipif(bool(namespace.why_not()), reason=namespace.why_not() or "-")


def test_a_variable_left_over_does_not_make_a_namespace() -> None:
    assert not namespace.inside({})
    assert not namespace.inside({namespace.MARK: "net:[1]"})


def test_where_a_program_is_missing_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="`unshare` is missing: install util-linux"):
        namespace.enter(["demo"])


def test_where_the_system_forbids_it_its_own_words_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("unshare", "echo 'unshare: Operation not permitted' >&2; exit 1"), ("ip", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = namespace.why_not()
    assert "forbids" in reason
    assert "Operation not permitted" in reason
    assert "--transport tcp" in reason


def test_where_namespaces_are_forbidden_that_is_said_before_libzt_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("unshare", "echo 'unshare: Operation not permitted' >&2; exit 1"), ("ip", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(library, "search", missing)
    with monkeypatch.context() as forbidden:
        forbidden.setenv("PATH", str(tmp_path))
        done = CliRunner().invoke(demo, ["--transport", "zerotier"])
    assert isinstance(done.exception, Refused)
    assert done.exception.exit_code == 4
    assert "Operation not permitted" in str(done.exception)
    monkeypatch.setattr(namespace, "why_not", lambda: "")
    with pytest.raises(ConfigError, match="not installed"):
        namespace.in_a_namespace()


def missing(configured: Path | None = None, paths: object = None) -> None:
    raise ConfigError("ZeroTier needs libzt, which is not installed: install it")


def test_the_libzt_that_the_settings_name_is_the_one_that_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Path | None] = []
    monkeypatch.setenv("TASKMESSENGER_ZEROTIER_LIBRARY_PATH", "/opt/libzt.so")
    monkeypatch.setattr(namespace, "why_not", lambda: "")
    monkeypatch.setattr(library, "search", asked.append)
    monkeypatch.setattr(namespace, "enter", lambda words: None)
    namespace.in_a_namespace()
    assert asked == [Path("/opt/libzt.so")]


@pytest.mark.skipif(sys.platform == "linux", reason="about other systems")
def test_other_systems_are_told_what_to_use() -> None:
    assert "Linux only" in namespace.why_not()


@needs_namespaces
def test_in_the_namespace_there_is_one_cable_and_no_way_out() -> None:
    probe = "from taskmessenger.cli import namespace; print(namespace.inside())"
    words = ["sh", "-c", 'ip route; ip -brief address; "$0" -c "$1"', sys.executable, probe]
    done = subprocess.run(namespace.within(words), capture_output=True, text=True, check=True, timeout=60)
    assert "default" not in done.stdout
    assert f"{namespace.HERE}/24" in done.stdout
    assert done.stdout.splitlines()[-1] == "True"
    assert namespace.MARK not in os.environ
