"""The environment that `make` makes: what is installed for whom, and what is said meanwhile.

An installer that writes down what it is asked stands in for uv: what is installed comes from a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT

INSTALLER = f"""#!/bin/bash
case "$1" in
  --version) echo uv 1 ;;
  venv) echo "uv: making" >&2; {sys.executable} -m venv --without-pip "${{@: -1}}" ;;
  pip) echo "$* user=${{PIP_USER:-}} path=${{PYTHONPATH:-}} venv=${{VIRTUAL_ENV:-}}" >>"$ASKED"
       echo "warning: sixty lines about packages" >&2; exit "${{FAILS:-0}}" ;;
esac
"""


class House:
    """A copy of what makes the environment, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.asked = folder / "clone", folder / "asked"
        (self.root / "scripts").mkdir(parents=True)
        (folder / "bin").mkdir()
        for name in ("Makefile", "pyproject.toml", "scripts/venv"):
            shutil.copy2(ROOT / name, self.root / name)
        installer = folder / "bin" / "uv"
        installer.write_text(INSTALLER)
        installer.chmod(0o755)
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
            "ASKED": str(self.asked),
        }
        self.environment["PATH"] = f"{installer.parent}:{self.environment['PATH']}"

    def make(self, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`make TARGET`, in a shell that is set up for something else."""
        return subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def installed(self) -> list[str]:
        """What has been asked of the installer."""
        return self.asked.read_text().splitlines() if self.asked.exists() else []


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_the_demo_installs_what_it_runs_once_and_the_tools_come_with_what_needs_them(house: House) -> None:
    astray = {"PIP_USER": "1", "PYTHONPATH": "/nowhere", "VIRTUAL_ENV": "/elsewhere"}
    first = house.make("runtime", **astray)
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines() == ["Making .venv", "Installing task-messenger into .venv"]
    assert [line.count("dev") for line in house.installed()] == [0]
    assert house.installed()[0].endswith("--editable . user= path= venv=")
    assert house.make("runtime").stderr == ""
    assert len(house.installed()) == 1
    assert "development tools" in house.make("venv").stderr
    assert "--group dev" in house.installed()[1]
    # What has the tools has what the demo needs.
    assert house.make("runtime").stderr == house.make("venv").stderr == ""
    assert len(house.installed()) == 2


def test_an_installer_that_fails_is_heard_and_tried_again(house: House) -> None:
    failed = house.make("runtime", FAILS="3")
    assert failed.returncode != 0
    assert "sixty lines" in failed.stderr
    assert "`uv` ended with 3" in failed.stderr
    assert house.make("runtime").returncode == 0
    assert len(house.installed()) == 2


def test_make_demo_asks_for_no_tools(house: House) -> None:
    planned = subprocess.run(
        ["make", "-n", "demo"],
        cwd=house.root,
        env=house.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert planned.stdout.splitlines() == [
        "VENV=.venv scripts/venv run",
        ".venv/bin/taskmessenger demo --chaos",
    ]
