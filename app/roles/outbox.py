"""What a worker has to tell its manager: gathered, kept on disk, sent in batches, sent again if need be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from time import monotonic
from typing import Final, TypeVar

import anyio
import msgspec

from ..core.finality import FOR_GOOD
from ..core.stimuli import How
from ..core.text import count
from ..net import messages as m
from ..net.framing import in_frames
from ..runtimes.base import CANCELLED, CRASHED, FAILED, STUCK, SUCCEEDED, TIMED_OUT, Ended
from .outputs import Outputs, Written, pieces, send_pieces
from .spool import Kept, Spool

log = logging.getLogger(__name__)

RESEND_BATCH: Final = 256
"""Outcomes in one message when they are sent again."""
WINDOW_BYTES: Final = 32 * 1024 * 1024
"""Outcomes on their way, sent and not acknowledged: bounds what waits in the memory of either side. A single
one may be larger."""
MAX_OUTPUT: Final = 64 * 1024
HELD_BYTES: Final = 256 * 1024
"""Of outcomes that wait for company before they are sent; more leave at once."""
RECORD_BYTES: Final = 32
"""Of one outcome besides its result or error, about."""
_HOWS: Final = {
    SUCCEEDED: How.SUCCEEDED,
    TIMED_OUT: How.TIMED_OUT,
    CRASHED: How.CRASHED,
    CANCELLED: How.CANCELLED,
    STUCK: How.STUCK,
}
_HERE: Final = frozenset({"worker_fault", "overloaded", "stuck"})
"""Errors that say something of this worker, and nothing of the task."""
_output: Final = attrgetter("output")
_encode: Final = msgspec.msgpack.Encoder().encode
_Key = tuple[int, int]
_End = tuple[int, int, int, float, bytes | None]
_T = TypeVar("_T")
COLUMN: Final = 1_024
"""Rows of numbers in one message: with the largest ones they are less than a frame."""


def local_fault(ended: Ended) -> str:
    """Why this worker could not run it, when that is no fault of the task's; empty otherwise."""
    if ended.status == FAILED and ended.error is not None and ended.error.code in _HERE:
        return ended.error.message
    return ""


