"""The manager's end of a client's or operator's session: submissions, questions, commands.

Rights: a client submits, watches, reads, cancels and retries; everything else is for operators. A request is
answered exactly once: with what it asked for, or with a `Failure` that names the cure.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Final, Protocol

import anyio

from ..core import effects as e
from ..core import stimuli as s
from ..core.errors import NotFound, Refused, TaskMessengerError, UsageError, by_code
from ..core.text import printable
from ..handle import Group, InviteRow, Outcome, WorkerRow
from ..net import messages as m
from ..net.session import Session
from .deliver import OUTCOME_BYTES, Delivery, Link, in_parts
from .desk import Desk
from .inbox import weight_of
from .writer import Writer

log = logging.getLogger(__name__)

MAX_KIND: Final = 64
MAX_KEY: Final = 256
"""Characters of an idempotency key, and of a batch name."""
MAX_PRIORITY: Final = 100
MAX_ATTEMPTS: Final = 1_000
MAX_SECONDS: Final = 10 * 365 * 86400.0
MAX_TASKS: Final = 100_000
"""Tasks in one submission: they are decided on in one go, and everybody else waits for that."""
MAX_IDS: Final = 1_000_000
"""Tasks in one command or question."""
MAX_ID: Final = 2**63 - 1
IDS_UNIT: Final = 100
"""Ids of a command that weigh as much as a task."""
FIRST_LOOK: Final = 16
"""Outcomes read from the store at first; then more or fewer, as their results turn out small or large."""
MOST_LOOK: Final = 256
LOOK_BYTES: Final = 1024 * 1024
"""Of results, to be read at a time; about."""
STEER_SECONDS: Final = 2.0
"""How long the answer to a pause waits for workers to confirm it; one that is cut off cannot."""
_CLIENT_MAY: Final = frozenset({"cancel", "retry"})


class Office(Protocol):
    """What a session needs of the manager besides tasks."""

    @property
    def max_payload(self) -> int: ...

    @property
    def max_attempts(self) -> int:
        """Of a task that does not say."""
        ...

    def accepting(self) -> None:
        """Raise the reason why nothing new is accepted now."""
        ...

    async def make_invite(self, wish: m.MakeInvite) -> tuple[str, InviteRow]: ...

    async def revoke_invite(self, invite_id: str) -> None: ...

    async def invites(self) -> list[InviteRow]: ...

    async def revoke(self, peer_id: str) -> None: ...

    async def workers(self) -> list[WorkerRow]: ...

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]: ...

    async def retry(self, ids: Sequence[int]) -> list[int]: ...


class ClientLink(Link):
    """One connected client or operator."""

    def __init__(
        self,
        number: int,
        role: str,
        session: Session,
        writer: Writer,
        delivery: Delivery,
        desk: Desk,
        office: Office,
    ) -> None:
        super().__init__(session)
        self.number, self.role = number, role
        self._writer, self._delivery, self._desk, self._office = writer, delivery, desk, office
        self._told = 0

    async def handle(self, messages: list[m.Message]) -> None:
        """Take what arrived, one request after the other; waiting here slows the sender down.

        Nothing is answered while the answers before it wait to be read: who does not read is cut off.
        """
        for message in messages:
            if isinstance(message, m.Beat | m.Goodbye) or not await self.room(self._delivery.outbox):
                continue
            try:
                await self._serve(message)
            except TaskMessengerError as error:
                request: int = getattr(message, "request", 0)
                self.send(m.Failure(request, error.code, str(error)))

    async def _serve(self, message: m.Message) -> None:
        match message:
            case m.Submit():
                await self._submit(message)
            case m.Watch():
                await self._watch(message)
            case m.Command():
                await self._command(message)
            case m.FindTasks():
                self.send(m.Page(message.request, await self._desk.page(message.query)))
            case m.GetTask():
                await self._detail(message)
            case m.GetOutcomes():
                await self._outcomes(message.request, checked_ids(message.ids))
                self.send(m.Outcomes(message.request, [], [], self._told))
            case m.GetEvents():
                self._events(message)
            case m.Ask():
                await self._answer(message)
            case m.MakeInvite() | m.RevokeInvite():
                await self._invite(message)

    async def _submit(self, message: m.Submit) -> None:
        self._office.accepting()
        if len(message.groups) + sum(len(group.payloads) for group in message.groups) > MAX_TASKS:
            raise UsageError(f"more than {MAX_TASKS:,} tasks in one submission: hand them in in parts")
        for group in message.groups:
            check_group(group, self._office.max_payload)
        collector = _Collector(self, message.request, len(message.groups))
        for place, group in enumerate(message.groups):
            stimulus = self._stimulus(group, collector, place, message)
            await self._writer.inbox.put(stimulus, weight_of(group.payloads))

    def _stimulus(self, group: Group, collector: _Collector, place: int, message: m.Submit) -> s.Submit:
        options = s.Options(
            kind=group.kind,
            priority=group.priority,
            timeout=group.timeout,
            max_attempts=self._office.max_attempts if group.max_attempts is None else group.max_attempts,
            batch=group.batch,
            target=group.worker,
        )
        digests = None
        if group.keys is not None:
            same = repr((options, group.delay)).encode()
            digests = [
                hashlib.blake2b(body, digest_size=16, key=_fold(same)).digest() for body in group.payloads
            ]
        return s.Submit(
            options,
            group.payloads,
            group.keys,
            digests,
            delay=group.delay,
            reply=self._delivery.expect(lambda effect: collector.take(place, effect)),
            watch=self.number if message.watch else None,
        )

    async def _watch(self, message: m.Watch) -> None:
        """Those that have ended are told at once, with the answer; the others when they end."""
        ids = checked_ids(message.ids)
        known = set((await self._operate(s.Watch(ids, self.number))).ids)
        known |= await self._outcomes(message.request, [i for i in ids if i not in known])
        unknown = next((i for i in ids if i not in known), None)
        if unknown is not None:
            raise no_task(unknown)
        self.send(m.Outcomes(message.request, [], [], self._told))

    async def _outcomes(self, request: int, ids: Sequence[int]) -> set[int]:
        """Send what is known of these, as fast as it is read; says which have ended. `_told` counts them."""
        told: set[int] = set()
        self._told, start, look = 0, 0, FIRST_LOOK
        while start < len(ids) and await self.room(self._delivery.outbox):
            found = await self._office.outcomes(ids[start : start + look])
            start += look
            for part in in_parts(found):
                self._told += len(part)
                self.send(m.Outcomes(request, part))
            told.update(one.id for one in found)
            size = sum(OUTCOME_BYTES + len(one.result or b"") for one in found)
            look = min(MOST_LOOK, look * 4) if size < LOOK_BYTES // 4 else max(1, look // 4)
        return told

    async def _command(self, message: m.Command) -> None:
        if self.role != "operator" and message.verb not in _CLIENT_MAY:
            raise Refused(f"`{message.verb}` is for operators; this certificate is a {self.role}'s")
        ids = checked_ids(message.ids)
        match message.verb:
            case "cancel":
                done = (await self._operate(s.Cancel(ids))).ids
            case "retry":
                done = await self._office.retry(ids)
            case "pause":
                done = (await self._operate(s.Pause(checked_scope(message.scope)))).ids
                await self._in_force()
            case "resume":
                done = (await self._operate(s.Resume(checked_scope(message.scope)))).ids
            case "drain":
                seconds = min(max(0.0, message.deadline), MAX_SECONDS)
                done = (await self._operate(s.Drain(message.scope[:MAX_KEY], seconds))).ids
            case "revoke":
                await self._office.revoke(message.scope)
                done = []
            case _:
                raise UsageError(f"`{message.verb}` is not a command of this manager")
        self.send(m.Done(message.request, done))

    async def _operate(self, stimulus: s.Cancel | s.Pause | s.Resume | s.Drain | s.Watch) -> e.Done:
        return await operate(self._writer, self._delivery, stimulus)

    async def _in_force(self) -> None:
        """Until the workers have confirmed what they were just told, or a moment has passed."""
        with anyio.move_on_after(STEER_SECONDS):
            await self._delivery.confirmed()

    async def _detail(self, message: m.GetTask) -> None:
        checked_ids([message.task])
        found = await self._desk.detail(message.task, max(0, min(message.payload_limit, MAX_ID)))
        if found is None:
            raise no_task(message.task)
        self.send(m.Detail(message.request, found))

    async def _answer(self, message: m.Ask) -> None:
        match message.what:
            case "status":
                self.send(m.Status(message.request, self._desk.status()))
            case "workers":
                self.send(m.Workers(message.request, await self._office.workers()))
            case "invites" if self.role == "operator":
                self.send(m.Invites(message.request, await self._office.invites()))
            case _:
                raise UsageError(f"nothing is known here of `{message.what}`")

    async def _invite(self, message: m.MakeInvite | m.RevokeInvite) -> None:
        if self.role != "operator":
            raise Refused(f"invites are for operators; this certificate is a {self.role}'s")
        if isinstance(message, m.RevokeInvite):
            await self._office.revoke_invite(message.invite)
            self.send(m.Done(message.request))
            return
        text, row = await self._office.make_invite(message)
        self.send(m.InviteMade(message.request, text, row))

    def _events(self, message: m.GetEvents) -> None:
        page = self._writer.journal.since(max(0, message.cursor), max(1, min(message.limit, 1000)))
        events = [(what, who, list(tasks), why) for what, who, tasks, why in page.events]
        self.send(m.Events(message.request, events, page.cursor, page.missed))


class _Collector:
    """Gathers the answers to the groups of one submit."""

    def __init__(self, link: ClientLink, request: int, groups: int) -> None:
        self._link, self._request, self._missing = link, request, groups
        self._ids: dict[int, list[int]] = {}
        self._duplicates = 0
        self._rejected: e.Rejected | None = None
        if not groups:
            link.send(m.Submitted(request, []))

    def take(self, place: int, effect: e.Accepted | e.Rejected | e.Done) -> None:
        """One group was decided on."""
        self._missing -= 1
        if isinstance(effect, e.Accepted):
            self._ids[place] = effect.ids
            self._duplicates += effect.duplicates
        elif isinstance(effect, e.Rejected):
            self._rejected = self._rejected or effect
        if self._missing:
            return
        if self._rejected is not None:
            taken = sum(map(len, self._ids.values()))
            note = f" ({taken} tasks of other groups were accepted)" if taken else ""
            self._link.send(m.Failure(self._request, self._rejected.code, self._rejected.message + note))
            return
        ids = [task_id for _, ids in sorted(self._ids.items()) for task_id in ids]
        self._link.send(m.Submitted(self._request, ids, self._duplicates))


async def operate(
    writer: Writer, delivery: Delivery, stimulus: s.Cancel | s.Pause | s.Resume | s.Drain | s.Watch | s.Retry
) -> e.Done:
    """Have a stimulus decided on and stored, and wait for the answer.

    Raises:
        NotFound, Conflict, Overloaded: the pool said no.
    """
    answered = anyio.Event()
    answers: list[e.Accepted | e.Rejected | e.Done] = []

    def take(effect: e.Accepted | e.Rejected | e.Done) -> None:
        answers.append(effect)
        answered.set()

    stimulus.reply = delivery.expect(take)
    ids = getattr(stimulus, "ids", ())
    await writer.inbox.put(stimulus, 1 + len(ids) // IDS_UNIT)
    await answered.wait()
    answer = answers[0]
    if isinstance(answer, e.Rejected):
        raise by_code(answer.code)(answer.message)
    assert isinstance(answer, e.Done)
    return answer


def check_group(group: Group, max_payload: int) -> None:
    """Refuse what no pool should see.

    Raises:
        UsageError: names what is wrong with it.
    """
    if not 0 < len(group.kind) <= MAX_KIND or not group.kind.isprintable():
        raise UsageError(f"a kind has 1 to {MAX_KIND} printable characters")
    if not -MAX_PRIORITY <= group.priority <= MAX_PRIORITY:
        raise UsageError(f"priority {group.priority} is not between -{MAX_PRIORITY} and {MAX_PRIORITY}")
    if group.timeout is not None and not 0 < group.timeout <= MAX_SECONDS:
        raise UsageError(f"a timeout of {group.timeout:g} s makes no sense; give seconds above 0")
    if group.max_attempts is not None and not 1 <= group.max_attempts <= MAX_ATTEMPTS:
        raise UsageError(f"max_attempts is {group.max_attempts}, not between 1 and {MAX_ATTEMPTS}")
    if not 0 <= group.delay <= MAX_SECONDS:
        raise UsageError(f"a delay of {group.delay:g} s makes no sense")
    names = [group.batch or "", group.worker or "", *(group.keys or ())]
    if any(len(name) > MAX_KEY or not name.isprintable() for name in names):
        raise UsageError(f"keys, batches and worker ids have at most {MAX_KEY} printable characters")
    if group.keys is not None and len(group.keys) != len(group.payloads):
        raise UsageError(f"{len(group.keys)} keys were given for {len(group.payloads)} payloads")
    if any(not key for key in group.keys or ()):
        raise UsageError("an idempotency key must not be empty")
    largest = max(map(len, group.payloads), default=0)
    if largest > max_payload:
        raise UsageError(f"a payload of {largest} bytes is over this manager's limit of {max_payload} bytes")


def checked_scope(scope: str) -> str:
    """A scope that can be paused: `all`, `kind:NAME` or `worker:ID`."""
    what, _, name = scope.partition(":")
    named = what in {"kind", "worker"} and 0 < len(name) <= MAX_KEY and name.isprintable()
    if scope != "all" and not named:
        raise UsageError(
            f"`{printable(scope)}` is no scope that can be paused: those are all, kind:NAME and worker:ID"
        )
    return scope


def checked_ids(ids: list[int]) -> list[int]:
    """Numbers that tasks can have, and not too many of them."""
    if len(ids) > MAX_IDS:
        raise UsageError(f"more than {MAX_IDS:,} ids at once: ask in parts")
    if ids and not (min(ids) > 0 and max(ids) <= MAX_ID):
        raise NotFound("there is no task of such a number: ids are whole numbers from 1 up")
    return ids


def no_task(task_id: int) -> NotFound:
    """There is no task of this id, in words."""
    return NotFound(f"there is no task {task_id}: it was never submitted, or is older than the manager keeps")


def _fold(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()
