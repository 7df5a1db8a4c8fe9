"""What operators and clients command, carried out: each act becomes a stimulus, or a call to the manager.

Rights are checked here: a client cancels and retries, everything else is for operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, Protocol

import anyio

from ..config.describe import documented
from ..core import effects as e
from ..core import stimuli as s
from ..core.errors import NotFound, Refused, TaskMessengerError, UsageError, by_code
from ..core.text import printable
from ..handle import Act, ActDone
from ..handle.filters import filter_of
from ..net.bounds import MAX_IDS
from .audit import HERE, Actor, Audit
from .copies import Copies
from .deliver import Delivery
from .door import LOCAL
from .settings_past import SET
from .task_acts import TASK_VERBS, Keeper, TaskActs
from .writer import Writer

MAX_NAME: Final = 256
"""Characters of a scope, a batch, an idempotency key."""
MAX_KIND: Final = 64
MAX_SECONDS: Final = 10 * 365 * 86400.0
MAX_ID: Final = 2**63 - 1
SLICE: Final = 5_000
"""Tasks that are decided on in one go."""
IDS_UNIT: Final = 100
"""Ids of a command that weigh as much as a task."""
STEER_SECONDS: Final = 2.0
"""How long the answer to a pause waits for workers to confirm it; one that is cut off cannot."""
SHOWN_IDS: Final = 1_000
"""Ids in the answer to an act."""
AUDITED_IDS: Final = 20
"""Ids in a row of the audit."""
MAX_SLOTS: Final = 100_000
_AT_THE_MACHINE: Final = frozenset({"backup", SET})
"""Acts that touch files of the manager's machine."""
_CLIENT_MAY: Final = frozenset({"cancel", "retry"})


class Chief(Keeper, Protocol):
    """What commands need of the manager besides its pool."""

    async def revoke(self, peer_id: str) -> None: ...

    async def approve(self, peer_id: str) -> None: ...

    async def retry(self, ids: Sequence[int]) -> list[int]: ...

    @property
    def audit(self) -> Audit:
        """Where it is written down."""
        ...

    @property
    def copies(self) -> Copies:
        """What makes backups."""
        ...


class Acts:
    """Carries out commands."""

    def __init__(self, writer: Writer, delivery: Delivery, chief: Chief) -> None:
        self._writer, self._delivery, self._chief = writer, delivery, chief
        self._tasks = TaskActs(writer, delivery, chief)
        self._audit = chief.audit

    async def do(self, act: Act, actor: Actor) -> ActDone:
        """Carry it out for somebody; returns when it is durable. However it ends, the audit has a row of it.

        Of an act on everything that matches a query this is one part; see `ActDone.next`.

        Raises:
            Refused: not for this role. UsageError, NotFound, Conflict: it makes no sense here.
        """
        if act.query is None:
            ids = await self.ids(act, actor)
            return ActDone(len(ids), ids[:SHOWN_IDS])
        note = partial(self._audit.record, actor, act.verb, _number(act), matching=filter_of(act.query))
        try:
            _check_role(act, actor.role)
            if act.verb not in TASK_VERBS:
                raise UsageError(f"`{printable(act.verb)}` is not done to tasks: give a scope, not a filter")
            done = await self._tasks.on_matching(act)
        except TaskMessengerError as error:
            await note(outcome=f"refused: {error}")
            raise
        await note(count=done.count, more=done.next is not None)
        return done

    async def ids(self, act: Act, actor: Actor) -> list[int]:
        """The same for an act without a query; answers with all ids that it applied to."""
        what = f"{act.scope or _shown(act.ids)} {_number(act)}".strip()
        note = partial(self._audit.record, actor, act.verb, what)
        try:
            done = await self._ids(act, actor)
        except TaskMessengerError as error:
            await note(outcome=f"refused: {error}")
            raise
        await note(count=len(done))
        return done

    async def _ids(self, act: Act, actor: Actor) -> list[int]:
        _check_role(act, actor.role)
        if act.verb in _AT_THE_MACHINE and actor.who not in {LOCAL, HERE.who}:
            raise Refused(
                f"`{act.verb}` is for operators at the manager's machine, not for members elsewhere"
            )
        ids = checked_ids(act.ids)
        if act.verb == "cancel":
            return [done for part in in_slices(ids) for done in (await self._operate(s.Cancel(part))).ids]
        if act.verb == "retry":
            return await self._chief.retry(ids)
        if act.verb in TASK_VERBS:
            return await self._tasks.on_ids(act, ids)
        return await self._steer(act)

    async def _steer(self, act: Act) -> list[int]:
        """Whatever has a scope instead of tasks."""
        match act.verb:
            case "pause":
                await self._operate(s.Pause(checked_scope(act.scope)))
                await self._in_force()
            case "resume":
                await self._operate(s.Resume(checked_scope(act.scope)))
            case "limit":
                await self._limit(worker_of(act.scope), act.number)
            case "drain":
                seconds = min(max(0.0, act.number), MAX_SECONDS)
                await self._operate(s.Drain(worker_of(act.scope), seconds))
            case "revoke":
                await self._chief.revoke(worker_of(act.scope))
            case "approve":
                await self._chief.approve(worker_of(act.scope))
            case "backup":
                await self._chief.copies.make(act.scope, with_authority=bool(act.number))
            case "set":
                _checked_setting(act.scope)  # the file is written by who asks: this is for the audit
            case _:
                raise UsageError(f"`{printable(act.verb)}` is not a command of this manager")
        return []

    async def _limit(self, worker: str, number: float) -> None:
        known = worker in self._writer.pool.workers or worker in await self._chief.desk.members()
        if not known:
            raise NotFound(f"there is no worker {printable(worker)}: see `taskmessenger worker ls`")
        if not (float(number).is_integer() and -1 <= number <= MAX_SLOTS):
            raise UsageError(f"a limit is a whole number from 0 to {MAX_SLOTS:,}, or -1 for none")
        await self._operate(s.Limit(worker, None if number < 0 else int(number)))

    async def _operate(self, stimulus: s.Cancel | s.Pause | s.Resume | s.Drain | s.Limit) -> e.Done:
        return await operate(self._writer, self._delivery, stimulus)

    async def _in_force(self) -> None:
        """Until the workers have confirmed what they were just told, or a moment has passed."""
        with anyio.move_on_after(STEER_SECONDS):
            await self._delivery.confirmed()