class Outbox:
    """One worker's news. `waiting` says when to `keep` it, on disk; it leaves with `flush`, then or later."""

    def __init__(self, spool: Spool, max_output: int = MAX_OUTPUT) -> None:
        """`max_output`: bytes of the end of what an attempt writes that go with its outcome."""
        self.send: Callable[[m.Message], None] | None = None
        """Where to: None while there is no session."""
        self.done = self.failed = 0
        self.outputs = Outputs(max_output)
        self._spool = spool
        self._started: dict[int, int] = {}
        self.since: float | None = None
        """When the oldest of what `flush` would send was kept, or began (monotonic)."""
        self.quiet: Callable[[], bool] | None = None
        """Asked whether `waiting` need not return for what has begun, or is kept; None: it does."""
        self._ended: list[Kept] = []
        self.held: dict[_Key, Kept] = {}
        """Kept on disk, and sent by the next `flush`."""
        self._held_bytes = 0
        self._released: list[tuple[int, int, int, float, bytes | None]] = []
        self._wrote: list[m.Piece] = []
        """What those had written."""
        self._unkept: dict[_Key, Kept] = {}
        """Outcomes that found no room on the disk: in memory, which is better than nothing."""
        self._backlog: dict[_Key, None] = {}
        """Kept, and not sent in this session: the window is full."""
        self._on_the_way = 0
        """Bytes of what is sent and not acknowledged."""
        self._filled = anyio.Event()

    @property
    def unacknowledged(self) -> int:
        """Outcomes that the manager may not have."""
        return len(self._spool) + len(self._unkept) + len(self._ended)

    @property
    def keys(self) -> list[_Key]:
        """Task and attempt of those."""
        return [*self._spool.keys, *self._unkept, *((one.task, one.attempt) for one in self._ended)]

    @property
    def urgent(self) -> bool:
        """Whether what `flush` would send must not wait: leases that go back, or much to hold in memory."""
        return bool(self._released) or self._held_bytes > HELD_BYTES

    @property
    def full(self) -> bool:
        """Whether no more work should be taken, nor begun: there may be no room for what comes of it."""
        return self._spool.full or bool(self._unkept)

    def started(self, task: int, attempt: int) -> None:
        """An attempt runs. Not told when it is over before the next flush."""
        self._started[task] = attempt
        if self.quiet is None or not self.quiet():
            self._filled.set()

    def ended(self, task: int, attempt: int, ended: Ended, *, keep: bool = False) -> None:
        """An attempt is over. With `keep` it is on disk in this moment, else when `waiting` has returned."""
        self._started.pop(task, None)
        wrote = self.outputs.take(task, attempt) if self.outputs.by_task else None
        if ended.status == SUCCEEDED:
            self.done += 1
            self._ended.append(Kept(task, attempt, 0, ended.seconds, ended.result, wrote))
        else:
            self.failed += 1
            how = _HOWS.get(ended.status, How.FAILED)
            error = ended.error
            if error is not None and error.code in FOR_GOOD:
                how = How.REFUSED
            body = None if error is None else _encode(error)
            self._ended.append(Kept(task, attempt, int(how), ended.seconds, body, wrote))
        if keep:
            self.keep()
            if self.quiet is not None and self.quiet():
                return
        self._filled.set()

    def released(self, leases: list[_Key], how: How = How.RELEASED) -> None:
        """Given back without an outcome. Not kept: after a reconnect the manager sees that they are gone."""
        for task, attempt in leases:
            self._started.pop(task, None)
            self._released.append((task, attempt, int(how), 0.0, None))
            if self.outputs.by_task and (wrote := self.outputs.take(task, attempt)) is not None:
                self._wrote += pieces(task, attempt, wrote)
        if leases:
            self._filled.set()

    def acknowledged(self, tasks: list[int], attempts: list[int]) -> None:
        """The manager has these, or does not want them. The columns are of equal length."""
        keys = list(zip(tasks, attempts, strict=True))
        if self.held:
            gone = [key for key in keys if self.held.pop(key, None) is not None]
            self._held_bytes = max(0, self._held_bytes - self._forget(gone))
        unsent = [key for key in keys if key in self._backlog] if self._backlog else []
        for key in unsent:
            del self._backlog[key]
        self._forget(unsent)
        self._on_the_way = max(0, self._on_the_way - self._forget(keys))
        if self._backlog:
            self._pump()

    def _forget(self, keys: list[_Key]) -> int:
        """Drop these; says how many bytes they had."""
        total = self._spool.drop(keys)
        for key in keys if self._unkept else ():
            one = self._unkept.pop(key, None)
            total += _size(one) if one is not None else 0
        return total

    async def waiting(self) -> None:
        """Until there is something to keep or to tell."""
        await self._filled.wait()
        self._filled = anyio.Event()

    def wake(self) -> None:
        """Have `waiting` return, whether there is anything new or not."""
        self._filled.set()

    def keep(self) -> None:
        """Put what has ended on disk, where it survives this process; it is sent by `flush`."""
        if self.since is None and (self._ended or self._started or self._released):
            self.since = monotonic()
        if self._ended:
            self._held_bytes += self._keep(self._ended)
            self.held |= {(one.task, one.attempt): one for one in self._ended}
            self._ended = []

    def flush(self) -> None:
        """Keep what has ended on disk, then send all news."""
        self.keep()
        self.since = None
        ended, self.held = list(self.held.values()), {}
        size, self._held_bytes = self._held_bytes, 0
        if self.send is None:
            self._started.clear()
            self._released.clear()
            self._wrote.clear()
            return
        if self._started:
            for part, _ in in_columns(list(self._started.items())):
                self.send(m.Started(*part))
            self._started = {}
        if self._wrote:
            send_pieces(self.send, self._wrote)
            self._wrote = []
        if self._released:
            for rows in batched(self._released):
                self.send(m.Broke(rows))
            self._released = []
        if not ended:
            return
        if self._backlog or (self._on_the_way and self._on_the_way + size > WINDOW_BYTES):
            self._backlog |= dict.fromkeys((one.task, one.attempt) for one in ended)
            self._pump()
            return
        self._on_the_way += size
        send_outcomes(self.send, ended)

    def forget(self) -> int:
        """What is here belongs to a life that is over; says how many outcomes that were."""
        keys = self.keys
        self._spool.drop(self._spool.keys)
        for news in (self._started, self._ended, self.held, self._released, self._unkept, self._backlog):
            news.clear()
        self._wrote.clear()
        self._on_the_way = self._held_bytes = 0
        self.since = None
        return len(keys)

    def resume(self, leases: list[_Key], begun: list[_Key]) -> None:
        """The first words of a session: what this worker has, and what has run out of the manager's sight."""
        assert self.send is not None
        for part, more in in_columns([*leases, *self.keys]):
            self.send(m.Holding(*part, more))
        for part, _ in in_columns(begun) if begun else ():
            self.send(m.Started(*part))
        self.resend()

    def resend(self) -> None:
        """After a reconnect: everything that was never acknowledged, as far as the window reaches."""
        self._on_the_way = 0
        self._backlog = dict.fromkeys([*self._spool.keys, *self._unkept])
        self._pump()

    def _keep(self, ended: list[Kept]) -> int:
        if log.isEnabledFor(logging.DEBUG):
            for one in ended:
                how = How(one.how).name.lower()
                log.debug("task %d: attempt %d %s after %.3g s", one.task, one.attempt, how, one.seconds)
        try:
            return _add(self._spool, ended)
        except OSError as error:
            log.warning(
                "%s not kept on disk (%s): free some space",
                count(len(ended), "outcome is", "outcomes are"),
                error.strerror,
            )
            self._unkept |= {(one.task, one.attempt): one for one in ended}
            return sum(map(_size, ended))

    def _pump(self) -> None:
        """Send from the backlog until the window is full; a large outcome is read when its turn has come."""
        while self._backlog and self.send is not None and self._on_the_way < WINDOW_BYTES:
            keys: list[_Key] = []
            room = WINDOW_BYTES - self._on_the_way
            for key in self._backlog:
                size = self._size_of(key)
                if len(keys) == RESEND_BATCH or (size > room and (keys or self._on_the_way)):
                    break
                keys.append(key)
                room -= size
            if not keys:
                return
            for key in keys:
                del self._backlog[key]
            found = [*self._spool.read(keys), *(self._unkept[key] for key in keys if key in self._unkept)]
            there = {(one.task, one.attempt) for one in found}
            self._on_the_way += sum(map(self._size_of, there))
            send_outcomes(self.send, found)
            self.released([key for key in keys if key not in there])

    def _size_of(self, key: _Key) -> int:
        one = self._unkept.get(key)
        return _size(one) if one is not None else self._spool.size(key)


