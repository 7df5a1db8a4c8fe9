"""`FakeWorker`: a simulated worker behind the same interface as a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...handle import (
    Act,
    ActDone,
    EndedRow,
    EventPage,
    EventRow,
    NetworkInfo,
    NetworkRow,
    RunningRow,
    SettingRow,
    Snapshot,
    WorkerSelf,
)
from ...handle.worker_only import WorkerOnly, not_here
from .node import EPOCH, may_change
from .stream import TRIAL, Scene, mix, share

SLOTS: Final = 8
HISTORY: Final = 200
EVERY: Final = 3.0
"""Seconds between two tasks."""
VERBS: Final = {
    "pause": "paused", "resume": "connected", "drain": "draining", "disconnect": "away",
    "start": "connected",
}  # fmt: skip


class FakeWorker(WorkerOnly):
    """A worker that is busy for as long as it is neither paused nor away."""

    role = "worker"

    def __init__(
        self,
        seed: int = 7,
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
        scene: Scene = TRIAL,
    ) -> None:
        self._kinds = scene.kinds[:4]
        self._seed, self._clock, self.read_only = seed, clock, read_only
        self._now = EPOCH if clock is None else clock()
        self._start = self._now
        self._state, self._changed = "connected", self._now
        self._leave_by = self._now
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
        now = self.now
        running, ended = self._tasks(now)
        if self._state == "draining" and (not running or now >= self._leave_by):
            self._state, self._changed = "stopped", now
        state = self._state
        over, linked = state == "stopped", state in {"connected", "paused", "draining"}
        last = now if linked else self._changed
        held = self._tasks(self._changed)[0] if state == "draining" else []
        me = WorkerSelf(
            name="w-fern-00",
            peer="w-fern-00",
            state=state,
            manager="lab",
            address="tcp://203.0.113.7:7711",
            transport="tcp",
            certificate_until=self._start + 86400 * 24.0,
            capacity=SLOTS,
            running=() if over else tuple(running),
            waiting=2 if state == "connected" else 0,
            done=1_700 + int((last - self._start) / EVERY),
            failed=31,
            unacknowledged=len(ended) % 3 if state == "away" else 0,
            sent=48_000_000 + int(last - self._start) * 1_400,
            received=31_000_000 + int(last - self._start) * 900,
            rtt=0.0031 if linked else None,
            load={"cpu": 0.3 + 0.5 * share(mix(self._seed, int(now // 2)), 4), "memory": 0.41, "rss": 71e6},
            reason="disconnected by its operator" if state == "away" else "",
            kinds=tuple(kind.name for kind in self._kinds),
            history=tuple(ended[:HISTORY]),
            leave_by=self._leave_by if state == "draining" else None,
            leaving=len(held),
        )
        why = "this role has ended" if over else ""
        return Snapshot(
            at=last if over else now, role="worker", worker=me, connected=not over, ended=over, reason=why
        )

    def _tasks(self, now: float) -> tuple[list[RunningRow], list[EndedRow]]:
        """What runs, oldest first, and what has ended, newest first."""
        newest = int((now - self._start) / EVERY) + 500
        until = now if self._state == "connected" else self._changed
        running, ended = [], []
        for number in range(newest, newest - HISTORY - SLOTS * 4, -1):
            kind = self._kinds[mix(self._seed, number) % 4]
            began = self._start + (number - 500) * EVERY
            seconds = kind.seconds * (0.5 + 1.5 * share(mix(self._seed, number), 10))
            if began > until:
                continue
            if began + seconds > now:
                running.append(_running(number, kind.name, began, (now - began) / seconds))
            else:
                ended.append(self._ended(number, kind.name, began + seconds, seconds))
        return running[:SLOTS][::-1], ended

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
            not_here()
        self._state, self._changed = VERBS[act.verb], self.now
        self._leave_by = self.now + act.number
        number = len(self._events)
        self._events.append(EventRow(number, self.now, "info", f"operator.{act.verb}", "w-fern-00"))
        return ActDone(1)

    async def settings(self) -> tuple[SettingRow, ...]:
        """A few of them."""
        return (
            SettingRow("capacity", str(SLOTS), "command line", "Tasks at a time; 0 for one a processor", "0"),
            SettingRow("drain.deadline", "30.0", "default", "Seconds for what runs when it leaves", "30.0"),
            SettingRow("name", "w-fern-00", "environment TASKMESSENGER_NAME", "Of this worker", ""),
        )

    async def network(self) -> NetworkInfo:
        """A healthy network with one thing to look at."""
        me = self.snapshot().worker
        assert me is not None
        state = "bad" if me.rtt is None else "ok"
        rows = (
            NetworkRow("manager", me.reason if me.rtt is None else f"{me.address}, 3 ms", state),
            NetworkRow("zerotier node", "1c77d2e0aa, online, 9993/udp"),
            NetworkRow("network", "7f3a91c04d000001 (private), ready, address 249.119.210.224"),
            NetworkRow(
                "peer 7f3a91c04d", "relayed by a root, leaf, 48 ms", "warn",
                "open UDP between the two for a direct path",
            ),
            NetworkRow("disk", "41.5 GB free for data in /var/lib/task-messenger"),
        )  # fmt: skip
        return NetworkInfo((me.transport,), (me.address, "zt://7f3a91c04d000001/7f3a91c04d:7711"), rows)

    async def stop(self, deadline: float | None) -> None:
        """It ends."""
        may_change(self)
        self._state = "stopped"


def _running(number: int, kind: str, since: float, fraction: float) -> RunningRow:
    step = int(fraction * 100)
    lines = "".join(f"step {n} of 100\n" for n in range(max(0, step - 30), step))
    return RunningRow(
        90_000 + number * 7, 1, kind, since, round(fraction, 3), f"step {step} of 100", lines.encode()
    )
