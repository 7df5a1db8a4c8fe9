"""Where tests with nodes run: a network of their own, from which nothing gets out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import namespaces

IN_HERE = "test_in_a_namespace_there_is_one_cable_and_no_way_out"


@pytest.mark.zerotier
def test_in_a_namespace_there_is_one_cable_and_no_way_out() -> None:
    assert namespaces.inside()
    assert set(psutil.net_if_addrs()) == {"lo", "v0", "v1"}
    assert (
        "default"
        not in subprocess.run(["ip", "route"], capture_output=True, text=True, check=True, timeout=20).stdout
    )


@pytest.mark.zerotier
def test_the_cable_can_be_cut_and_mended() -> None:
    namespaces.link(up=False)
    assert not psutil.net_if_stats()["v0"].isup
    namespaces.link(up=True)
    assert psutil.net_if_stats()["v0"].isup


def test_a_test_that_is_not_marked_stays_where_it_is() -> None:
    assert not namespaces.inside()


def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ci: bool) -> str:
    """What pytest says of a marked test where namespaces are forbidden."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare, no ip
    monkeypatch.setenv("CI", "true") if ci else monkeypatch.delenv("CI", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:xdist", f"{__file__}::{IN_HERE}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def test_where_namespaces_are_forbidden_it_is_skipped_and_the_reason_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = outcome(tmp_path, monkeypatch, ci=False)
    assert "1 skipped" in said
    assert "no network namespace without unshare and ip" in said


def test_under_ci_it_fails_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = outcome(tmp_path, monkeypatch, ci=True)
    assert "1 failed" in said
    assert "CI must run this test" in said