def _check_role(act: Act, role: str) -> None:
    if role != "operator" and act.verb not in _CLIENT_MAY:
        raise Refused(f"`{printable(act.verb)}` is for operators; this certificate is a {role}'s")


def _number(act: Act) -> str:
    return f"{act.number:g}" if act.verb in {"drain", "limit", "set_priority"} else ""


def _shown(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - AUDITED_IDS} more" if len(ids) > AUDITED_IDS else ""
    return " ".join(map(str, ids[:AUDITED_IDS])) + more


async def operate(
    writer: Writer,
    delivery: Delivery,
    stimulus: s.Cancel | s.Pause | s.Resume | s.Drain | s.Limit | s.Watch | s.Retry,
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


def worker_of(scope: str) -> str:
    """The worker that a scope names, with or without `worker:` before it.

    Raises:
        UsageError: it names none.
    """
    worker = scope.removeprefix("worker:")[:MAX_NAME]
    if not worker:
        raise UsageError("which worker? its name is empty")
    return worker


def checked_scope(scope: str) -> str:
    """A scope that can be paused: `all`, `kind:NAME` or `worker:ID`."""
    what, _, name = scope.partition(":")
    named = what in {"kind", "worker"} and 0 < len(name) <= MAX_NAME and name.isprintable()
    if scope != "all" and not named:
        raise UsageError(
            f"`{printable(scope)}` is no scope that can be paused: those are all, kind:NAME and worker:ID"
        )
    return scope


def _checked_setting(text: str) -> None:
    """`KEY = VALUE`, of a setting that there is."""
    if text.partition(" = ")[0] not in documented("manager"):
        raise UsageError(f"`{printable(text)}` is no setting of a manager with its value")


def checked_ids(ids: Sequence[int]) -> list[int]:
    """Numbers that tasks can have, and not too many of them."""
    if len(ids) > MAX_IDS:
        raise UsageError(f"more than {MAX_IDS:,} ids at once: ask in parts")
    if ids and not (min(ids) > 0 and max(ids) <= MAX_ID):
        raise NotFound("there is no task of such a number: ids are whole numbers from 1 up")
    return list(ids)


def in_slices(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """So few at a time that nobody waits long for what is decided on them; at least one part."""
    for start in range(0, max(1, len(ids)), SLICE):
        yield ids[start : start + SLICE]
