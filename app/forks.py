"""What a fork must not keep: locks, connections and files of this process that task code could carry on.

A thread kind may fork, often without knowing: `multiprocessing` does. The copy would hold the worker's lock
and its connections after the worker itself has died, so whatever is named here is closed in every fork; and a
signal to the fork would be heard by the worker. A process that is started in the usual way inherits nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet


class Holder(Protocol):
    """Something that has a descriptor, while it has one."""

    def fileno(self) -> int:
        """The number; below 0 when it is closed."""
        ...


_holders: Final[WeakSet[Holder]] = WeakSet()
_numbers: Final[set[int]] = set()
_masks: Final = threading.local()


def keep_from_forks(holder: Holder) -> None:
    """Close the descriptor of this object in forks. It is forgotten when the object is."""
    _holders.add(holder)


def keep_number_from_forks(number: int) -> None:
    """The same for a bare descriptor, until `forget_number`."""
    _numbers.add(number)


def forget_number(number: int) -> None:
    """It is closed."""
    _numbers.discard(number)


def _let_go() -> None:
    """In the child: what was ours leads nowhere. The numbers stay taken: their objects still close them."""
    ours = set(_numbers)
    for holder in list(_holders):
        with suppress(OSError, ValueError):  # it was closed
            ours.add(holder.fileno())
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in ours:
        if number >= 0:
            with suppress(OSError):
                os.dup2(nowhere, number, inheritable=False)
    os.close(nowhere)
    _hear_for_itself()


def _hear_for_itself() -> None:
    """In the child: a signal that is meant for it must not be told to our event loop, as ours."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def _hold_signals() -> None:
    """Before a fork: one that comes to the child before it hears for itself would be heard by us."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _let_signals_come() -> None:
    """On both sides, to the thread that has forked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _become_a_child() -> None:
    try:
        _let_go()
    finally:
        _let_signals_come()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_hold_signals, after_in_parent=_let_signals_come, after_in_child=_become_a_child
    )
