"""What a job finds in its process, and leaves behind there: looked at after each job, and put back.

What cannot be put back makes the process unfit for another job, and is named. It costs some 40 microseconds,
much less than a new process. It cannot see everything (an attribute of a library, the state of a C library):
that is why a process runs jobs of one kind only.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without names for numbers, which cost ten times as much
import builtins
import gc
import locale
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .family import LINUX, children_of, descendants

MAX_LEAKED_FILES: Final = 64
"""Descriptors that jobs of one process may leave open: connections are kept for the next job."""
ENDING_SECONDS: Final = 0.05
"""How long a thread or process that is about to end may take after its job."""
STEP_SECONDS: Final = 0.002
_MODULES: Final = (builtins, os, time)
"""Changing these would change what every other code does; ours too."""
# Each look is a system call or two: what is looked at is what tasks have been seen to change.
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SIGNALS: Final = tuple(sorted(map(int, signal.valid_signals())))
_LIMITS: Final = (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
_CHILDREN_BYTES: Final = 256

_Put = Callable[[Any], object]


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def _variables() -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001  a tenth of the cost
    return data.copy()


def _put_environment(wanted: dict[bytes, bytes]) -> None:
    os.environ.clear()
    for name, value in wanted.items():
        os.environb[name] = value


def _put_timers(wanted: tuple[bool, ...]) -> None:
    for timer, armed in zip(_TIMERS, wanted, strict=True):
        if not armed:
            signal.setitimer(timer, 0)


def _put_handlers(wanted: tuple[Any, ...]) -> None:
    for number, handler in zip(_SIGNALS, wanted, strict=True):
        if _signal.getsignal(number) is not handler:
            _signal.signal(number, handler)


def _put_imports(wanted: tuple[list[Any], list[Any], list[Any]]) -> None:
    sys.path, sys.meta_path, sys.path_hooks = (list(one) for one in wanted)


def _put_streams(wanted: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = wanted


def _put_traces(wanted: tuple[Any, Any]) -> None:
    sys.settrace(wanted[0])
    sys.setprofile(wanted[1])


def _nothing(_: object) -> None:
    """It cannot be put back."""


_FACTS: Final[tuple[tuple[str, Callable[[], Any], _Put], ...]] = (
    ("the environment", _variables, _put_environment),
    ("the umask", _umask, os.umask),
    ("timers", lambda: tuple(signal.getitimer(timer)[0] > 0 for timer in _TIMERS), _put_timers),
    ("signal handlers", lambda: tuple(map(_signal.getsignal, _SIGNALS)), _put_handlers),
    (
        "the signal mask",
        lambda: _signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
    ),
    ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
    ("where modules are found", lambda: (sys.path[:], sys.meta_path[:], sys.path_hooks[:]), _put_imports),
    ("the standard streams", lambda: (sys.stdin, sys.stdout, sys.stderr), _put_streams),
    ("tracing", lambda: (sys.gettrace(), sys.getprofile()), _put_traces),
    ("the garbage collector", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    (
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda name: locale.setlocale(locale.LC_ALL, name),
    ),
    ("the timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    ("its priority", lambda: os.getpriority(os.PRIO_PROCESS, 0), _nothing),
    ("its limits", lambda: tuple(map(resource.getrlimit, _LIMITS)), _nothing),
    ("its user", os.geteuid, _nothing),
    (
        "the standard descriptors",
        lambda: tuple((found.st_dev, found.st_ino) for found in map(os.fstat, (1, 2))),
        _nothing,
    ),
)


class Surroundings:
    """As they are when a kind has been loaded, which is how each of its jobs is to find them."""

    def __init__(self, guard: int, ours: Callable[[], int]) -> None:
        """`guard` is the parent of this process; `ours` counts the threads that are no job's."""
        self._guard, self._ours = guard, ours
        self._facts = [read() for _, read, _ in _FACTS]
        self._modules = [(module, dict(vars(module))) for module in _MODULES]
        self._threads = threading.active_count() - ours()
        self._lowest_free = _lowest_free()
        self._line = -1
        if LINUX:
            with suppress(OSError):
                self._line = os.open(f"/proc/{guard}/task/{guard}/children", os.O_RDONLY)
                self._lowest_free = _lowest_free()
        self._only_me = b"%d " % os.getpid()

    def expect_variables(self) -> None:
        """The environment is to be as it is: variables of one job are set."""
        self._facts[0] = _variables()

    def restore(self) -> str:
        """Put back what a job changed; why this process is unfit for another one, or nothing."""
        found = self._put_back()
        if found:
            return f"it changed {found}"
        if _lowest_free() > self._lowest_free + MAX_LEAKED_FILES:
            return "it left many files open"
        if any(getattr(stream, "closed", True) for stream in (sys.stdin, sys.stdout, sys.stderr)):
            return "it closed a standard stream"
        if self._has_threads() and not _soon(lambda: not self._has_threads()):
            return "it left a thread running"
        return ""

    def _put_back(self) -> str:
        for (name, read, put), wanted in zip(_FACTS, self._facts, strict=True):
            if read() != wanted:
                put(wanted)
                if read() != wanted:
                    return name
        return next((f"module {module.__name__}" for module, was in self._modules if vars(module) != was), "")

    def _has_threads(self) -> bool:
        return threading.active_count() - self._ours() > self._threads

    def left_processes(self) -> int:
        """How many processes a job has left running, wherever they went."""
        if self._alone():
            return 0
        _soon(self._alone)
        return 0 if self._alone() else max(1, len(set(descendants(self._guard)) - {os.getpid()}))

    def _alone(self) -> bool:
        """Whether nothing runs beside this process, below it or below its guard."""
        with suppress(ChildProcessError):
            while True:  # what has ended, and its job did not wait for
                if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is None:
                    return False
        if self._line < 0:
            return children_of(self._guard) == [os.getpid()]
        try:
            return os.pread(self._line, _CHILDREN_BYTES, 0) == self._only_me
        except OSError:
            return False


def _lowest_free() -> int:
    """The number that the next file would get: it grows with what is left open."""
    number = os.dup(0)
    os.close(number)
    return number


def _soon(over: Callable[[], bool]) -> bool:
    """Whether it is over in a moment."""
    until = time.monotonic() + ENDING_SECONDS
    while time.monotonic() < until:
        if over():
            return True
        time.sleep(STEP_SECONDS)
    return over()
