"""The parent of one child process: whatever that started ends with it, and with the worker.

Started as `python -m taskmessenger.runtimes.guard MODULE FD PARENT MARK LIMITS`. It forks the child that
runs `MODULE` and becomes the parent of every orphan below it, so that no fork, session or cleaned environment
leads away from it. When the child ends, the worker dies or asks for the end (SIGTERM), it kills everything
below itself, waits until that is gone, and ends as the child did. A guard that is killed itself takes the
child with it; the worker finds the rest by its mark (`family`). Imports little: there is one for each child.

`python -m taskmessenger.runtimes.guard watch PARENT MARK` is no guard but a watch: when the worker that
started it is gone, however it ended, it ends what bears the worker's mark: what tasks in its threads started.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn

from .family import (
    FIRST_PAUSE,
    LINUX,
    LONGEST_PAUSE,
    adopt_orphans,
    die_with_parent,
    end_all,
    end_descendants,
    marked,
    put_mark,
)

PARENT_CHECK_SECONDS: Final = 0.5
"""Between two looks at the worker, where the system does not tell of its death."""


def main(argv: list[str]) -> None:
    """Become a guard, and a child below it."""
    everything = signal.valid_signals()
    # Kept for `sigwait`; only KILL and STOP come through.
    signal.pthread_sigmask(signal.SIG_SETMASK, everything)
    if argv[0] == "watch":
        _watch(int(argv[1]), int(argv[2]))
    what, descriptor, parent, mark, *rest = argv
    put_mark(int(mark) + 1)  # not the worker's: a guard ends by itself, and last
    adopt_orphans()
    if not die_with_parent(signal.SIGTERM, int(parent)):
        os._exit(1)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        if not die_with_parent(signal.SIGKILL, guard):
            os._exit(1)
        os.setsid()
        put_mark(int(mark))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        inside = import_module(f".{what}", __package__)
        inside.main([descriptor, str(guard), *rest])
        return
    _let_go(int(descriptor))
    _Guard(child, int(parent)).serve()


def _watch(parent: int, mark: int) -> NoReturn:
    die_with_parent(signal.SIGTERM, parent)
    while os.getppid() == parent:
        signal.sigwait({signal.SIGTERM})
    pause = FIRST_PAUSE
    while os.getppid() != parent and end_all(lambda: marked((mark,))):
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
    os._exit(0)


def _let_go(channel: int) -> None:
    """Hold none of the child's lines open: their end is how its end is seen."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2, channel):
        os.dup2(nothing, number)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it ends by the signal that its child ended by


class _Guard:
    """Waits, buries, and ends everything."""

    def __init__(self, child: int, parent: int) -> None:
        self._child, self._parent = child, parent
        self._status: int | None = None

    def serve(self) -> NoReturn:
        """Until there is nobody left to guard."""
        wanted = {signal.SIGTERM, signal.SIGCHLD}
        while self._status is None:
            told = signal.sigwait(wanted) if LINUX else self._poll(wanted)
            if told == signal.SIGTERM:
                break
            self._reap()
        end_descendants(self._reap)
        _end_as(self._status)

    def _poll(self, wanted: set[signal.Signals]) -> int:
        while os.getppid() == self._parent:
            pending = signal.sigpending() & wanted
            if pending:
                return signal.sigwait(pending)
            time.sleep(PARENT_CHECK_SECONDS / 10)
        return signal.SIGTERM

    def _reap(self) -> None:
        """Bury who has died: orphans, and the child."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    self._status = status


def _end_as(status: int | None) -> NoReturn:
    """End as the child did, so that the worker sees its death in ours."""
    code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    if code < 0:
        number = -code
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)  # not for KILL, which needs none
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = 128 + number
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
elif __name__ == "__mp_main__":
    # An interpreter that `multiprocessing` started for a task: what it is sent is named by the kind's module.
    from .beside import follow_parent

    follow_parent()
