"""Real managers and workers, as processes in throw-away homes: start, ask, stop, kill -9, read their logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
from taskmessenger.cli.connect import dialler
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.net.security.identity import is_joined, load
from taskmessenger.paths import HOME_VARIABLE, Paths, under
from taskmessenger.remote import Remote, attach

READY_SECONDS = 30.0
"""A start includes imports and, the first time, making keys; a busy machine takes its time."""
STOP_SECONDS = 45.0
COMMAND_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_SHOWN = 4_000
COMMAND = [sys.executable, "-W", "error", "-m", "taskmessenger"]
"""As installed, and any warning is an error."""
ANY_PORT = "tcp://127.0.0.1:0"
_T = TypeVar("_T")


class NotReady(AssertionError):
    """A process did not get where it should; the text holds the end of its log."""


class Process:
    """One role, started as a person would. Output of both kinds is appended to `log`."""

    def __init__(
        self, role: str, home: Path, words: list[str], log: Path, stdin: str | None = None, limits: str = ""
    ) -> None:
        """`limits`: what a shell says before it starts this, as `ulimit -n 256`."""
        self.role, self.home, self.log = role, home, log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [*(_after(limits) if limits else ()), *COMMAND, "--role", role, "--no-ui", *words],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(home),
            )
        if self.popen.stdin is not None:
            with self.popen.stdin as pipe:
                pipe.write((stdin or "").encode())

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def said(self) -> str:
        """All that this process wrote."""
        with self.log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode("utf-8", "replace")

    def stop(self) -> int:
        """SIGTERM; says with what code it ended."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        if self.running:
            self.popen.kill()
        self.popen.wait(STOP_SECONDS)

    def wait(self) -> int:
        """Until it has ended by itself; says with what code."""
        try:
            return self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotReady(self._tell(f"did not end within {STOP_SECONDS:g} s")) from None

    def expect(self, condition: Callable[[], bool], what: str, *, within: float = READY_SECONDS) -> None:
        """Poll until the condition holds; fails when the process ends before, or the bound is reached."""
        deadline = time.monotonic() + within
        while not condition():
            if not self.running:
                raise NotReady(self._tell(f"ended with {self.popen.returncode} before it was {what}"))
            if time.monotonic() > deadline:
                raise NotReady(self._tell(f"was not {what} within {within:g} s"))
            time.sleep(POLL_SECONDS)

    def _tell(self, what: str) -> str:
        return f"{self.role} {self.pid} {what}:\n{self.said()[-LOG_SHOWN:]}"


def _after(limits: str) -> list[str]:
    return ["sh", "-c", f'{limits} && exec "$@"', "sh"]


class Fleet:
    """One manager and its workers. Each has a home of its own below `root`, and a log beside it."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "manager"
        self.started: list[Process] = []
        self._listen = ANY_PORT
        self.limits = ""
        """Of the manager's process; see `Process`."""
        root.mkdir(parents=True, exist_ok=True)

    @property
    def paths(self) -> Paths:
        """The manager's."""
        return under(self.home)

    def manager(self, *words: str) -> Process:
        """Start the manager and wait until it answers. Started again, it listens where it did before."""
        process = self._start("manager", self.home, ["--listen", self._listen, *words])
        process.expect(self.answers, "ready")
        self._listen = self.ask(lambda remote: remote.status()).listening[0]
        return process

    def worker(self, name: str = "fern", *words: str) -> Process:
        """Start a worker and wait until the manager knows its kinds. Without an identity it joins first."""
        home = self.worker_home(name)
        new = not is_joined(under(home).identity("worker"))
        join, stdin = (["--join", "-"], self.invite()) if new else ([], None)
        process = self._start("worker", home, ["--name", name, *join, *words], stdin)
        process.expect(lambda: "connected to " in process.said(), "connected")
        process.expect(lambda: self._offers(name), "announced")
        return process

    def worker_home(self, name: str) -> Path:
        return self.root / f"worker-{name}"

    def worker_id(self, name: str = "fern") -> str:
        """What the manager calls a worker that has joined."""
        return load(under(self.worker_home(name)).identity("worker"), "worker").peer_id

    def end(self) -> None:
        """Nothing that was started here goes on."""
        for process in reversed(self.started):
            process.kill()

    def _start(self, role: str, home: Path, words: list[str], stdin: str | None = None) -> Process:
        limits = self.limits if role == "manager" else ""
        process = Process(role, home, words, self.root / f"{home.name}.log", stdin, limits)
        self.started.append(process)
        return process

    def _offers(self, name: str) -> bool:
        wanted = self.worker_id(name)
        return any(row.id == wanted and row.kinds for row in self.ask(lambda remote: remote.workers()))

    # ---- asking -----------------------------------------------------------------------------------------

    def ask(self, what: Callable[[Remote], Awaitable[_T]]) -> _T:
        """What the manager answers at its local socket."""

        async def main() -> _T:
            async with attach(dialler(self.paths)) as remote:
                return await what(remote)

        return anyio.run(main)

    def answers(self) -> bool:
        """Whether the manager can be asked."""
        try:
            self.ask(lambda remote: remote.status())
        except TaskMessengerError:
            return False
        return True

    def invite(self, role: str = "worker", *, uses: int = 1, ttl: float = 900.0) -> str:
        """The text of a new invite."""
        return self.ask(lambda remote: remote.make_invite(uses, ttl, role)).text

    def run(
        self, *words: str, stdin: str | bytes = b"", home: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end, as typed: at the manager's home if no other is named. Not on a terminal."""
        done = subprocess.run(
            [*COMMAND, *words],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=environment(home or self.home),
            timeout=COMMAND_SECONDS,
            check=False,
        )
        out, err = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "replace")
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def environment(home: Path) -> dict[str, str]:
    """Ours, without anything that sets this application up, and with `home`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TASKMESSENGER_")}
    return kept | {HOME_VARIABLE: str(home)}


def until(condition: Callable[[], bool], *, within: float = READY_SECONDS) -> None:
    """Poll until the condition holds; fails when the bound is reached."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass within {within:g} s"
        time.sleep(POLL_SECONDS)


def refused(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """The command said no: this exit code, one line of error with these parts, and no result."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line
    assert done.stdout == ""


@contextmanager
def fleet(root: Path) -> Iterator[Fleet]:
    """A fleet none of whose processes outlives the block."""
    one = Fleet(root)
    try:
        yield one
    finally:
        one.end()
