"""Which processes this worker started, on disk, so that the next one can end what a killed one left behind.

A process is ended only when it is certain to be ours: its start time is the recorded one, or it carries one
of the two marks of its ancestors, in the environment and in the limits (`family`). A process id alone proves
nothing, because ids are used again.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from .family import end_all, marked

MARK: Final = "TM_RUN"
"""Environment variable that all processes below a child inherit; its value is the name of its home."""
START_TOLERANCE: Final = 2.0
"""Seconds by which a start time may differ: it comes from the wall clock, which may have been set since."""
MAX_ROUNDS: Final = 5
"""Looks at the process table, while something keeps starting new processes."""

WORK: Final = "w"
"""Below it tasks work. Names are short: sockets that a task makes below them have short paths only."""
_PREFIX: Final = "child-"
_RECORD: Final = "process.json"


def new_home(run_dir: Path) -> Path:
    """A private directory for one child, with a name that is also its mark."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = run_dir / f"{_PREFIX}{secrets.token_hex(4)}"
    home.mkdir(mode=0o700)
    (home / WORK).mkdir(mode=0o700)
    return home


def record(home: Path, pid: int, mark: int = 0) -> None:
    """Remember that `pid` leads the process group that lives in `home`, and the mark of all below it.

    Raises:
        OSError: it cannot be written, or there is no such process any more.
    """
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error as error:
        raise OSError(f"process {pid} cannot be looked at: {error}") from error
    facts = json.dumps({"pid": pid, "started": started, "mark": mark})
    descriptor = os.open(home / _RECORD, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(facts)


def forget(home: Path) -> None:
    """Remove a child's home with all that its jobs left there."""
    shutil.rmtree(home, ignore_errors=True)


def kill_leftovers(run_dir: Path) -> int:
    """End what an earlier worker with this run directory left running, and tidy up; says how many it ended.

    Call it before starting anything, with the worker locked: it would end a living one's children too.
    Blocks for some 10 to 100 ms when there is something to do.
    """
    homes = list(_homes(run_dir))
    if not homes:
        return 0
    killed: set[int] = set()
    for home in homes:
        killed |= _kill_group(home)
    names, marks = {home.name for home in homes}, {_mark_in(home) for home in homes} - {0}
    for _ in range(MAX_ROUNDS):
        found = _kill_marked(names) | end_all(lambda: marked(marks))
        killed |= found
        if not found:
            break
    for home in homes:
        forget(home)
    return len(killed)


def _homes(run_dir: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for path in run_dir.iterdir():
            if path.name.startswith(_PREFIX) and path.is_dir() and not path.is_symlink():
                yield path


def _mark_in(home: Path) -> int:
    """The mark on record, or 0."""
    try:
        mark = json.loads((home / _RECORD).read_text())["mark"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return mark if isinstance(mark, int) else 0


def _kill_group(home: Path) -> set[int]:
    """End the group whose leader is still the recorded process."""
    try:
        facts = json.loads((home / _RECORD).read_text())
        leader = psutil.Process(int(facts["pid"]))
        same = abs(leader.create_time() - float(facts["started"])) <= START_TOLERANCE
        if same and leader.pid not in (0, os.getpid()) and os.getpgid(leader.pid) == leader.pid:
            os.killpg(leader.pid, signal.SIGKILL)
            return {leader.pid}
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return (
            set()
        )  # it is gone, or the worker died before it could write the record: the mark finds the rest
    return set()


def _kill_marked(names: set[str]) -> set[int]:
    """End every process, in whatever group, that was started below one of these children."""
    killed = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if _mark_of(process) in names:
                process.kill()  # psutil compares the start time first
                killed.add(process.pid)
    return killed


def _mark_of(process: psutil.Process) -> str | None:
    if sys.platform.startswith("linux"):
        # The whole environment as a dict would cost ten times as much, for every process of the machine.
        data = Path(f"/proc/{process.pid}/environ").read_bytes()
        start = data.find(f"{MARK}={_PREFIX}".encode())
        if start < 0 or (start > 0 and data[start - 1] != 0):
            return None
        return data[start + len(MARK) + 1 :].split(b"\0", 1)[0].decode("utf-8", "replace")
    found: str | None = process.environ().get(MARK)
    return found
