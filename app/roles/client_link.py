"""The manager's end of a client's or operator's session: submissions, questions, commands.

Rights: a client submits, watches, reads, cancels and retries; everything else is for operators. A request is
answered exactly once: with what it asked for, or with a `Failure` that names the cure.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from ..core import stimuli as s
from ..core.errors import Refused, TaskMessengerError, UsageError, no_task
from ..handle import Act, InviteRow, Outcome, TaskOutput, WorkerRow
from ..net import messages as m
from ..net.session import Session
from .acts import MAX_ID, Acts, Chief, checked_ids, in_slices, operate
from .audit import AUDIT, Actor, told_invite
from .deliver import OUTCOME_BYTES, Delivery, Link, in_parts
from .desk import Desk
from .submission import Gate, Submission
from .view import ManagerView
from .writer import Writer

log = logging.getLogger(__name__)

FIRST_LOOK: Final = 16
"""Outcomes read from the store at first; then more or fewer, as their results turn out small or large."""
MOST_LOOK: Final = 256
EVENT_IDS: Final = 100_000
"""Ids of tasks that one answer about events names, beyond those of its first event."""
LOOK_BYTES: Final = 1024 * 1024
"""Of results, to be read at a time; about."""


class Office(Gate, Chief, Protocol):
    """What a session needs of the manager besides tasks."""

    @property
    def buffers(self) -> int:
        """Bytes of messages that all sessions may hold together."""
        ...

    @property
    def view(self) -> ManagerView:
        """What consoles look at."""
        ...

    async def make_invite(self, wish: m.MakeInvite) -> tuple[str, InviteRow]: ...

    async def revoke_invite(self, invite_id: str) -> None: ...

    async def invites(self) -> list[InviteRow]: ...

    async def workers(self) -> list[WorkerRow]: ...

    async def member_left(self, peer_id: str) -> None: ...

    async def outcomes(self, ids: Sequence[int], most: int | None = None) -> list[Outcome]: ...


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
        self.actor = Actor("", role)
        """For the audit."""
        self._writer, self._delivery, self._desk, self._office = writer, delivery, desk, office
        self._acts = Acts(writer, delivery, office)
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
            case _:
                await self._for_console(message)

    async def _submit(self, message: m.Submit) -> None:
        def answer(ids: list[int], duplicates: int, error: TaskMessengerError | None) -> None:
            if error is not None:
                self.send(m.Failure(message.request, error.code, str(error)))
            else:
                self.send(m.Submitted(message.request, ids, duplicates))

        watch = self.number if message.watch else None
        submission = Submission(self._writer, self._delivery, self._office, watch)
        await submission.put(message.groups, answer)

    async def _watch(self, message: m.Watch) -> None:
        """Those that have ended are told at once, with the answer; the others when they end."""
        ids = checked_ids(message.ids)
        known = set[int]()
        for part in in_slices(ids):
            known.update((await operate(self._writer, self._delivery, s.Watch(part, self.number))).ids)
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
            async with self._delivery.looking:
                seen, size, found = await self._look(request, ids[start : start + look])
            start += seen
            self._told += len(found)
            told.update(found)
            look = min(MOST_LOOK, look * 4) if size < LOOK_BYTES // 4 else max(1, look // 4)
        return told

    async def _look(self, request: int, ids: Sequence[int]) -> tuple[int, int, list[int]]:
        """Send what is known of the first of these: says how many, how many bytes, and which have ended."""
        found = await self._office.outcomes(ids, LOOK_BYTES)
        for part in in_parts(found):
            self.send(m.Outcomes(request, part))
        results = sum(len(one.result or b"") for one in found)
        seen = ids.index(found[-1].id) + 1 if results >= LOOK_BYTES else len(ids)
        return seen, results + OUTCOME_BYTES * len(found), [one.id for one in found]

    async def _command(self, message: m.Command) -> None:
        act = Act(message.verb, tuple(message.ids), scope=message.scope, number=message.deadline)
        self.send(m.Done(message.request, await self._acts.ids(act, self.actor)))

    async def _for_console(self, message: m.Message) -> None:
        """What consoles ask besides."""
        match message:
            case m.Look():
                self._operators_only("a look at the fleet")
                self.send(await self._office.view.look(message))
            case m.Do():
                self.send(m.Did(message.request, await self._acts.do(message.act, self.actor)))
            case m.GetOutput():
                self.send(m.OutputIs(message.request, await self._output(message)))
            case m.CountTasks():
                most = max(1, message.most)
                self.send(m.Counted(message.request, await self._desk.count(message.query, most)))

    def _operators_only(self, what: str) -> None:
        if self.role != "operator":
            raise Refused(f"{what} is for operators; this certificate is a {self.role}'s")

    async def _detail(self, message: m.GetTask) -> None:
        checked_ids([message.task])
        found = await self._desk.detail(message.task, max(0, min(message.payload_limit, MAX_ID)))
        if found is None:
            raise no_task(message.task)
        self.send(m.Detail(message.request, found))

    async def _output(self, message: m.GetOutput) -> TaskOutput:
        checked_ids([message.task])
        found = await self._desk.output(message.task, max(0, min(message.attempt, MAX_ID)))
        if not found.written and await self._desk.detail(message.task, 0) is None:
            raise no_task(message.task)
        return found

    async def _answer(self, message: m.Ask) -> None:
        match message.what:
            case "status":
                self.send(m.Status(message.request, await self._desk.fresh_status()))
            case "workers":
                self.send(m.Workers(message.request, await self._office.workers()))
            case "invites" if self.role == "operator":
                self.send(m.Invites(message.request, await self._office.invites()))
            case _ if self.role == "operator" and message.what.startswith(AUDIT):
                self.send(m.Facts(message.request, await self._office.audit.asked(message.what)))
            case _ if self.role == "operator":
                self.send(m.Facts(message.request, await self._office.view.facts(message.what)))
            case _:
                raise UsageError(f"nothing is known here of `{message.what}`")

    async def _invite(self, message: m.MakeInvite | m.RevokeInvite) -> None:
        revoked = message.invite if isinstance(message, m.RevokeInvite) else ""
        note = partial(self._office.audit.record, self.actor, "revoke invite" if revoked else "invite")
        try:
            self._operators_only("an invite")
            if isinstance(message, m.RevokeInvite):
                await self._office.revoke_invite(message.invite)
                answer: m.Message = m.Done(message.request)
                told = revoked
            else:
                text, row = await self._office.make_invite(message)
                answer, told = m.InviteMade(message.request, text, row), told_invite(row)
        except TaskMessengerError as error:
            await note(revoked, outcome=f"refused: {error}")
            raise
        await note(told)
        self.send(answer)

    def _events(self, message: m.GetEvents) -> None:
        page = self._writer.journal.since(max(0, message.cursor), max(1, min(message.limit, 1000)))
        events: list[tuple[str, str, list[int], str]] = []
        told = 0
        for _, (what, who, tasks, why) in page.events:
            told += len(tasks)
            if events and told > EVENT_IDS:
                break  # the rest is for the next question
            events.append((what, who, list(tasks), why))
        cursor = page.cursor - len(page.events) + len(events)
        self.send(m.Events(message.request, events, cursor, page.missed))
