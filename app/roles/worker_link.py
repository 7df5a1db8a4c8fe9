"""The manager's end of a worker's session: turns its messages into stimuli, after looking at them closely.

A worker may be wrong or malicious. What could hurt the pool (columns of unequal length, unreadable errors) is
stopped here; what only the pool can judge (whose lease it was) is judged there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from math import isfinite
from time import time
from typing import Final, NamedTuple

import anyio
import msgspec

from ..config.model import MAX_PAYLOAD
from ..core import stimuli as s
from ..core.errors import PeerError, Refused
from ..core.stimuli import How
from ..core.text import printable
from ..handle import ErrorInfo
from ..net import messages as m
from ..net.session import Session
from .deliver import Delivery, Link
from .inbox import WORKERS_SHARE, Inbox, weight_of
from .results import AT_ONCE, bad_in_parts, bad_results, without

MAX_KINDS: Final = 1_000
MAX_KIND: Final = 64
"""Characters of the name of a kind."""
MAX_DESCRIPTION: Final = 200
"""Characters of the description of a kind."""
MAX_EXAMPLE: Final = 1_024
"""Bytes of an example of a payload."""
MAX_BROKEN: Final = 64
"""Kinds that cannot be used of which a worker may tell."""
MAX_BROKEN_NAME: Final = 256
MAX_BROKEN_WHY: Final = 1_024
"""Characters of a name, which may be a file's, and of a reason."""
MAX_LABELS: Final = 64
MAX_STUCK: Final = 64
"""Tasks that do not end of which a worker may tell."""
MAX_SLOTS: Final = 65_536
MAX_MESSAGE: Final = 2_048
"""Characters of an error's message that are kept."""
MAX_STACK: Final = 16_384
MAX_EVIDENCE: Final = 65_536
MAX_OUTPUT: Final = 16_384
"""Bytes of a running task's newest output that are kept."""
MAX_TOLD: Final = 4_096
"""Running tasks of one worker whose progress is kept; beyond that the oldest word is forgotten."""
MAX_NUMBER: Final = 2**63 - 1
"""Highest task id or attempt that can be: they are stored."""
MAX_SECONDS: Final = 1e10
"""Longest time that an attempt can have run."""
HELD_PART: Final = 4_000
"""Leases of a worker that are compared with the pool's in one go."""
MAX_HELD: Final = 150_000
"""Leases that a worker may hold, and outcomes that it may still have to send, together."""
RENEW_SECONDS: Final = 1.0
"""Least time between two certificates for one worker."""
_ENDS: Final = frozenset(int(how) for how in How) - {How.SUCCEEDED}
_read_error: Final = msgspec.msgpack.Decoder(ErrorInfo)
_encode: Final = msgspec.msgpack.Encoder().encode


class Told(NamedTuple):
    """What a running attempt says of itself."""

    attempt: int
    fraction: float | None = None
    note: str = ""
    output: bytes = b""
    """The newest of what it wrote."""
    written: int = 0
    """Bytes of output, up to the end of that."""


