"""Signals to roles without a console: none but those that mean it ends them, and these in good order."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.paths import under

from tests.support.processes import ANY_PORT, COMMAND, STOP_SECONDS, Fleet, Process, environment, until
from tests.support.processes import fleet as running_fleet

NOT_SENT = ("INT", "TERM", "QUIT", "KILL", "ABRT", "STOP", "TSTP", "TTIN", "TTOU")
FAULTS = ("SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


def lines(process: Process) -> str:
    """What is in its log file."""
    return under(process.home).log_file(process.role).read_text()  # type: ignore[arg-type]


def test_roles_go_on_after_every_signal_that_does_not_mean_their_end(fleet: Fleet) -> None:
    manager, worker = fleet.manager(), fleet.worker("fern", "--capacity", "2")
    task = fleet.run("submit", "wait", "--json-payload", "2").stdout.strip()
    others = {int(number) for number in signal.valid_signals()}
    others -= {int(getattr(signal, f"SIG{name}")) for name in NOT_SENT + FAULTS}
    for number in sorted(others):
        for process in (manager, worker):
            os.kill(process.pid, number)
    for process in (manager, worker):
        until(lambda process=process: "SIGUSR1: it means nothing" in lines(process))  # type: ignore[misc]
        log = under(process.home).log_file(process.role)  # type: ignore[arg-type]
        log.rename(log.with_name("moved"))
        os.kill(process.pid, signal.SIGHUP)
        until(log.exists)
        until(lambda process=process: "opened anew" in lines(process))  # type: ignore[misc]
    until(lambda: fleet.run("task", "result", task).returncode == 0)
    assert fleet.run("submit", "echo", "still here", "--wait").stdout == "still here\n"
    assert (manager.running, worker.running) == (True, True)
    os.kill(worker.pid, signal.SIGTERM)
    os.kill(worker.pid, signal.SIGHUP)  # service managers send both: it is no second wish to end
    assert (worker.wait(), manager.stop()) == (0, 0)


def test_a_role_goes_on_when_nobody_reads_its_log(fleet: Fleet) -> None:
    source, target = os.pipe()
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4_096)
    words = ["--role", "manager", "--no-ui", "--listen", ANY_PORT]
    manager = subprocess.Popen([*COMMAND, *words], stderr=target, env=environment(fleet.home))
    os.close(target)
    try:
        until(fleet.answers)
        for _ in range(60):
            fleet.invite()  # each is a line in the log
        assert fleet.run("pool", "status").returncode == 0
        with os.fdopen(source, "rb", buffering=0) as pipe:
            said = pipe.read(65_536)
            fleet.invite()
            fleet.invite()
            said += pipe.read(65_536)
            manager.send_signal(signal.SIGTERM)
            assert manager.wait(STOP_SECONDS) == 0
        lines = said.decode().splitlines()
        assert json.loads(lines[-1])["message"].startswith("invite ")  # it is read again
    finally:
        manager.kill()
        manager.wait()
