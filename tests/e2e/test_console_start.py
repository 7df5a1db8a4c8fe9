"""The console as a person starts it: on a terminal of its own, over simulated and real managers."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskmessenger.paths import under

from tests.support.processes import fleet, until
from tests.support.terminal import catches

SECONDS = 60.0
"""For anything to appear, on a busy machine."""
SIZE = (24, 100)
RESTORED = b"\x1b[?1049l"
"""What a terminal is told when the screen of before comes back."""


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self.descriptor, self.pid, self.seen = descriptor, pid, b""

    def until(self, text: bytes) -> None:
        """Read until this has been written."""
        end = time.monotonic() + SECONDS
        while text not in self.seen:
            assert time.monotonic() < end, self.seen[-2_000:]
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.descriptor, 65_536)
                except OSError as error:  # Linux's way to say that the other end is closed
                    raise AssertionError(f"it ended: {self.seen[-2_000:]!r}") from error

    def type(self, keys: bytes) -> None:
        self.seen = b""
        os.write(self.descriptor, keys)

    def code(self) -> int:
        """Wait for its end; what it still writes is read, else it could not end."""
        end = time.monotonic() + SECONDS
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, self.seen[-2_000:]
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.descriptor, 65_536)
                except OSError:
                    time.sleep(0.02)


@contextmanager
def terminal(home: Path, *words: str) -> Iterator[Terminal]:
    """`taskmessenger` with these words, on a terminal."""
    given = {"TASKMESSENGER_HOME": str(home), "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
    command = [sys.executable, "-m", "taskmessenger", *words]
    pid, descriptor = pty.fork()
    if not pid:
        os.execvpe(command[0], command, os.environ | given)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    found = Terminal(descriptor, pid)
    try:
        yield found
    finally:
        if found.pid:
            os.kill(found.pid, signal.SIGKILL)
            os.waitpid(found.pid, 0)
        os.close(descriptor)


def test_the_demo_opens_and_closes_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    with terminal(tmp_path, "--demo") as shown:
        shown.until(b"Overview")
        shown.type(b"3")
        shown.until(b"SUBMITTED")
        shown.type(b"q")
        assert shown.code() == 0
        assert RESTORED in shown.seen


def test_a_manager_is_started_looked_at_and_stopped(tmp_path: Path) -> None:
    with terminal(tmp_path, "--role", "manager", "--listen", "tcp://127.0.0.1:0") as shown:
        shown.until(b"Overview")
        with terminal(tmp_path, "--attach", "--read-only") as other:
            other.until(b"READ ONLY")
            other.type(b"q")
            assert other.code() == 0
        shown.type(b"q")
        shown.until(b"Leave")
        shown.type(b"\x1b[B\r")
        shown.until(b"stopping the manager")
        assert shown.code() == 0


def test_a_worker_that_has_not_joined_takes_an_invite_on_the_terminal(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet") as one:
        one.manager()
        invite = one.run("invite").stdout.strip()
        with terminal(tmp_path / "worker", "--role", "worker") as shown:
            shown.until(b"Paste the invite")
            shown.type(invite.encode() + b"\r")
            shown.until(b"connected")
            shown.type(b"q")
            shown.until(b"Leave")
            shown.type(b"\x1b[B\r")
            assert shown.code() == 0
        with terminal(tmp_path / "other", "--role", "worker") as left:
            left.until(b"Paste the invite")
            left.type(b"\x1b")
            assert left.code() == 0


def test_a_role_outlives_its_console_when_that_is_wanted(tmp_path: Path) -> None:
    with terminal(tmp_path, "--role", "manager", "--listen", "tcp://127.0.0.1:0") as shown:
        shown.until(b"Overview")
        shown.type(b"q")
        shown.until(b"Leave")
        shown.type(b"\r")
        shown.until(b"goes on without its console")
        with terminal(tmp_path, "--attach") as other:
            other.until(b"Overview")
            other.type(b"q")
            assert other.code() == 0
        os.kill(shown.pid, signal.SIGTERM)
        assert shown.code() == 0


def test_a_signal_closes_the_console_and_ends_the_role_in_good_order(tmp_path: Path) -> None:
    with terminal(tmp_path, "--role", "manager", "--listen", "tcp://127.0.0.1:0") as shown:
        shown.until(b"Overview")
        with terminal(tmp_path, "--attach") as other:
            other.until(b"Overview")
            os.kill(other.pid, signal.SIGTERM)
            assert other.code() == 128 + signal.SIGTERM
            assert RESTORED in other.seen
        log = under(tmp_path).log_file("manager")
        log.rename(tmp_path / "moved")
        for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP):
            os.kill(shown.pid, number)
        until(log.exists)
        shown.type(b"3")
        shown.until(b"SUBMITTED")  # it is open still
        os.kill(shown.pid, signal.SIGTERM)
        assert shown.code() == 0
        assert RESTORED in shown.seen
        assert b"stopping the manager" in shown.seen


def test_what_a_worker_runs_may_end_when_a_signal_closes_its_console(tmp_path: Path) -> None:
    with fleet(tmp_path / "f") as one:
        one.manager()
        (tmp_path / "invite").write_text(one.invite())
        words = ("--role", "worker", "--join-file", str(tmp_path / "invite"))
        with terminal(tmp_path / "w", *words) as shown:
            shown.until(b"Status")
            task = one.run("submit", "wait", "--json-payload", "2").stdout.strip()
            until(lambda: one.run("task", "ls", "--state", "running", "--jsonl").stdout != "")
            os.kill(shown.pid, signal.SIGTERM)
            assert shown.code() == 0
            assert RESTORED in shown.seen
        assert one.run("task", "result", task).returncode == 0


def test_a_hangup_ends_what_serves_consoles_in_good_order(tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "taskmessenger", "serve", "--demo", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TASKMESSENGER_HOME": str(tmp_path)},
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stdout.readline().startswith("http://127.0.0.1:")
    assert command.stderr is not None
    assert "Ctrl-C ends it" in command.stderr.readline()
    until(lambda: catches(command.pid, signal.SIGTERM))
    command.send_signal(signal.SIGHUP)
    assert command.communicate(timeout=SECONDS)[1] == ""
    assert command.returncode == 0


def test_a_hangup_ends_a_console_that_only_looks_and_restores_the_terminal(tmp_path: Path) -> None:
    with terminal(tmp_path, "--demo") as shown:
        shown.until(b"Overview")
        os.kill(shown.pid, signal.SIGHUP)
        assert shown.code() == 128 + signal.SIGHUP
        assert RESTORED in shown.seen
    with terminal(tmp_path) as shown:
        shown.until(b"What is this machine to be?")
        os.kill(shown.pid, signal.SIGTERM)
        assert shown.code() == 128 + signal.SIGTERM
        assert RESTORED in shown.seen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--demo"], "needs a terminal"),
        (["--attach"], "needs a terminal"),
        (["--role", "manager"], "needs a terminal"),
        (["--demo", "--role", "worker"], "exclude each other"),
        (["--role", "manager", "--no-ui", "--read-only"], "--read-only is for a console"),
    ],
)
def test_what_cannot_be_opened_says_why_in_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "taskmessenger", *words],
        capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"TASKMESSENGER_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
