"""A manager elsewhere: asks, submits, commands and waits over a session, and survives the manager's restarts.

Requests that change nothing, or that carry idempotency keys, are sent again after a lost link; a submission
without keys is not, because nobody could tell whether it was accepted.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from .core.errors import NotFound, PeerError, Refused, TaskMessengerError, UsageError
from .core.groups import the_one
from .handle import (
    Act,
    ActDone,
    Count,
    Group,
    InviteRow,
    Outcome,
    PendingRow,
    PoolStatus,
    TaskDetail,
    TaskOutput,
    TaskPage,
    TaskQuery,
    WorkerRow,
)
from .net import messages as m
from .net.client import Connected
from .net.line import Dial, Line, Lost

__all__ = ["Lost", "OnOutcomes", "Remote", "attach"]

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 15.0
"""How often those still waited for are asked about, should a push have been missed."""
WATCH_CHUNK: Final = 10_000
"""Ids in one `Watch` or `GetOutcomes`."""
FETCH_CHUNK: Final = 100
"""Ids in one question for those that came without results."""
MAX_SUBMIT: Final = 64 * 1024 * 1024
"""Bytes of payloads in one submission."""

APPROVE: Final = "approve"
"""What managers offer that know of members to be approved."""
ONCE: Final = frozenset({"resubmit", "edit"})
"""Acts that make new tasks: done a second time they would make them twice."""

OnOutcomes = Callable[[list[Outcome]], None]


class Questions:
    """What changes nothing and is answered in one message."""

    def __init__(self, line: Line) -> None:
        self.ask = line.ask
        """Sends a request and waits for its answer; for what has no method here."""

    async def page(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        return (await self.ask(lambda n: m.FindTasks(n, query), m.Page)).page

    async def count(self, query: TaskQuery, most: int) -> Count:
        """How many tasks match; counting stops at `most`, and when it takes too long."""
        return (await self.ask(lambda n: m.CountTasks(n, query, most), m.Counted)).count

    async def detail(self, task_id: int, payload_limit: int = 4096) -> TaskDetail:
        """One task."""
        return (await self.ask(lambda n: m.GetTask(n, task_id, payload_limit), m.Detail)).detail

    async def output(self, task_id: int, attempt: int = 0) -> TaskOutput:
        """What is kept of what an attempt wrote; 0 for the newest that wrote something."""
        return (await self.ask(lambda n: m.GetOutput(n, task_id, attempt), m.OutputIs)).output

    async def status(self) -> PoolStatus:
        """The fleet at a glance."""
        return (await self.ask(lambda n: m.Ask(n, "status"), m.Status)).status

    async def workers(self) -> list[WorkerRow]:
        """Everyone who may run tasks."""
        return (await self.ask(lambda n: m.Ask(n, "workers"), m.Workers)).workers

    async def invites(self) -> list[InviteRow]:
        """All invites, newest first."""
        return (await self.ask(lambda n: m.Ask(n, "invites"), m.Invites)).invites

    async def pending(self) -> list[PendingRow]:
        """Members that wait for approval, oldest first."""
        facts = (await self.ask(lambda n: m.Ask(n, "pending"), m.Facts)).facts
        try:
            return msgspec.msgpack.decode(facts, type=list[PendingRow])
        except msgspec.DecodeError as error:
            raise PeerError(f"what the manager says cannot be read: {error}") from error


class Remote(Questions):
    """A client's or operator's view of a manager. Make one with `attach`."""

    def __init__(self, dial: Dial, patience: float, welcome: m.Welcome) -> None:
        self.on_outcomes: OnOutcomes | None = None
        """Called with outcomes of watched tasks as they come; one may come twice."""
        self._line = Line(dial, patience, welcome, self._tell)
        super().__init__(self._line)
        self._watched: dict[int, None] = {}
        self._early: set[int] = set()
        """Ended before we were told that they were accepted: a short message overtakes a long one."""
        self._submitting = 0
        """Submissions with `watch` that are not answered yet; while there are none nothing comes early."""
        self._collecting: list[dict[int, Outcome]] = []
        self._epoch = welcome.epoch
        self._put_back: dict[int, NotFound] = {}
        """Tasks that were waited for when the manager's data were put back."""
        self._tasks: TaskGroup | None = None

    @property
    def welcome(self) -> m.Welcome:
        """What the manager said when it let us in."""
        return self._line.welcome

    @property
    def connected(self) -> bool:
        """Whether there is a session just now."""
        return self._line.connected is not None

    @property
    def failed(self) -> TaskMessengerError | None:
        """Why there will be no session any more."""
        return self._line.failed

    async def keep(self, first: Connected, tasks: TaskGroup) -> None:
        """Serve until cancelled or out of patience. `attach` does this."""
        self._tasks = tasks
        await self._line.keep(first, self._returned)

    def _returned(self) -> None:
        if self.welcome.epoch != self._epoch:
            self._epoch = self.welcome.epoch
            self._forget_watched()
        if self._watched and self._tasks is not None:
            self._tasks.start_soon(self._watch_again)

    def _forget_watched(self) -> None:
        """These numbers are of a life of the data that is over: what has them now is something else."""
        lost, self._watched = self._watched, {}
        self._put_back = {one: _put_back(one) for one in lost}
        self._early.clear()
        self._line.wake()

    def _tell(self, message: m.Outcomes) -> None:
        if message.without_result:
            assert self._tasks is not None
            self._tasks.start_soon(self._fetch, message.without_result)
        for outcome in message.outcomes:
            if outcome.id in self._watched:
                del self._watched[outcome.id]
            elif self._submitting:
                self._early.add(outcome.id)
        for found in self._collecting:
            found.update({one.id: one for one in message.outcomes})
        if message.outcomes and self.on_outcomes is not None:
            self.on_outcomes(message.outcomes)

    async def _fetch(self, ids: list[int]) -> None:
        with _whoever_waits_sees():
            for start in range(0, len(ids), FETCH_CHUNK):
                await self.ask(partial(m.GetOutcomes, ids=ids[start : start + FETCH_CHUNK]), m.Outcomes)

    async def _watch_again(self) -> None:
        with _whoever_waits_sees():
            await self._watch(list(self._watched))

    async def _watch(self, ids: list[int]) -> None:
        for start in range(0, len(ids), WATCH_CHUNK):
            await self.ask(partial(m.Watch, ids=ids[start : start + WATCH_CHUNK]), m.Outcomes)

    # ---- what can be asked ------------------------------------------------------------------------------

    async def submit(self, groups: Sequence[Group], *, watch: bool = False) -> m.Submitted:
        """New tasks; returns when they are durable, with one id for each payload in order.

        `watch`: `on_outcomes` is told how they end.
        """
        again = all(group.keys is not None for group in groups)
        if sum(len(body) for group in groups for body in group.payloads) > MAX_SUBMIT:
            raise UsageError(
                f"a submission has at most {MAX_SUBMIT:,} bytes of payloads: hand them in in parts"
            )

        def note(answer: m.Message) -> None:
            if watch and isinstance(answer, m.Submitted):
                self._watched |= dict.fromkeys(i for i in answer.ids if i not in self._early)

        self._submitting += watch
        try:
            answer = await self.ask(
                lambda n: m.Submit(n, list(groups), watch), m.Submitted, again=again, then=note
            )
        finally:
            self._submitting -= watch
            if not self._submitting:
                self._early.clear()
        if watch and answer.duplicates:  # of those that had ended before nobody would be told again
            await self._watch(answer.ids)
        return answer

    async def wait(self, ids: Iterable[int]) -> None:
        """Until all of these have ended; `on_outcomes` is told of each. The caller bounds the wait."""
        left = list(dict.fromkeys(ids))
        self._watched.update(dict.fromkeys(left))
        all_of_them = left.copy()
        while left:
            await self._watch(left)
            with anyio.move_on_after(POLL_SECONDS):
                while (left := _still(left, self._watched)) and self._line.failed is None:
                    await self._line.news.wait()
            if left and self._line.failed is not None:
                raise self._line.failed
            left = [one for one in left if one in self._watched]
        for one in all_of_them if self._put_back else ():
            if one in self._put_back:
                raise self._put_back[one]

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of these tasks, those that have ended."""
        found: dict[int, Outcome] = {}
        wanted = set(ids)
        self._collecting.append(found)
        try:
            for start in range(0, len(ids), WATCH_CHUNK):
                part = list(ids[start : start + WATCH_CHUNK])
                await self.ask(partial(m.GetOutcomes, ids=part), m.Outcomes)
        finally:
            self._collecting = [one for one in self._collecting if one is not found]
        return [one for task_id, one in sorted(found.items()) if task_id in wanted]

    async def make_invite(
        self, uses: int, ttl: float, role: str = "worker", *, approve: bool = False, ephemeral: bool = False
    ) -> m.InviteMade:
        """A new invite: its text is shown this once.

        Raises:
            Refused: the manager is too old for one with conditions: it would make one without.
        """
        if (approve or ephemeral) and APPROVE not in self.welcome.offers:
            version = self.welcome.version
            raise Refused(f"the manager's version {version} knows no such invites: update it")
        make = partial(m.MakeInvite, uses=uses, ttl=ttl, role=role, approve=approve, ephemeral=ephemeral)
        return await self.ask(make, m.InviteMade, again=False)

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        await self.ask(lambda n: m.RevokeInvite(n, invite_id), m.Done)

    async def act(self, act: Act) -> ActDone:
        """Carry out a command; on everything that matches a query, a part of it: see `handle.acting`."""
        again = act.verb not in ONCE
        return (await self.ask(lambda n: m.Do(n, act), m.Did, again=again)).done

    async def command(
        self, verb: str, *, ids: Sequence[int] = (), scope: str = "", deadline: float = 0.0
    ) -> list[int]:
        """`cancel`, `retry` (ids); `pause`, `resume` (scope); `drain`, `revoke`, `approve` (id as scope)."""
        make = m.Command
        return (await self.ask(lambda n: make(n, verb, list(ids), scope, deadline), m.Done)).ids


def _put_back(task_id: int) -> NotFound:
    return NotFound(
        f"the manager's data were put back to an older moment, and nothing is known of task {task_id} there:"
        " see `taskmessenger task ls`, then submit again what is missing"
    )


def _still(ids: list[int], watched: Container[int]) -> list[int]:
    """The same list without those at its end that are not watched any more: empty when none is."""
    while ids and ids[-1] not in watched:
        ids.pop()
    return ids


@contextmanager
def _whoever_waits_sees() -> Iterator[None]:
    """For what is asked in the background: if it fails, those who wait ask again, or fail as well."""
    try:
        yield
    except TaskMessengerError as error:
        log.info("outcomes could not be asked for: %s", error)


@asynccontextmanager
async def attach(dial: Dial, *, patience: float = 0.0) -> AsyncIterator[Remote]:
    """A session with a manager, for as long as the block lasts.

    `patience`: seconds to wait for a manager that goes away to come back; 0 fails at once.

    Raises:
        Unreachable: there is none. Refused: it does not want us.
    """
    first = await dial()
    remote = Remote(dial, patience, first.welcome)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(remote.keep, first, tasks)
            yield remote
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise the_one(group) from None
