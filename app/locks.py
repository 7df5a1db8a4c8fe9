"""Locks that go with their process: one worker for each folder, and a manager that is on its way."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Final

from .core.errors import Conflict
from .forks import keep_from_forks

MAX_PROCESSES: Final = 100_000
"""Processes that are looked at for the one that has the file."""


class OneWorker:
    """The worker that runs from a directory. As a context manager.

    Raises:
        Conflict: another one runs there, or what it started still holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            recorded = file.read(32).strip()
            file.close()
            raise Conflict(_taken(self._path, recorded)) from error
        keep_from_forks(file)
        self._file = file
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class Starting:
    """Says that a manager is on its way, until it is ready or its process has ended. As a context manager.

    It only tells: several may be on their way at the same place, and the last of them is seen.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> Starting:
        with suppress(OSError):  # then nobody waits for it, and that is all
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(self, *_: object) -> None:
        self.over()

    def over(self) -> None:
        """It is ready, or has given up."""
        held, self._file = self._file, None
        if held is not None:
            os.close(held)


def is_starting(path: Path) -> bool:
    """Whether a manager is on its way that says so there."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _taken(path: Path, recorded: str) -> str:
    """Why the lock cannot be had, and what to do."""
    cure = "set TASKMESSENGER_HOME to a place of its own for this one"
    if recorded.isdecimal() and _lives(int(recorded)):
        own = "this process" if int(recorded) == os.getpid() else f"process {recorded}"
        return f"another worker ({own}) runs from {path.parent}: stop it, or {cure}"
    if others := [str(number) for number in _holding(path)]:
        return (
            f"the worker that ran from {path.parent} has ended, but process {', '.join(others)}, which a "
            f"task of it started, still holds its lock: end it, or {cure}"
        )
    return f"another worker runs from {path.parent}: stop it, or {cure}"


def _lives(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return number < 2**31
    state = ""
    with suppress(OSError, IndexError):  # not on Linux, or it has ended just now
        state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state not in {"Z", "X"}


def _holding(path: Path) -> list[int]:
    """Processes that have this file open, as far as they can be seen."""
    try:
        wanted = path.stat()
        numbers = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()]
    except OSError:
        return []
    return [
        number for number in numbers[:MAX_PROCESSES] if number != os.getpid() and _has_open(number, wanted)
    ]


def _has_open(number: int, wanted: os.stat_result) -> bool:
    with suppress(OSError), os.scandir(f"/proc/{number}/fd") as entries:
        return any(map(partial(_is_same, wanted), entries))
    return False


def _is_same(wanted: os.stat_result, entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        found = entry.stat()
        return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
    return False
