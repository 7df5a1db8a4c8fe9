"""`Attached`: a manager elsewhere as a `NodeHandle`, over a session that comes back by itself.

Asks for what is new four times a second while somebody looks. While the manager is away the last that was
known of it stays, marked as such. Runs on the event loop of the session; a console holds a `Guest` of it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from time import time
from typing import Any, Final, TypeVar

import anyio
import msgspec
from msgspec.structs import replace

from .core.errors import PeerError, Refused, TaskMessengerError, TimedOut, Unreachable, UsageError
from .feed import Feed
from .handle import (
    MAX_EVENTS,
    Act,
    ActDone,
    Alarm,
    Count,
    EventPage,
    Group,
    History,
    InviteRow,
    KindRow,
    KindSchema,
    NetworkInfo,
    Outcome,
    PendingRow,
    PoolStatus,
    SessionRow,
    SettingRow,
    Snapshot,
    TaskDetail,
    TaskPage,
    TaskQuery,
    WorkerPast,
    WorkerRow,
)
from .handle.acting import act_on_all
from .net import messages as m
from .net.line import Dial
from .remote import Remote, attach

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
ANSWER_SECONDS: Final = 10.0
"""For the answer to a look; a link that is slower shows nothing that is of use."""
ACT_SECONDS: Final = 60.0
"""For the answer to everything else."""
LOOK: Final = "look"
WORKER: Final = "worker "
"""Before the id in the question for its past."""
_PARTS: Final[dict[str, Any]] = {
    "fleet": PoolStatus,
    "kinds": tuple[KindRow, ...],
    "alarms": tuple[Alarm, ...],
    "history": History,
    "workers": tuple[WorkerRow, ...],
    "sessions": tuple[SessionRow, ...],
}
_M = TypeVar("_M", bound=m.Message)


class _Asker:
    """Asks a manager that may be away."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._begun = False
        """The manager has answered once."""

    async def ask(
        self, make: Callable[[int], m.Message], wanted: type[_M], seconds: float = ACT_SECONDS
    ) -> _M:
        """One request; fails at once while the manager is away."""
        async with self.bounded(seconds):
            answer = await self.remote.ask(make, wanted, again=False)
        self._begun = True
        return answer

    @asynccontextmanager
    async def bounded(self, seconds: float = ACT_SECONDS) -> AsyncIterator[None]:
        """For what is asked in the block.

        Raises:
            Unreachable: the manager is away. TimedOut: it takes too long. Refused: it does not know looks.
        """
        remote = self.remote
        if remote.failed is not None:
            raise remote.failed
        if self._begun and not remote.connected:
            raise Unreachable("the manager is away: it is asked again as soon as it is back")
        if LOOK not in remote.welcome.offers:
            version = remote.welcome.version
            raise Refused(f"the manager's version {version} is too old for this console: update it")
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError as error:
            raise TimedOut(f"the manager did not answer within {seconds:g} s") from error