class WorkerLink(Link):
    """One connected worker."""

    def __init__(
        self,
        number: int,
        worker: str,
        session: Session,
        inbox: Inbox,
        delivery: Delivery,
        renew: Callable[[bytes], Awaitable[bytes]],
        max_result: int = MAX_PAYLOAD,
    ) -> None:
        super().__init__(session)
        self.number, self.worker = number, worker
        self.labels: dict[str, str] = {}
        self.version = ""
        self.left = False
        """It has said that it does not come back."""
        self.kinds: frozenset[str] = frozenset()
        self.about: dict[str, tuple[str, bytes]] = {}
        """What it says of its kinds: a description and a payload that works."""
        self.broken: dict[str, str] = {}
        """Kinds that it does not offer because they cannot be used, and why."""
        self.progress: dict[int, Told] = {}
        """Of running tasks: what they say of themselves."""
        self._inbox, self._delivery, self._renew = inbox, delivery, renew
        self._max_result = max_result
        self._renewed = float("-inf")
        self._held = 0
        """How many leases it has said to hold so far, while more follow."""

    async def handle(self, messages: list[m.Message]) -> None:
        """Take what arrived. Waits for room only when far more is there than workers have credit for."""
        for message in messages:
            if isinstance(message, m.Beat):
                self._inbox.beat(self.number)
                continue
            if isinstance(message, m.RenewMe):
                await self._on_renew(message)
                continue
            bad = None
            if isinstance(message, m.Finished) and len(message.results) == 1:
                (result,) = message.results
                bad = await bad_in_parts(result, self._max_result) if len(result) > AT_ONCE else None
            for stimulus in self._stimuli(message, bad):
                await self._inbox.put(stimulus, _weight(stimulus), share=WORKERS_SHARE)

    async def _on_renew(self, message: m.RenewMe) -> None:
        """The next certificate; or the end of the session, for somebody who is no longer a member."""
        now = anyio.current_time()
        if now - self._renewed < RENEW_SECONDS:
            raise PeerError("asked for one certificate after the other")
        self._renewed = now
        try:
            self.send(m.Renewed(await self._renew(message.request)))
        except Refused as error:
            self.cut(error.code, str(error))

    def _stimuli(self, message: m.Message, bad: Mapping[int, bytes] | None = None) -> Iterator[s.Stimulus]:
        """`bad`: results of a `Finished` that cannot be taken, where they were looked at already."""
        match message:
            case m.Finished():
                yield from self._finished(message, bad)
            case m.Broke():
                yield self._broke(message)
            case m.Output():
                yield s.Wrote(self.number, _written(message.pieces))
            case m.Started():
                _check_leases(message.tasks, message.attempts)
                yield s.Started(self.number, message.tasks, message.attempts)
            case m.Offer():
                yield self._offered(message)
            case m.Holding():
                yield from self._holds(message)
            case m.Goodbye(code="left"):
                self.left = True
                yield s.WorkerLeft(self.number)
            case _:
                self._note(message)

    def _holds(self, message: m.Holding) -> Iterator[s.Holding]:
        """In parts that hold up the pool for a moment only, each with whether more follows."""
        _check_leases(message.tasks, message.attempts)
        self._held += len(message.tasks)
        if self._held > MAX_HELD:
            raise PeerError(f"more than {MAX_HELD:,} leases and outcomes")
        leases = list(zip(message.tasks, message.attempts, strict=True))
        for start in range(0, max(1, len(leases)), HELD_PART):
            end = start + HELD_PART
            yield s.Holding(self.number, leases[start:end], more=message.more or end < len(leases))
        if not message.more:
            self._held = 0

    def _note(self, message: m.Message) -> None:
        """What the pool need not know."""
        if isinstance(message, m.Progress):
            self._progressed(message)
        elif isinstance(message, m.Steered):
            self._delivery.confirm(self.number, message.sequence)

    def _finished(
        self, message: m.Finished, bad: Mapping[int, bytes] | None
    ) -> Iterator[s.Finished | s.Broke]:
        _check_leases(message.tasks, message.attempts)
        _same_length(message.tasks, message.results, message.seconds)
        _check_seconds(message.seconds)
        for task in message.tasks if self.progress else ():
            self.progress.pop(task, None)
        bad = bad_results(message.results, self._max_result) if bad is None else bad
        if bad:
            yield s.Broke(
                self.number,
                [
                    (message.tasks[n], message.attempts[n], How.REFUSED, message.seconds[n], error)
                    for n, error in bad.items()
                ],
            )
            message = m.Finished(*(without(column, bad) for column in msgspec.structs.astuple(message)))
        yield s.Finished(self.number, message.tasks, message.attempts, message.results, message.seconds)

    def _broke(self, message: m.Broke) -> s.Broke:
        ends = []
        _check_leases([end[0] for end in message.ends], [end[1] for end in message.ends])
        _check_seconds([end[3] for end in message.ends])
        for task, attempt, how, seconds, error in message.ends:
            if how not in _ENDS:
                raise PeerError(f"no attempt ends by {how}")
            self.progress.pop(task, None)
            ends.append((task, attempt, How(how), seconds, _checked(error)))
        return s.Broke(self.number, ends)

    def _offered(self, message: m.Offer) -> s.Offered:
        if len(message.kinds) > MAX_KINDS or any(not 0 < len(kind) <= MAX_KIND for kind in message.kinds):
            raise PeerError(f"more than {MAX_KINDS} kinds, or a name of more than {MAX_KIND} characters")
        if not (0 <= message.capacity <= MAX_SLOTS and 0 <= message.limit <= 2 * MAX_SLOTS):
            raise PeerError(
                f"a capacity of {message.capacity} and a limit of {message.limit} are not credible"
            )
        kinds = frozenset(printable(kind, MAX_KIND) for kind in message.kinds)
        labels = list(message.labels.items())[:MAX_LABELS]
        self.labels = {printable(name, MAX_KIND): printable(value, 256) for name, value in labels}
        self.kinds = kinds
        self.broken = {
            printable(name, MAX_BROKEN_NAME): printable(why, MAX_BROKEN_WHY)
            for name, why in message.broken[:MAX_BROKEN]
        }
        if message.about:
            self.about = dict(_about(message.about, kinds))
        return s.Offered(
            self.number,
            kinds,
            kinds.intersection(message.isolated),
            message.capacity,
            message.limit,
            message.paused,
            _stuck(message.stuck, time()),
        )

    def _progressed(self, message: m.Progress) -> None:
        before = self.progress.pop(message.task, None)
        if before is None or before.attempt != message.attempt:
            before = Told(message.attempt)
        output, written = before.output, before.written
        if message.output:
            start = min(max(0, message.start), MAX_NUMBER)
            output = (output if start == written else b"") + message.output  # what lay between was left out
            written = start + len(message.output)
        fraction = message.fraction
        if fraction is not None:
            fraction = min(1.0, max(0.0, fraction)) if isfinite(fraction) else None
        note = printable(message.note, 256)
        self.progress[message.task] = Told(message.attempt, fraction, note, output[-MAX_OUTPUT:], written)
        if len(self.progress) > MAX_TOLD:
            del self.progress[next(iter(self.progress))]


