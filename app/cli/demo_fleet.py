"""The demo's fleet: a manager and workers as real processes, in a throw-away home each.

Starts them, kills them, and sees to it that none is left behind. What they are asked is not its business.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import anyio

from ..core.errors import TaskMessengerError, Unreachable
from ..core.text import printable, redact
from ..paths import HOME_VARIABLE, Paths, under
from .connect import dialler
from .namespace import HERE, LISTEN, library

MANAGER: Final = "manager"
NODE_PORT: Final = 7712
"""UDP port of the manager's ZeroTier node."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_SECONDS: Final = 60.0
"""For a process to be of use: keys are made the first time, and the machine may be busy."""
POLL_SECONDS: Final = 0.02
LEAVE_SECONDS: Final = 5.0
"""For a process that was asked to leave; after that it is killed."""
SHORT: Final = 60
"""Bytes of a temporary directory's path below which local sockets still fit."""
PR_SET_PDEATHSIG: Final = 1
"""Of prctl(2)."""
LAST_WORDS: Final = 4_096
"""Bytes of a log that are searched for the reason of a process's end."""


class Died(TaskMessengerError):
    """A process ended that nobody had killed."""

    code = "died"


class Fleet:
    """One manager and its workers, all started from here. Leaving the block ends every one of them."""

    def __init__(self, home: Path, transport: str = "tcp") -> None:
        self.home, self.transport = home, transport
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._listen = LISTEN[transport]
        self._settings = {"TASKMESSENGER_ZEROTIER_ADVERTISE": f"{HERE}:{NODE_PORT}"}
        """In the environment of every process; at first of what listens, or dials, over ZeroTier."""
        if transport == "zerotier" and (named := library()) is not None:
            self._settings["TASKMESSENGER_ZEROTIER_LIBRARY_PATH"] = str(named)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An impatient operator must not be able to interrupt just this.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            for child in self._children.values():
                _kill(child)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def paths(self) -> Paths:
        """The manager's places."""
        return under(self.home / MANAGER)

    def configure(self, **settings: object) -> None:
        """For processes that start from now on: `tasks_max_pending=5`."""
        self._settings |= {f"TASKMESSENGER_{name.upper()}": str(value) for name, value in settings.items()}

    # ---- starting ---------------------------------------------------------------------------------------

    async def start_manager(self) -> None:
        """Start it, or start it again where it was, and wait until it answers.

        Raises:
            Died: it did not come up. Unreachable: it takes too long.
        """
        self._start(MANAGER, ["--role", "manager", "--listen", self._listen])
        dial = dialler(self.paths)
        with anyio.move_on_after(READY_SECONDS):
            while True:
                self.check()
                try:
                    connected = await dial()
                except Unreachable:
                    await anyio.sleep(POLL_SECONDS)
                else:
                    await connected.session.aclose()
                    return
        raise Unreachable(f"the manager did not answer within {READY_SECONDS:g} s")

    def listens_at(self, address: str) -> None:
        """Where the manager is to be found when it is started again."""
        self._listen = address

    def start_worker(self, name: str, invite: str | None = None, extra: Sequence[str] = ()) -> None:
        """Start one, or start it again with the identity it has; `extra` words go to its command line."""
        words = ["--role", "worker", "--name", name, *extra]
        self._start(name, words if invite is None else [*words, "--join", "-"], invite)

    def _start(self, name: str, words: list[str], said: str | None = None) -> None:
        home = self.home / name
        home.mkdir(mode=0o700, exist_ok=True)
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "taskmessenger", *words, "--no-ui"],
                stdin=subprocess.DEVNULL if said is None else subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=home,
                env=_environment(home) | self._settings,
                preexec_fn=_ends_with_us(),  # noqa: PLW1509 - no thread of ours holds a lock that it needs
                start_new_session=True,  # Ctrl-C is for the demo, which then ends the others in order
            )
        self._children[name] = child
        if said is not None:
            assert child.stdin is not None
            _tell(child.stdin, said)

    def pid(self, name: str) -> int:
        """Of a process that runs."""
        return self._children[name].pid

    # ---- ending -----------------------------------------------------------------------------------------

    def freeze(self, name: str) -> None:
        """SIGSTOP: it does nothing more, and does not know it."""
        self._children[name].send_signal(signal.SIGSTOP)

    def kill(self, name: str) -> None:
        """SIGKILL: no farewell."""
        _kill(self._children.pop(name))

    def check(self) -> None:
        """All that were started and not killed run.

        Raises:
            Died: one does not.
        """
        for name, child in self._children.items():
            code = child.poll()
            if code is not None:
                how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
                raise Died(f"{name} ended {how}{self._last_words(name)}")

    async def stop(self, hurry: anyio.Event) -> None:
        """Ask the workers to leave, then the manager. Who is not gone in time, or in a hurry, is killed."""
        workers = [child for name, child in self._children.items() if name != MANAGER]
        await _leave(workers, hurry)
        await _leave(self._children.values(), hurry)

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _last_words(self, name: str) -> str:
        """The reason it gave on its standard error, if it gave one."""
        with suppress(OSError), self._log(name).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LAST_WORDS))
            for line in log.read().decode(errors="replace").splitlines():
                if line.startswith("error: "):
                    return ": " + printable(redact(line.removeprefix("error: ")))
        return ""


def temporary() -> Path:
    """Where to make a throw-away home: not so deep that a local socket's path becomes too long."""
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual)) <= SHORT else Path("/tmp")  # noqa: S108 - mkdtemp makes it ours


def _environment(home: Path) -> dict[str, str]:
    """Ours, without settings that are meant for another fleet."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TASKMESSENGER_")}
    return ours | {HOME_VARIABLE: str(home)}


def _ends_with_us() -> Callable[[], None] | None:
    """For a new process, on Linux: the kernel kills it when this one has gone, however it went."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _tell(pipe: IO[bytes], line: str) -> None:
    """On standard input, where no other user can see it."""
    with suppress(BrokenPipeError), pipe:
        pipe.write(line.encode() + b"\n")


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()


async def _leave(children: Iterable[subprocess.Popen[bytes]], hurry: anyio.Event) -> None:
    todo = [child for child in children if child.poll() is None]
    for child in todo:
        child.terminate()
    with anyio.move_on_after(LEAVE_SECONDS):
        while not hurry.is_set() and any(child.poll() is None for child in todo):
            await anyio.sleep(POLL_SECONDS)
    for child in todo:
        _kill(child)
