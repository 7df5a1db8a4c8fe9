"""Carries the effects of a decision to the sessions they are for. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol

import anyio
import msgspec

from ..core import effects as e
from ..core.effects import LeaseRow, OutcomeRow
from ..core.errors import PeerError, StoreBusy, StoreError, StoreFailed
from ..handle import ErrorInfo, Outcome
from ..net import messages as m
from ..net.framing import in_frames
from ..net.session import Session

log = logging.getLogger(__name__)

OUTCOME_BYTES: Final = 64
"""What is said about a result, besides the result; about."""
LEASE_BYTES: Final = 16
"""Likewise, about a payload."""
SMALL: Final = 1_024
"""Bytes up to which payloads are read from the store together."""
TOGETHER: Final = 500
"""How many of them."""
BUSY_SECONDS: Final = 1.0
"""Between two tries to read a payload while too many files are open."""
Reply = Callable[[e.Accepted | e.Rejected | e.Done], None]
_errors: Final = msgspec.msgpack.Decoder(ErrorInfo)


class Fetch(Protocol):
    """Reads payloads from the store; with `most`, only those of up to so many bytes."""

    async def __call__(self, ids: Sequence[int], most: int | None = None) -> dict[int, bytes]: ...


class Link:
    """The manager's end of a session, as far as delivery needs it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.told = ""
        """Why this side closed it, where that was decided; for the log."""
        self.crime = False
        """It is closed for something that its peer had no right to do."""

    def send(self, message: m.Message, *, urgent: bool = False) -> None:
        """Queue a message for the other side."""
        self.session.send(message, urgent=urgent)

    def close(self, code: str, message: str = "") -> None:
        """Say goodbye once everything else is said."""
        self.session.close(code, message)

    def cut(self, code: str, message: str = "") -> None:
        """Say goodbye at once, and listen no more: the other side is not wanted."""
        self.session.cut(code, message)

    @property
    def pending(self) -> int:
        """Bytes that wait to be sent."""
        return self.session.wire.pending

    async def room(self, most: int) -> bool:
        """Wait until at most `most` bytes wait to be sent; False when the session ended instead."""
        return await self.session.room(most)


