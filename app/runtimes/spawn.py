"""Starts a child process below its guard: a clean environment, a private directory, pipes and a channel.

Blocks while the system starts it; call it in a thread that lives as long as the child, because on Linux the
child dies with the thread that started it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from . import leftovers
from .family import LINUX, new_mark, put_mark
from .limits import Limits

PASSED_ON: Final = ("PATH", "LANG", "TZ", "SYSTEMROOT", "LC_*")
"""Variables of the worker that every task may see."""
_DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started child and our ends of its lines."""

    process: subprocess.Popen[bytes]
    """The guard."""
    channel: socket.socket
    home: Path
    mark: int
    """On everything below the guard."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an operator lets tasks have of the worker's own surroundings."""

    environment: tuple[str, ...] = ()
    """Names and patterns of variables, besides those that are always passed on."""
    home: bool = False
    """Whether HOME is the worker's."""
    directory: str = ""
    """Where tasks begin; empty for a new directory of each."""


def spawn(run_dir: Path, limits: Limits, given: Given, what: str = "child") -> Spawned:
    """Start one; `what`: the module whose `main` is to run below the guard.

    Raises:
        OSError: the system does not let us: no memory, no process, no descriptor, no space.
    """
    home = leftovers.new_home(run_dir)
    ours, theirs = socket.socketpair()
    mark = new_mark()
    try:
        with theirs:
            process = subprocess.Popen(
                _argv(what, theirs.fileno(), mark, limits),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=home / leftovers.WORK,
                env=environment(os.environ, home, given),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
    except OSError:
        ours.close()
        leftovers.forget(home)
        raise
    try:
        leftovers.record(home, process.pid, mark)
    except OSError:
        # What is not on record could outlive a killed worker, so it is not used.
        with process:
            process.terminate()  # the guard ends everything
        ours.close()
        leftovers.forget(home)
        raise
    return Spawned(process, ours, home, mark)


def watch_this_process() -> None:
    """Have everything that this process starts from now on ended when it ends, however that happens.

    Call it once, on the main thread of a process that is nothing but a worker. Linux only.
    """
    if not LINUX:
        return
    mark = new_mark()
    words = [sys.executable, "-P", "-s", "-m", f"{__package__}.guard", "watch", str(os.getpid()), str(mark)]
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    given = {"PYTHONPATH": os.pathsep.join(_import_path()), "PYTHONDONTWRITEBYTECODE": "1"}
    with suppress(OSError, NotImplementedError):  # without it, the next start finds most of what is left
        os.posix_spawn(sys.executable, words, given, file_actions=nowhere, setsid=True)
        put_mark(mark)


def _argv(what: str, descriptor: int, mark: int, limits: Limits) -> list[str]:
    # -P and -s: neither the working directory nor the user's own packages may replace a module.
    flags = ["-P", "-s"]
    told = [what, str(descriptor), str(os.getpid()), str(mark), limits.to_json()]
    return [sys.executable, *flags, "-m", f"{__package__}.guard", *told]


def environment(ours: Mapping[str, str], home: Path, given: Given) -> dict[str, str]:
    """All that a task gets to see: no secrets of whoever started the worker, unless they are let through."""
    patterns = (*PASSED_ON, *given.environment)
    kept = {name: ours[name] for name in ours if any(fnmatchcase(name, pattern) for pattern in patterns)}
    kept.setdefault("PATH", _DEFAULT_PATH)
    return kept | {
        "HOME": ours.get("HOME", "/") if given.home else str(home / leftovers.WORK),
        "TMPDIR": str(home / leftovers.WORK),
        "PYTHONPATH": os.pathsep.join(_import_path()),
        "PYTHONDONTWRITEBYTECODE": "1",
        leftovers.MARK: home.name,
    }


def _import_path() -> list[str]:
    """This process's own, so that a child finds the same code under the same names."""
    return list(dict.fromkeys(str(Path(entry or ".").resolve()) for entry in sys.path))
