"""`FakeWorker`: a simulated worker behind the same interface as a real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from ...core.errors import UsageError
from ...handle import (
    Act,
    ActDone,
    Count,
    EndedRow,
    EventPage,
    EventRow,
    Group,
    InviteRow,
    KindSchema,
    NetworkInfo,
    NetworkRow,
    Outcome,
    PendingRow,
    RunningRow,
    SettingRow,
    Snapshot,
    TaskDetail,
    TaskPage,
    TaskQuery,
    WorkerSelf,
)
from .node import EPOCH, may_change
from .stream import KINDS, mix, share

SLOTS: Final = 8
HISTORY: Final = 200
EVERY: Final = 3.0
"""Seconds between two tasks."""
VERBS: Final = {
    "pause": "paused", "resume": "connected", "drain": "draining", "disconnect": "away",
    "reconnect": "connected",
}  # fmt: skip


class FakeWorker:
    """A worker that is busy for as long as it is neither paused nor away."""

    role = "worker"

    def __init__(
        self,
        seed: int = 7,
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
    ) -> None:
        self._seed, self._clock, self.read_only = seed, clock, read_only
        self._now = EPOCH if clock is None else clock()
        self._start = self._now
        self._state, self._changed = "connected", self._now
        self._events: list[EventRow] = []

    @property
    def now(self) -> float:
        """Wall clock of the simulated node."""
        return self._now if self._clock is None else self._clock()

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._now += seconds

    def snapshot(self) -> Snapshot:
        """The newest known."""
        now, away = self.now, self._state == "away"
        newest = int((now - self._start) / EVERY) + 500
        until = self._changed if self._state in {"paused", "draining"} else now
        running, ended = [], []
        for number in range(newest, newest - HISTORY - SLOTS * 4, -1):
            kind = KINDS[mix(self._seed, number) % 4]
            began = self._start + (number - 500) * EVERY
            seconds = kind.seconds * (0.5 + 1.5 * share(mix(self._seed, number), 10))
            if began > until:
                continue
            if began + seconds > now:
                running.append(_running(number, kind.name, began, (now - began) / seconds))
            else:
                ended.append(self._ended(number, kind.name, began + seconds, seconds))
        me = WorkerSelf(
            name="w-fern-00",
            peer="w-fern-00",
            state=self._state,
            manager="lab",
            address="tcp://203.0.113.7:7711",
            transport="tcp",
            certificate_until=self._start + 86400 * 24.0,
            capacity=SLOTS,
            running=tuple(reversed(running[:SLOTS])),
            waiting=0 if away else 2,
            done=1_200 + newest,
            failed=31,
            unacknowledged=len(ended) % 3 if away else 0,
            sent=48_000_000 + int(now - self._start) * 1_400,
            received=31_000_000 + int(now - self._start) * 900,
            rtt=None if away else 0.0031,
            load={"cpu": 0.3 + 0.5 * share(mix(self._seed, int(now // 2)), 4), "memory": 0.41, "rss": 71e6},
            reason="disconnected by its operator" if away else "",
            kinds=tuple(kind.name for kind in KINDS[:4]),
            history=tuple(ended[:HISTORY]),
        )
        return Snapshot(at=now, role="worker", worker=me)

    def _ended(self, number: int, kind: str, at: float, seconds: float) -> EndedRow:
        failed = mix(self._seed, number) % 23 == 0
        how, error = ("failed", "ValueError: no such column `price`") if failed else ("succeeded", "")
        return EndedRow(90_000 + number * 7, 1, kind, how, seconds, at, error)

    def events(self, cursor: int, limit: int = 1_000) -> EventPage:
        """What happened since."""
        rows = tuple(self._events[max(0, cursor) : max(0, cursor) + limit])
        return EventPage(rows, min(len(self._events), max(0, cursor) + len(rows)))

    async def act(self, act: Act) -> ActDone:
        """Of this worker itself."""
        may_change(self)
        if act.verb not in VERBS:
            _not_here()
        self._state, self._changed = VERBS[act.verb], self.now
        number = len(self._events)
        self._events.append(EventRow(number, self.now, "info", f"operator.{act.verb}", "w-fern-00"))
        return ActDone(1)

    async def settings(self) -> tuple[SettingRow, ...]:
        """A few of them."""
        return (
            SettingRow("name", "w-fern-00", "default", "Of this worker", ""),
            SettingRow("slots", str(SLOTS), "--slots", "Tasks at a time", "4"),
        )

    async def network(self) -> NetworkInfo:
        """A healthy network."""
        rows = (NetworkRow("manager", "tcp://203.0.113.7:7711, 3 ms"),)
        return NetworkInfo(("tcp",), ("tcp://203.0.113.7:7711",), rows)

    async def stop(self, deadline: float | None) -> None:
        """It ends."""
        may_change(self)
        self._state = "stopped"

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """Not here."""
        _not_here()

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """Not here."""
        _not_here()

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """Not here."""
        _not_here()

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Not here."""
        _not_here()

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """Not here."""
        _not_here()

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """Not here."""
        _not_here()

    async def invites(self) -> list[InviteRow]:
        """Not here."""
        _not_here()

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """Not here."""
        _not_here()

    async def pending(self) -> list[PendingRow]:
        """Not here."""
        _not_here()

    async def revoke_invite(self, invite_id: str) -> None:
        """Not here."""
        _not_here()


def _running(number: int, kind: str, since: float, fraction: float) -> RunningRow:
    step = int(fraction * 100)
    lines = "".join(f"step {n} of 100\n" for n in range(max(0, step - 30), step))
    return RunningRow(
        90_000 + number * 7, 1, kind, since, round(fraction, 3), f"step {step} of 100", lines.encode()
    )


def _not_here() -> NoReturn:
    raise UsageError("this is a worker: its manager knows of tasks, kinds and invites")
