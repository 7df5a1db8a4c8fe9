"""Vitals: a process whose loop stands still ends; one that was only stopped does not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from taskmessenger.roles import vitals
from taskmessenger.roles.vitals import EXIT_CODE, Memory, Watchdog

from tests.support.fleet import a_fleet
from tests.support.runtimes import until

PROGRAM = """
import logging, sys, time
from pathlib import Path
import anyio
from taskmessenger.roles.vitals import Watchdog

logging.basicConfig()

async def main():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Watchdog(Path("nowhere"), seconds=0.2, looks=15).run)
        print("ready", flush=True)
        await anyio.sleep(float(sys.argv[1]))
        time.sleep(float(sys.argv[2]))
        print("well", flush=True)
        tasks.cancel_scope.cancel()

anyio.run(main)
"""


def start(idle: float, stuck: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(idle), str(stuck)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_loop_that_stands_still_ends_the_process_which_says_where_it_stands() -> None:
    out, err = (process := start(0.2, 600.0)).communicate(timeout=60)
    assert process.returncode == EXIT_CODE
    assert "to be started again" in err
    assert "in main" in err
    assert out == ""


def test_a_process_that_was_stopped_goes_on() -> None:
    process = start(2.0, 0.0)
    process.send_signal(signal.SIGSTOP)
    time.sleep(5.0)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "well\n")


async def test_a_manager_that_greets_is_let_alone_and_leaves_no_trace_of_it(
    tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(vitals, "GREETING_LOOKS", 1)
    ends: list[str] = []
    async with a_fleet(tmp_path) as fleet, anyio.create_task_group() as tasks:
        dog = Watchdog(fleet.paths.socket, seconds=0.05, looks=10**6, end=ends.append)
        answers: list[bool] = []
        look = dog._is_answered
        monkeypatch.setattr(dog, "_is_answered", lambda: answers.append(look()) or answers[-1])
        caplog.clear()
        tasks.start_soon(dog.run)
        await until(lambda: len(answers) >= 5)
        assert all(answers)
        assert not ends
        assert not fleet.manager.view.standing.rows(0.0)
        assert not caplog.records
        tasks.cancel_scope.cancel()


async def test_a_manager_that_greets_nobody_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "GREETING_LOOKS", 1)
    ends: list[str] = []
    async with anyio.create_task_group() as tasks:
        dog = Watchdog(tmp_path / "nobody", seconds=0.02, looks=10**6, end=ends.append)
        tasks.start_soon(dog.run)
        await until(lambda: ends)
        tasks.cancel_scope.cancel()
    assert ends == ["4 greetings at its own socket had no answer"]


def test_want_of_memory_is_forgiven_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []
    memory = Memory(ends.append)
    moments = iter([1_000.0, 2_000.0, 2_030.0])
    monkeypatch.setattr(vitals, "monotonic", lambda: next(moments))
    memory.ran_out()
    memory.ran_out()
    assert ends == []
    memory.ran_out()
    assert ends == ["there is no memory left"]