class _Watcher:
    """Keeps a feed up to date with what a manager says."""

    def __init__(self, asker: _Asker) -> None:
        self.feed = Feed(Snapshot(time(), "manager"))
        self._asker = asker
        self._decoders = {name: msgspec.msgpack.Decoder(kind) for name, kind in _PARTS.items()}
        self._have: dict[str, int] = {}
        self._cursor = 0

    async def keep(self) -> None:
        """Look while somebody wants to see, until cancelled."""
        while True:
            if self.feed.wanted or not self._asker.remote.connected:
                try:
                    await self.look()
                except TaskMessengerError as error:
                    self._away(str(error))
            await anyio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Fetch what is new.

        Raises:
            Unreachable, TimedOut: the manager is away.
        """
        full = True
        while full:
            seen = await self._asker.ask(self._look, m.View, ANSWER_SECONDS)
            full = len(seen.events) == MAX_EVENTS
            self._take(seen)

    def _look(self, number: int) -> m.Look:
        return m.Look(number, dict(self._have), self._cursor, MAX_EVENTS)

    def _take(self, seen: m.View) -> None:
        changes: dict[str, Any] = {}
        for name, number, body in seen.parts:
            if name in self._decoders:
                changes[name] = _read(self._decoders[name], body)
            self._have[name] = number
        self.feed.publish(replace(self.feed.newest, at=seen.at, connected=True, reason="", **changes))
        if seen.cursor < self._cursor:  # it has started again, and counts from the beginning
            self._cursor = 0
            return
        self.feed.skip(seen.missed if self._cursor else 0)
        self.feed.add((row.at, row.level, row.what, row.subject, row.text) for row in seen.events)
        self._cursor = seen.cursor

    def _away(self, reason: str) -> None:
        self._have.clear()  # whoever comes back may be another process, with numbers of its own
        before = self.feed.newest
        if before.connected or before.reason != reason:
            self.feed.publish(replace(before, connected=False, reason=reason))


def _read(decoder: msgspec.msgpack.Decoder[Any], body: msgspec.Raw) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise PeerError(f"what the manager says cannot be read: {error}") from error


class Attached:
    """A view of a manager through `remote`."""

    role, read_only = "manager", False

    def __init__(self, remote: Remote) -> None:
        self.ended = anyio.Event()
        """Set when the operator has seen enough."""
        self._asker = _Asker(remote)
        self.watcher = _Watcher(self._asker)
        self._ask = self._asker.ask

    def snapshot(self) -> Snapshot:
        """The newest known."""
        return self.watcher.feed.snapshot()

    def events(self, cursor: int, limit: int = MAX_EVENTS) -> EventPage:
        """What happened from `cursor` on, in numbers of this handle: a manager that restarts has others."""
        return self.watcher.feed.since(cursor, min(limit, MAX_EVENTS))

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        return (await self._ask(lambda n: m.FindTasks(n, query), m.Page)).page

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """How many tasks match."""
        return (await self._ask(lambda n: m.CountTasks(n, query, most), m.Counted)).count

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """One task."""
        return (await self._ask(lambda n: m.GetTask(n, task_id, payload_limit), m.Detail)).detail

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Of these tasks, those that have ended."""
        async with self._asker.bounded():
            return await self._asker.remote.outcomes(ids)

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """New tasks; durable when this returns."""
        return (await self._ask(lambda n: m.Submit(n, list(groups)), m.Submitted)).ids

    async def act(self, act: Act) -> ActDone:
        """Carry out a command."""

        async def part(one: Act) -> ActDone:
            return (await self._ask(lambda n: m.Do(n, one), m.Did)).done

        return await act_on_all(part, act)

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """What can be submitted."""
        kinds: tuple[KindSchema, ...] = await self._facts("kinds", tuple[KindSchema, ...])
        return kinds

    async def invites(self) -> list[InviteRow]:
        """All invites."""
        return (await self._ask(lambda n: m.Ask(n, "invites"), m.Invites)).invites

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """A new invite."""
        async with self._asker.bounded():
            remote = self._asker.remote
            made = await remote.make_invite(uses, ttl, role, approve=approve, ephemeral=ephemeral)
        return made.text, made.invite

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        await self._ask(lambda n: m.RevokeInvite(n, invite_id), m.Done)

    async def pending(self) -> list[PendingRow]:
        """Members that wait for approval."""
        async with self._asker.bounded():
            return await self._asker.remote.pending()

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """The last minutes of a worker; nothing where the manager is too old to tell."""
        try:
            past: WorkerPast = await self._facts(f"{WORKER}{worker_id}", WorkerPast)
        except UsageError:
            return WorkerPast()
        return past

    async def settings(self) -> tuple[SettingRow, ...]:
        """What the manager is set to."""
        rows: tuple[SettingRow, ...] = await self._facts("settings", tuple[SettingRow, ...])
        return rows

    async def network(self) -> NetworkInfo:
        """How the manager is reached."""
        info: NetworkInfo = await self._facts("network", NetworkInfo)
        return info

    async def _facts(self, what: str, wanted: Any) -> Any:
        facts = (await self._ask(lambda n: m.Ask(n, what), m.Facts)).facts
        return _read(msgspec.msgpack.Decoder(wanted), facts)

    async def leave(self, _deadline: float | None = None) -> None:
        """Look no more; the manager goes on."""
        self.ended.set()

    async def stop(self, deadline: float | None) -> None:
        """Refused: who runs it stops it."""
        raise UsageError("this manager runs elsewhere: stop it there")


@asynccontextmanager
async def attached(dial: Dial, patience: float = inf) -> AsyncIterator[Attached]:
    """A handle of the manager that `dial` reaches, for as long as the block lasts.

    `patience`: seconds for which a manager that went away is tried again.

    Raises:
        Unreachable, Refused: it cannot be reached to begin with. Refused: it is too old.
    """
    async with attach(dial, patience=patience) as remote, anyio.create_task_group() as tasks:
        handle = Attached(remote)
        await handle.watcher.look()
        tasks.start_soon(handle.watcher.keep)
        yield handle
        tasks.cancel_scope.cancel()