class Delivery:
    """Knows who is at which session, and who waits for which answer."""

    def __init__(
        self,
        fetch: Fetch,
        start: Callable[[Callable[..., Coroutine[Any, Any, None]], e.Assign], None],
        outbox: int,
    ) -> None:
        """`start` runs a coroutine function beside everything else.

        `outbox`: bytes that may wait for a slow reader before it is sent no more results.
        """
        self.links: dict[int, Link] = {}
        self.unconfirmed: dict[int, int] = {}
        """Orders to workers that are not known to be in force: sequence number to session."""
        self.on_damaged: Callable[[int, int, int], None] = lambda _session, _task, _attempt: None
        """Told session, task and attempt of a lease whose payload cannot be read any more."""
        self.looking = anyio.Lock()
        """One reads results from the store at a time, so that no more are in memory than are counted."""
        self._replies: dict[int, Reply] = {}
        self.outbox = outbox
        self._fetch, self._start = fetch, start
        self._next_reply = 0
        self._next_steer = 0
        self._confirmed = anyio.Event()

    def expect(self, reply: Reply) -> int:
        """A number for a stimulus whose answer goes to `reply`, once."""
        self._next_reply += 1
        self._replies[self._next_reply] = reply
        return self._next_reply

    def act(self, effects: list[e.Effect]) -> None:
        """Carry out what was decided and stored."""
        for effect in effects:
            if isinstance(effect, (e.Accepted, e.Rejected, e.Done)):
                reply = self._replies.pop(effect.reply, None)
                if reply is not None:
                    reply(effect)
                continue
            link = self.links.get(effect.watch if isinstance(effect, e.Tell) else effect.session)
            if link is not None:
                self._to_link(link, effect)

    def _to_link(
        self, link: Link, effect: e.Assign | e.Ack | e.EndLeases | e.Tell | e.Steer | e.Disconnect
    ) -> None:
        match effect:
            case e.Assign():
                if any(row[3] is None for row in effect.leases):
                    self._start(self._fetch_and_assign, effect)
                else:
                    send_leases(link, effect.leases)
            case e.Ack():
                link.send(m.Ack(effect.tasks, effect.attempts))
            case e.Tell():
                self._tell(link, effect.outcomes)
            case e.EndLeases():
                link.send(m.EndLeases([i for i, _ in effect.leases], [a for _, a in effect.leases]))
            case e.Steer():
                self._next_steer += 1
                self.unconfirmed[self._next_steer] = effect.session
                link.send(m.Steer(self._next_steer, effect.verb, effect.scope, effect.deadline))
            case e.Disconnect():
                link.told, link.crime = effect.message, effect.code == PeerError.code
                link.cut(effect.code, effect.message)

    def forget(self, session: int) -> None:
        """The session has ended."""
        self.links.pop(session, None)
        for sequence in [number for number, of in self.unconfirmed.items() if of == session]:
            del self.unconfirmed[sequence]
        self._wake()

    def confirm(self, session: int, sequence: int) -> None:
        """A worker says that an order is in force."""
        if self.unconfirmed.get(sequence) == session:
            del self.unconfirmed[sequence]
            self._wake()

    async def confirmed(self) -> None:
        """Until every order given so far is in force, or its worker gone. The caller bounds the wait."""
        waiting = set(self.unconfirmed)
        while waiting & self.unconfirmed.keys():
            await self._confirmed.wait()

    def _wake(self) -> None:
        self._confirmed.set()
        self._confirmed = anyio.Event()

    async def _fetch_and_assign(self, effect: e.Assign) -> None:
        """Payloads that are not in memory come from the store: small ones together, others one at a time.

        All wait until the link can take them. A lease whose payload is gone is not sent: it ends when the
        worker next says what it holds. One whose payload is damaged ends at once, for good: it would be
        damaged for every other worker too.
        """
        link = self.links.get(effect.session)
        if link is None:
            return
        send_leases(link, [row for row in effect.leases if row[3] is not None])
        rows = [row for row in effect.leases if row[3] is None]
        for start in range(0, len(rows), TOGETHER):
            part = rows[start : start + TOGETHER]
            if not (await link.room(self.outbox) and await self._assign_part(link, effect.session, part)):
                return

    async def _assign_part(self, link: Link, session: int, rows: Sequence[LeaseRow]) -> bool:
        """False when there is nothing more to do for this session."""
        try:
            small = await self._fetch([row[0] for row in rows], SMALL)
        except StoreError:
            small = {}  # whose fault it is shows when each is read by itself
        send_leases(link, [(*row[:3], small[row[0]]) for row in rows if row[0] in small])
        for row in rows:
            if row[0] in small:
                continue
            if not await link.room(self.outbox):
                return False
            try:
                payload = await self._payload(row[0])
            except StoreFailed as error:
                log.warning("the payload of task %d cannot be read: %s", row[0], error)
                link.cut("store", "the manager cannot read the payloads of some tasks: come back later")
                return False
            except StoreError as error:
                log.warning("the payload of task %d is damaged: %s", row[0], error)
                self.on_damaged(session, row[0], row[1])
                continue
            if payload is not None:
                send_leases(link, [(*row[:3], payload)])
        return True

    async def _payload(self, task: int) -> bytes | None:
        """Of one task, from the store; that too many files are open is waited out."""
        while True:
            try:
                return (await self._fetch([task])).get(task)
            except StoreBusy:
                await anyio.sleep(BUSY_SECONDS)

    def _tell(self, link: Link, rows: list[OutcomeRow]) -> None:
        """Outcomes with their results; without, for a reader that is behind."""
        if link.pending > self.outbox:
            link.send(m.Outcomes(0, [], [row[0] for row in rows]))
            return
        for part in in_parts([outcome(row) for row in rows]):
            link.send(m.Outcomes(0, part))


def in_parts(outcomes: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    """Small ones together; a large one alone, so that they can take turns on the wire."""
    return in_frames(outcomes, lambda one: OUTCOME_BYTES + len(one.result or b""))


def send_leases(link: Link, rows: Sequence[LeaseRow]) -> None:
    """Small ones together, by kind; a large one alone."""
    for part in in_frames(rows, _size_of_lease):
        kinds: dict[str, list[m.Lease]] = {}
        for task_id, attempt, options, payload in part:
            assert payload is not None
            kinds.setdefault(options.kind, []).append((task_id, attempt, options.timeout, payload))
        link.send(m.Assign(list(kinds.items())))


def _size_of_lease(row: LeaseRow) -> int:
    return LEASE_BYTES + len(row[3] or b"")


def outcome(row: OutcomeRow) -> Outcome:
    """As it is sent; an error that cannot be read is still an error."""
    task_id, state, attempt, worker, result, error, seconds = row
    return Outcome(task_id, state, attempt, worker, result, read_error(error), seconds)


def read_error(error: bytes | None) -> ErrorInfo | None:
    """The error in a stored blob."""
    if error is None:
        return None
    try:
        return _errors.decode(error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ErrorInfo("unknown", "the error could not be read")