def _written(pieces: list[m.Piece]) -> list[m.Piece]:
    """What attempts wrote, if it can be."""
    _check_leases([piece[0] for piece in pieces], [piece[1] for piece in pieces])
    if any(not 0 <= piece[2] <= MAX_NUMBER - len(piece[3]) for piece in pieces):
        raise PeerError("output at a place where none can be")
    return pieces


def _stuck(said: list[tuple[int, str, float]], wall: float) -> tuple[s.Stuck, ...]:
    """What does not end there, since when by our clock."""
    some = said[:MAX_STUCK]
    _check_leases([task for task, _, _ in some], [1] * len(some))
    _check_seconds([seconds for _, _, seconds in some])
    return tuple((task, printable(kind, MAX_KIND), wall - seconds) for task, kind, seconds in some)


def _about(
    said: list[tuple[str, str, bytes]], kinds: frozenset[str]
) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """What may be shown of what a worker says of its kinds."""
    for name, description, example in said[:MAX_KINDS]:
        if name in kinds:
            yield (
                name,
                (printable(description, MAX_DESCRIPTION), example if len(example) <= MAX_EXAMPLE else b""),
            )


def _weight(stimulus: s.Stimulus) -> int:
    match stimulus:
        case s.Finished():
            return weight_of(stimulus.results)
        case s.Broke():
            return weight_of(end[4] for end in stimulus.ends)
        case s.Wrote():
            return weight_of(piece[3] for piece in stimulus.pieces)
        case s.Started():
            return max(1, len(stimulus.tasks))
        case s.Holding():
            return max(1, len(stimulus.leases))
        case _:
            return 1


def _same_length(*columns: Sequence[object]) -> None:
    if len({len(column) for column in columns}) != 1:
        raise PeerError("columns of unequal length")


def _check_leases(tasks: list[int], attempts: list[int]) -> None:
    """Numbers that a lease can have; whether it was this worker's, the pool knows."""
    _same_length(tasks, attempts)
    for column in (tasks, attempts):
        if column and not (min(column) > 0 and max(column) <= MAX_NUMBER):
            raise PeerError("a task or attempt with a number that none can have")


def _check_seconds(column: list[float]) -> None:
    # A sum is finite only if all of it is, and comparisons can be trusted only then.
    if column and not (isfinite(sum(column)) and min(column) >= 0 and max(column) <= MAX_SECONDS):
        raise PeerError("an attempt that ran for a time that cannot be")


def _checked(error: bytes | None) -> bytes | None:
    """An error as it may be stored: readable, and not too long."""
    if error is None:
        return None
    try:
        info = _read_error.decode(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise PeerError(f"an error that cannot be read: {wrong}") from wrong
    if len(error) <= MAX_MESSAGE:
        return error
    evidence = {
        printable(name, MAX_KIND): value[-MAX_EVIDENCE:] if isinstance(value, str) else value
        for name, value in list(info.evidence.items())[:MAX_LABELS]
    }
    short = ErrorInfo(info.code[:MAX_KIND], info.message[:MAX_MESSAGE], info.stack[-MAX_STACK:], evidence)
    return _encode(short)
