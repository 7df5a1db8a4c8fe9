"""A manager elsewhere: asks, submits, commands and waits over a session, and survives the manager's restarts.

Requests that change nothing, or that carry idempotency keys, are sent again after a lost link; a submission
without keys is not, because nobody could tell whether it was accepted.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from .core.errors import Conflict, PeerError, Refused, TaskMessengerError, TimedOut, Unreachable, by_code
from .handle import (
    Group,
    InviteRow,
    Outcome,
    PoolStatus,
    TaskDetail,
    TaskPage,
    TaskQuery,
    WorkerRow,
)
from .net import messages as m
from .net.client import Connected
from .net.session import Ended

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 60.0
"""How long an answer may take; a submission may wait that long for room."""
POLL_SECONDS: Final = 15.0
"""How often those still waited for are asked about, should a push have been missed."""
WATCH_CHUNK: Final = 10_000
"""Ids in one `Watch`."""
RETRY_FIRST: Final = 0.1
RETRY_CEILING: Final = 2.0
_M = TypeVar("_M", bound=m.Message)

Dial = Callable[[], Awaitable[Connected]]
OnOutcomes = Callable[[list[Outcome]], None]
Then = Callable[[m.Message], None]


class Lost(Unreachable):
    """The link went while an answer was awaited."""


class _Request:
    __slots__ = ("answer", "answered", "then")

    def __init__(self, then: Then | None) -> None:
        self.answered = anyio.Event()
        self.answer: m.Message | TaskMessengerError | None = None
        self.then = then

    def settle(self, answer: m.Message | TaskMessengerError) -> None:
        self.answer = answer
        if self.then is not None and not isinstance(answer, TaskMessengerError):
            self.then(answer)
        self.answered.set()


class Line:
    """The session that carries questions and answers, and the next session when one is lost."""

    def __init__(
        self, dial: Dial, patience: float, welcome: m.Welcome, heard: Callable[[m.Outcomes], None]
    ) -> None:
        self.welcome = welcome
        self.failed: TaskMessengerError | None = None
        """Why there will be no session any more."""
        self.news = anyio.Event()
        """Set, and replaced, when outcomes came or the line failed."""
        self.connected: Connected | None = None
        """None while the manager is away."""
        self._dial, self._patience, self._heard = dial, patience, heard
        self._requests: dict[int, _Request] = {}
        self._next = 0
        self._up = anyio.Event()

    async def keep(self, first: Connected, returned: Callable[[], None]) -> None:
        """Serve the session, and the next one, until cancelled or out of patience.

        `returned` is called whenever a session stands.
        """
        connected: Connected | None = first
        while connected is not None:
            self.connected, self.welcome = connected, connected.welcome
            self._up.set()
            returned()
            try:
                await connected.session.run(self._handle)
            except Ended as error:
                if error.reason == "refused":
                    self._give_up(Refused(str(error)))
                    return
            except TaskMessengerError as error:
                log.info("the link to the manager is lost: %s", error)
            finally:
                self.connected = None
                self._up = anyio.Event()
                await connected.session.aclose()
            self._fail_requests(Lost("the link to the manager was lost before it answered"))
            connected = await self._dial_again()

    async def _dial_again(self) -> Connected | None:
        deadline, wait = anyio.current_time() + self._patience, RETRY_FIRST
        while True:
            if anyio.current_time() >= deadline:
                self._give_up(Unreachable(_gone(self._patience)))
                return None
            try:
                return await self._dial()
            except (Refused, Conflict) as error:
                self._give_up(error)
                return None
            except TaskMessengerError:
                await anyio.sleep(min(wait, max(0.0, deadline - anyio.current_time())))
                wait = min(RETRY_CEILING, wait * 1.5)

    def _give_up(self, error: TaskMessengerError) -> None:
        self.failed = error
        self._up.set()
        self._fail_requests(error)
        self._spread()

    def _spread(self) -> None:
        self.news.set()
        self.news = anyio.Event()

    def _fail_requests(self, error: TaskMessengerError) -> None:
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.settle(error)

    async def _handle(self, messages: list[m.Message]) -> None:
        for message in messages:
            if isinstance(message, m.Outcomes):
                self._heard(message)
                self._spread()
            number: int = getattr(message, "request", 0)
            request = self._requests.pop(number, None)
            if request is not None:
                request.settle(message)

    async def ask(
        self,
        make: Callable[[int], m.Message],
        wanted: type[_M],
        *,
        again: bool = True,
        seconds: float = REQUEST_SECONDS,
        then: Then | None = None,
    ) -> _M:
        """Send a request and wait for its answer; `then` gets it before anything that came after it.

        Raises:
            Unreachable, TimedOut, or what the manager answered.
        """
        with anyio.move_on_after(seconds + self._patience):
            while True:
                await self._up.wait()
                if self.failed is not None:
                    raise self.failed
                connected = self.connected
                if connected is None:
                    await anyio.lowlevel.checkpoint()
                    continue
                self._next += 1
                request = self._requests[self._next] = _Request(then)
                connected.session.send(make(self._next))
                await request.answered.wait()
                if isinstance(request.answer, Lost) and again and self._patience:
                    continue
                return _expect(request.answer, wanted)
        raise TimedOut(f"the manager did not answer within {seconds:g} s")


class Remote:
    """A client's or operator's view of a manager. Make one with `attach`."""

    def __init__(self, dial: Dial, patience: float, welcome: m.Welcome) -> None:
        self.on_outcomes: OnOutcomes | None = None
        """Called with outcomes of watched tasks as they come; one may come twice."""
        self._line = Line(dial, patience, welcome, self._tell)
        self._ask = self._line.ask
        self._watched: dict[int, None] = {}
        self._tasks: TaskGroup | None = None

    @property
    def welcome(self) -> m.Welcome:
        """What the manager said when it let us in."""
        return self._line.welcome

    @property
    def connected(self) -> bool:
        """Whether there is a session just now."""
        return self._line.connected is not None

    async def keep(self, first: Connected, tasks: TaskGroup) -> None:
        """Serve until cancelled or out of patience. `attach` does this."""
        self._tasks = tasks
        await self._line.keep(first, self._returned)

    def _returned(self) -> None:
        if self._watched and self._tasks is not None:
            self._tasks.start_soon(self._watch_again)

    def _tell(self, message: m.Outcomes) -> None:
        if message.without_result:
            assert self._tasks is not None
            self._tasks.start_soon(self._fetch, message.without_result)
        for outcome in message.outcomes:
            self._watched.pop(outcome.id, None)
        if message.outcomes and self.on_outcomes is not None:
            self.on_outcomes(message.outcomes)

    async def _fetch(self, ids: list[int]) -> None:
        for start in range(0, len(ids), 100):
            await self._ask(partial(m.GetOutcomes, ids=ids[start : start + 100]), m.Outcomes)

    async def _watch_again(self) -> None:
        await self._watch(list(self._watched))

    async def _watch(self, ids: list[int]) -> None:
        for start in range(0, len(ids), WATCH_CHUNK):
            await self._ask(partial(m.Watch, ids=ids[start : start + WATCH_CHUNK]), m.Outcomes)

    # ---- what can be asked ------------------------------------------------------------------------------

    async def submit(self, groups: Sequence[Group], *, watch: bool = False) -> m.Submitted:
        """New tasks; returns when they are durable, with one id for each payload in order.

        `watch`: `on_outcomes` is told how they end.
        """
        again = all(group.keys is not None for group in groups)

        def note(answer: m.Message) -> None:
            if watch and isinstance(answer, m.Submitted):
                self._watched |= dict.fromkeys(answer.ids)

        answer = await self._ask(
            lambda n: m.Submit(n, list(groups), watch), m.Submitted, again=again, then=note
        )
        if watch and answer.duplicates:  # of those that had ended before nobody would be told again
            await self._watch(answer.ids)
        return answer

    async def wait(self, ids: Iterable[int]) -> None:
        """Until all of these have ended; `on_outcomes` is told of each. The caller bounds the wait."""
        self._watched |= dict.fromkeys(ids)
        while self._watched:
            await self._watch_again()
            with anyio.move_on_after(POLL_SECONDS):
                while self._watched and self._line.failed is None:
                    await self._line.news.wait()
            if self._line.failed is not None:
                raise self._line.failed

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of these tasks, those that have ended."""
        found: dict[int, Outcome] = {}
        before = self.on_outcomes

        def take(outcomes: list[Outcome]) -> None:
            found.update({one.id: one for one in outcomes})
            if before is not None:
                before(outcomes)

        self.on_outcomes = take
        try:
            await self._ask(lambda n: m.GetOutcomes(n, list(ids)), m.Outcomes)
            wanted = set(ids)
        finally:
            self.on_outcomes = before
        return [one for task_id, one in sorted(found.items()) if task_id in wanted]

    async def page(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        return (await self._ask(lambda n: m.FindTasks(n, query), m.Page)).page

    async def detail(self, task_id: int, payload_limit: int = 4096) -> TaskDetail:
        """One task."""
        return (await self._ask(lambda n: m.GetTask(n, task_id, payload_limit), m.Detail)).detail

    async def status(self) -> PoolStatus:
        """The fleet at a glance."""
        return (await self._ask(lambda n: m.Ask(n, "status"), m.Status)).status

    async def workers(self) -> list[WorkerRow]:
        """Everyone who may run tasks."""
        return (await self._ask(lambda n: m.Ask(n, "workers"), m.Workers)).workers

    async def invites(self) -> list[InviteRow]:
        """All invites, newest first."""
        return (await self._ask(lambda n: m.Ask(n, "invites"), m.Invites)).invites

    async def make_invite(self, uses: int, ttl: float, role: str = "worker") -> m.InviteMade:
        """A new invite: its text is shown this once."""
        return await self._ask(lambda n: m.MakeInvite(n, uses, ttl, role), m.InviteMade, again=False)

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        await self._ask(lambda n: m.RevokeInvite(n, invite_id), m.Done)

    async def command(
        self, verb: str, *, ids: Sequence[int] = (), scope: str = "", deadline: float = 0.0
    ) -> list[int]:
        """`cancel`, `retry` (ids); `pause`, `resume` (scope); `drain`, `revoke` (a worker's id as scope)."""
        make = m.Command
        return (await self._ask(lambda n: make(n, verb, list(ids), scope, deadline), m.Done)).ids


def _expect(answer: m.Message | TaskMessengerError | None, wanted: type[_M]) -> _M:
    if isinstance(answer, wanted):
        return answer
    if isinstance(answer, TaskMessengerError):
        raise answer
    if isinstance(answer, m.Failure):
        raise by_code(answer.code)(answer.message)
    raise PeerError(f"the manager answered `{type(answer).__name__}` instead of `{wanted.__name__}`")


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
        raise _one_of(group) from None


def _one_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to raise for all that went wrong at once: errors of the link are told once, and last."""
    leaves: list[BaseException] = []
    todo: list[BaseException] = [group]
    while todo:
        error = todo.pop(0)
        if isinstance(error, BaseExceptionGroup):
            todo += error.exceptions
        else:
            leaves.append(error)
    others = [error for error in leaves if not isinstance(error, TaskMessengerError)]
    if len(others) > 1:
        return group
    return others[0] if others else leaves[0]


def _gone(patience: float) -> str:
    if not patience:
        return "the link to the manager was lost: is it still running?"
    return f"the manager did not come back within {patience:g} s"
