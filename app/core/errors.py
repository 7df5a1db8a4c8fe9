"""Every error this application raises on purpose, under one root.

    TaskMessengerError
      UsageError            2   what was asked makes no sense
        ConfigError             a setting that cannot be used; names file and key
      NotFound              3   no such task, worker, invite
      Refused               4   authentication, permission, revoked, wrong fleet
        NotApproved             a member that has to wait for an operator
        InviteError             an invite that cannot be used, and why
      Unreachable           5   no manager answers
      TimedOut              6   a wait reached its bound
      Conflict              7   in use, already exists with other content, wrong state
      StoreError            1   the database cannot do its duty
        StoreTooNew         2   written by a newer version
        StoreLocked         7   another manager has it
        DataMissing         1   something of it is gone, and nobody has accepted that
        StoreFull           1   no space left; nothing was done
          NothingTaken      4   a manager without space: nothing was accepted
        StoreBusy           1   too many files are open; nothing was done, it passes
        StoreFailed         1   an I/O error; the manager must stop
      OutputLost            1   what a command printed did not arrive; what it did is done
      Overloaded            4   a bound was reached: nothing was accepted; try again later
      PeerError             1   the other side broke the protocol
        FrameTooLarge
      IllegalTransition     1   a bug in this program

The number is the exit code of the command line.
"""

from __future__ import annotations

from typing import ClassVar


class TaskMessengerError(Exception):
    """Something an operator can act on; `code` is stable, the text is not."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1


class UsageError(TaskMessengerError):
    """What was asked makes no sense; nothing was done."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting this program cannot run with; names the file and the key."""

    code = "bad_config"


class NotFound(TaskMessengerError):
    """There is no such thing."""

    code = "not_found"
    exit_code = 3


class Refused(TaskMessengerError):
    """The other side knows who we are, or does not, and says no."""

    code = "refused"
    exit_code = 4


class NotApproved(Refused):
    """A member that an operator has not approved yet: the same attempt may succeed later."""

    code = "not_approved"


class InviteError(Refused):
    """An invite that cannot be used, and why."""

    code = "bad_invite"


class Unreachable(TaskMessengerError):
    """No manager answers there."""

    code = "unreachable"
    exit_code = 5


class TimedOut(TaskMessengerError):
    """A wait reached its bound."""

    code = "timeout"
    exit_code = 6


class Conflict(TaskMessengerError):
    """Already in use, or it exists with other content, or is in the wrong state."""

    code = "conflict"
    exit_code = 7


class AddressTaken(Conflict):
    """Another node of the overlay network has the address that this one comes from."""

    code = "address_taken"


class StoreError(TaskMessengerError):
    """The database cannot do its duty."""

    code = "store"


class StoreTooNew(StoreError):
    """Written by a newer version of this program."""

    code = "store_too_new"
    exit_code = 2


class StoreLocked(StoreError):
    """Another manager has this database."""

    code = "store_locked"
    exit_code = 7


class DataMissing(StoreError):
    """Something that was stored is gone; an operator has to decide whether to go on without it."""

    code = "data_missing"


class StoreFull(StoreError):
    """No space left on the device; the batch was not stored."""

    code = "store_full"


class NothingTaken(StoreFull):
    """The manager has no space left: it accepts nothing until it has."""

    code = "nothing_taken"
    exit_code = 4


class StoreBusy(StoreError):
    """Too many files are open: nothing was done, and the same may succeed in a moment."""

    code = "store_busy"


class StoreFailed(StoreError):
    """An I/O error on the way to the disk: what it holds is unknown, so stop."""

    code = "store_failed"


class OutputLost(TaskMessengerError):
    """Standard output took less than all that was printed; what the command did is done all the same."""

    code = "output_lost"


class Overloaded(TaskMessengerError):
    """A bound was reached; nothing was done, try again later."""

    code = "overloaded"
    exit_code = 4


class PeerError(TaskMessengerError):
    """The other side broke the protocol; drop the session, keep serving."""

    code = "peer_error"


class FrameTooLarge(PeerError):
    """A peer announced more bytes than a frame or message may have."""

    code = "frame_too_large"


class IllegalTransition(TaskMessengerError):
    """A bug in this program: the task cannot go from `state` to `wanted`."""

    code = "illegal_transition"

    def __init__(self, state: str, wanted: str) -> None:
        super().__init__(f"a {state} task cannot become {wanted}")
        self.state, self.wanted = state, wanted


def by_code(code: str) -> type[TaskMessengerError]:
    """The error class with this stable code, to raise again what a peer reported."""
    todo: list[type[TaskMessengerError]] = [TaskMessengerError]
    while todo:
        error = todo.pop()
        if error.code == code and error is not IllegalTransition:
            return error
        todo += error.__subclasses__()
    return TaskMessengerError


def no_task(task_id: int) -> NotFound:
    """There is no task of this id, in words."""
    return NotFound(f"there is no task {task_id}: it was never submitted, or is older than the manager keeps")