def _size(one: Kept) -> int:
    return RECORD_BYTES + len(one.body or b"")


def _add(spool: Spool, ended: list[Kept]) -> int:
    """Onto the disk; what they wrote only while there is plenty of room.

    Raises:
        OSError: there is none.
    """
    if any(map(_output, ended)):
        try:
            if not spool.crowded:
                return spool.add(ended)
        except OSError as error:
            log.warning("the outcomes are kept on disk without output: %s", error.strerror)
        ended[:] = map(_without_output, ended)
    return spool.add(ended)


def _without_output(one: Kept) -> Kept:
    """The same outcome, and of what it wrote only how much that was."""
    if one.output is None:
        return one
    return msgspec.structs.replace(one, output=(one.output[0] + len(one.output[1]), b""))


def send_outcomes(send: Callable[[m.Message], None], outcomes: list[Kept]) -> None:
    """What they wrote, then successes in columns, small ones together and large ones alone, and the rest."""
    if any(map(_output, outcomes)):
        wrote = [(one.task, one.attempt, Written(*one.output)) for one in outcomes if one.output is not None]
        send_pieces(send, (piece for one in wrote for piece in pieces(*one)))
    ends = [(one.task, one.attempt, one.how, one.seconds, one.body) for one in outcomes if one.how]
    for some in in_frames(ends, _size_of_end):
        send(m.Broke(some))
    for good in in_frames([one for one in outcomes if not one.how], _size):
        send(
            m.Finished(
                [one.task for one in good],
                [one.attempt for one in good],
                [one.body or b"\xc0" for one in good],
                [one.seconds for one in good],
            )
        )


def _size_of_end(end: _End) -> int:
    return RECORD_BYTES + len(end[4] or b"")


def batched(rows: list[_T]) -> Iterator[list[_T]]:
    """As many at a time as fit into one frame, whatever their numbers."""
    for start in range(0, len(rows), COLUMN):
        yield rows[start : start + COLUMN]


def in_columns(leases: Sequence[_Key]) -> Iterator[tuple[tuple[list[int], list[int]], bool]]:
    """Tasks and attempts, as many as fit into one frame, and whether more follow. At least one part."""
    for start in range(0, max(1, len(leases)), COLUMN):
        part = leases[start : start + COLUMN]
        yield ([task for task, _ in part], [attempt for _, attempt in part]), start + COLUMN < len(leases)
