"""The life of a task: one table, and nothing moves a task but along it.

Who moves it: a submit creates it `queued` (or `scheduled`, when it is to wait); the pool leases it to a
worker; the worker says that it runs and how it ended; silence, release and crash bring it back; an operator
cancels any open task, and retries one that failed for good.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from .errors import IllegalTransition, UsageError


class TaskState(IntEnum):
    """Where a task is in its life. The numbers are stored and sent; never reuse one."""

    SCHEDULED = 0
    """Waits for a moment: a delay that was asked for, or the backoff before another attempt."""
    QUEUED = 1
    """Waits for a worker with credit."""
    LEASED = 2
    """A worker has the right to run it."""
    RUNNING = 3
    """The worker said that it runs."""
    SUCCEEDED = 4
    FAILED = 5
    """Its attempts are used up; a person may retry it."""
    TIMED_OUT = 6
    """Its last attempt took too long; a person may retry it."""
    CANCELLED = 7

    @property
    def word(self) -> str:
        """The name that people see: `timed_out`."""
        return self.name.lower()

    @property
    def final(self) -> bool:
        """Whether the outcome is settled."""
        return self >= TaskState.SUCCEEDED

    @classmethod
    def of(cls, word: str) -> TaskState:
        """The state with this name.

        Raises:
            UsageError: no state is called so.
        """
        try:
            return cls[word.strip().upper().replace("-", "_")]
        except KeyError:
            known = ", ".join(s.word for s in cls)
            raise UsageError(f"no state is called `{word}`; states are {known}") from None


_S = TaskState
OPEN: Final = (_S.SCHEDULED, _S.QUEUED, _S.LEASED, _S.RUNNING)
FINAL: Final = (_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED)
_BACK: Final = {_S.SCHEDULED, _S.QUEUED}
TRANSITIONS: Final[dict[TaskState, frozenset[TaskState]]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.LEASED, _S.CANCELLED}),
    _S.LEASED: frozenset({_S.RUNNING, *_BACK, *FINAL}),
    _S.RUNNING: frozenset({*_BACK, *FINAL}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.QUEUED}),
    _S.TIMED_OUT: frozenset({_S.QUEUED}),
    _S.CANCELLED: frozenset(),
}


def check(state: TaskState, wanted: TaskState) -> TaskState:
    """`wanted`, when the table allows it.

    Raises:
        IllegalTransition: it does not; a bug in this program.
    """
    if wanted not in TRANSITIONS[state]:
        raise IllegalTransition(state.word, wanted.word)
    return wanted
