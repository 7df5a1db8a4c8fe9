"""Which processes descend from which, and how all of them are ended, whatever they do to get away.

Two ways to know them: the system's own tree, which needs a reaper above them that lives, and a mark that no
process below can take off: a resource limit, which is inherited through every fork, session and environment
and can only be lowered. Standard library only: the guards of child processes import little.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform.startswith("linux")
FREEZE_ROUNDS: Final = 20
"""Looks at a family while it is being stopped: one that forks meanwhile is caught by the next."""
FIRST_PAUSE: Final = 0.001
LONGEST_PAUSE: Final = 0.25
"""Seconds between two looks for what has not gone yet."""
RELATIVES: Final = 100_000
"""Processes of one family that are looked for in one go."""
_PDEATHSIG: Final = 1
_SUBREAPER: Final = 36
_MARK: Final = 15
"""RLIMIT_RTTIME: it binds real-time processes only, to a time here that none of them reaches."""
_MARK_ROW: Final = b"Max realtime timeout"
_MARK_CEILING: Final = 1 << 60


def die_with_parent(number: int, parent: int) -> bool:
    """Ask for this signal when the parent dies; False when it is dead already."""
    if LINUX:
        _prctl(_PDEATHSIG, number)
    return os.getppid() == parent


def adopt_orphans() -> None:
    """From now on whatever descends from this process, and loses its parent, becomes its child."""
    if LINUX:
        _prctl(_SUBREAPER, 1)


def _prctl(what: int, value: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """Its children, those of all its threads."""
    if not LINUX:
        return [child for child, parent in _parents().items() if parent == pid]
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_bytes().split())
    except OSError:
        return found
    return found


def descendants(pid: int) -> list[int]:
    """Everything below it, nearest first."""
    if not _LISTS_CHILDREN:
        return _below(pid, _parents())
    found: list[int] = []
    todo = [pid]
    while todo and len(found) < RELATIVES:
        new = [child for parent in todo for child in children_of(parent)]
        found += new
        todo = new
    return found


def _below(pid: int, parents: dict[int, int]) -> list[int]:
    family, size = {pid}, 0
    while len(family) != size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return sorted(family - {pid})


def _parents() -> dict[int, int]:
    """By process, its parent, for systems that do not list children."""
    if LINUX:
        found = {}
        for pid in _all():
            with suppress(OSError, ValueError, IndexError):
                found[pid] = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        return found
    import psutil

    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found[process.pid] = process.ppid()
    return found


def _all() -> Iterator[int]:
    return (int(place.name) for place in Path("/proc").iterdir() if place.name.isdecimal())


_LISTS_CHILDREN: Final = LINUX and Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()


def end_all(find: Callable[[], list[int]]) -> set[int]:
    """Stop whatever `find` finds until it finds nothing new, then kill it; says what was killed.

    Stopped first, so that none of them can start another one while the rest is killed.
    """
    stopped: set[int] = set()
    for _ in range(FREEZE_ROUNDS):
        new = set(find()) - stopped
        if not new:
            break
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        _signal(pid, signal.SIGKILL)
    return stopped


def end_descendants(reap: Callable[[], None]) -> None:
    """End everything below this process, and stay until it is gone. `reap` buries who has died."""
    me, pause, hopeless = os.getpid(), FIRST_PAUSE, 0
    while True:
        reap()
        found = end_all(lambda: descendants(me))
        reap()
        living = [pid for pid in found if is_there(pid)]
        if not living and not descendants(me):
            return
        if living and not any(_may_signal(pid) for pid in living):
            hopeless += 1
            if hopeless >= FREEZE_ROUNDS:
                return  # they run as another user: a program that may do that was started
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)


def is_there(pid: int) -> bool:
    """Whether it lives, or is dead and not buried."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _may_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    if pid not in (0, 1, os.getpid()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


# the mark


def new_mark() -> int:
    """A mark that no other process is likely to have."""
    ceiling = _MARK_CEILING
    if LINUX:
        import resource

        hard = resource.getrlimit(_MARK)[1]  # of a worker that runs below a task of another one
        ceiling = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
    return ceiling // 2 + secrets.randbelow(ceiling // 2)


def put_mark(mark: int) -> None:
    """Put it on this process and all that will ever descend from it, where the system can."""
    if not LINUX:
        return
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(_MARK, (mark, mark))


def marked(marks: Collection[int]) -> list[int]:
    """All processes but this one that carry one of these."""
    if not LINUX:
        return []
    found = []
    for pid in _all():
        with suppress(OSError):
            if mark_of(pid) in marks and pid != os.getpid():
                found.append(pid)
    return found


def mark_of(pid: int) -> int | None:
    """Its mark, or None.

    Raises:
        OSError: there is no such process, or it may not be looked at.
    """
    data = Path(f"/proc/{pid}/limits").read_bytes()
    start = data.find(_MARK_ROW)
    if start < 0:
        return None
    number = data[start + len(_MARK_ROW) :].split(None, 2)[1]
    return int(number) if number.isdigit() else None  # the hard one, which cannot be raised again
