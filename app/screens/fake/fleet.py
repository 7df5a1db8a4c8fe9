"""The simulated workers, links, kinds and curves of a manager: what its snapshot shows around the tasks."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Final

from ...core.lifecycle import TaskState
from ...handle import Alarm, History, KindRow, PendingRow, PoolStatus, SessionRow, TaskRow, WorkerRow
from .rows import hash_of
from .stream import TRIAL, Scene, mix, share
from .tasks import FakeTasks

WORDS: Final = ("fern", "moss", "birch", "heron", "otter", "slate", "amber", "cedar", "finch", "reed")
STATES: Final = {3: "paused", 7: "draining", 9: "away", 11: "offline"}
"""By place among twelve; all others are connected."""
SLOTS: Final = 8
HISTORY: Final = 300
"""Seconds of curves."""
LISTED: Final = 400
"""Workers whose running tasks are counted one by one; of more the numbers are made up."""
MANY_SECONDS: Final = 2.0
"""How old rows of so many workers get."""
MANY_ENDED: Final = 50
FAILING: Final = 0.033
"""Of all that end."""
DAY: Final = 86_400.0
OPERATOR: Final = 1
"""Of three that wait for approval, the place of the one that wants to be an operator."""
_REASONS: Final = (
    "the link broke: connection reset by peer",
    "no sign of life for 15 s",
    "the worker left",
    "closed by the other side",
)
_FAILED: Final = (TaskState.FAILED, TaskState.TIMED_OUT)


def worker_id(place: int) -> str:
    """The name of the worker at this place."""
    return f"w-{WORDS[place % len(WORDS)]}-{place:02d}"


class Fleet:
    """Everyone and everything but the tasks."""

    def __init__(self, seed: int, workers: int, scene: Scene = TRIAL) -> None:
        self.seed, self.scene = seed, scene
        self.ids = tuple(worker_id(place) for place in range(workers))
        self.states = {
            name: STATES.get(place % 12, "connected") if place < LISTED else "connected"
            for place, name in enumerate(self.ids)
        }
        """As they are, but for pauses by scope."""
        self.limits: dict[str, int] = {}
        self.paused: set[str] = set()
        self._rows: tuple[WorkerRow, ...] = ()
        self._rows_at = 0.0
        self.drains: dict[str, float] = {}
        """Moments by which those that drain have left."""
        self.began = 0.0
        """When the simulation did: what is told of the past counts from there."""
        self.pending: dict[str, PendingRow] = {}
        """Members that wait for approval, by id."""
        self.decided: dict[str, str] = {}
        """What became of those that have waited, in words."""

    def able(self, kind: int) -> tuple[str, ...]:
        """Who runs this kind."""
        here = [name for name in self.ids if self.states[name] in {"connected", "paused", "draining"}]
        every = self.scene.kinds[kind].every
        return tuple(w for place, w in enumerate(here) if every and place % every == 0)

    def tick(self, now: float) -> None:
        """What time brings: workers that drained are gone, who was not approved is forgotten."""
        self.pending = {name: row for name, row in self.pending.items() if now < row.until}
        for name, until in list(self.drains.items()):
            if now >= until:
                del self.drains[name]
                self.states[name] = "offline"

    # ---- rows -------------------------------------------------------------------------------------------

    def workers(
        self, tasks: FakeTasks, running: list[TaskRow], now: float, done: Counter[str]
    ) -> tuple[WorkerRow, ...]:
        """By id."""
        if len(self.ids) > LISTED and now - self._rows_at < MANY_SECONDS and self._rows:
            return self._rows
        busy = Counter(row.worker for row in running)
        kinds = [set(self.able(index)) for index in range(len(self.scene.kinds))]
        rows = (self._worker(tasks, place, busy, kinds, (now, done)) for place in range(len(self.ids)))
        self._rows, self._rows_at = tuple(sorted(rows, key=lambda row: row.id)), now
        return self._rows

    def _worker(
        self,
        tasks: FakeTasks,
        place: int,
        busy: Counter[str | None],
        kinds: list[set[str]],
        when: tuple[float, Counter[str]],
    ) -> WorkerRow:
        (now, done), name = when, self.ids[place]
        state, bits = self.state(name), mix(self.seed, place)
        if state in {"offline", "revoked"}:
            return WorkerRow(
                id=name,
                state=state,
                done=200 + bits % 50,
                failed=bits % 5,
                enrolled_at=self.began - 86_400.0,
                expires_at=self.began + 86_400.0 * 20,
            )
        runs = busy[name] if len(self.ids) <= LISTED else int(share(bits, int(now) % 40) * SLOTS)
        limit = self.limits.get(name, 2 * SLOTS)
        wall = 3600.0 + bits % 90_000
        return WorkerRow(
            id=name,
            state=state,
            pauses=("worker",) if state == "paused" else (),
            address=_address(place),
            transport=_transport(place),
            kinds=tuple(self.scene.kinds[i].name for i, able in enumerate(kinds) if name in able),
            capacity=SLOTS,
            limit=limit,
            held=min(limit, runs + (runs > 0)) if state != "away" else 0,
            running=min(runs, SLOTS) if state != "away" else 0,
            done=int(done["done"] * part(self, place)) + bits % 50,
            failed=int(done["failed"] * part(self, place, failed=True)) + bits % 5,
            rtt=None if state == "away" else 0.0004 + share(bits, 12) * 0.04,
            last_heard=27.0 if state == "away" else share(mix(place, int(now)), 3) * 4,
            load=_load(tasks, name, now),
            labels={"zone": ("lab-a", "lab-b")[place % 2], **({"gpu": "h200"} if not place % 3 else {})},
            version="0.1.0",
            enrolled_at=self.began - wall,
            expires_at=self.began + 86_400.0 * 20,
        )

    def state(self, name: str) -> str:
        """With the pauses that are in force."""
        state = self.states[name]
        if state == "connected" and {"all", f"worker:{name}"} & self.paused:
            return "paused"
        return state

    def sessions(self, now: float) -> tuple[SessionRow, ...]:
        """Every link that stands, then those that ended."""
        here = [
            self._session(place, name, now)
            for place, name in enumerate(self.ids)
            if self.states[name] in {"connected", "paused", "draining"}
        ]
        local = SessionRow(
            id=len(self.ids) + 1, peer="local", role="operator", name="console", address="unix://",
            transport="unix", rtt=0.0001, sent=412_000, received=9_100, last_heard=0.2,
            since=self.began - 95.0,
        )  # fmt: skip
        return (*here, local, *(self._ended(n) for n in range(min(MANY_ENDED, len(self.ids) // 2))))

    def _session(self, place: int, name: str, now: float) -> SessionRow:
        bits = mix(self.seed, place)
        since = self.began - 600.0 - bits % 80_000
        return SessionRow(
            id=place + 1,
            peer=name,
            role="worker",
            name=name,
            address=_address(place),
            transport=_transport(place),
            path="" if place % 3 != 1 else ("direct", "relayed")[place % 2],
            rtt=0.0004 + share(bits, 12) * 0.04,
            sent=int((now - since) * 900) + bits % 10_000,
            received=int((now - since) * 1400) + bits % 10_000,
            last_heard=share(mix(place, int(now)), 3) * 4,
            since=since,
        )

    def _ended(self, number: int) -> SessionRow:
        bits, place = mix(self.seed + 1, number), number * 5 % len(self.ids)
        ended = self.began - 40.0 - number * 173
        return SessionRow(
            id=900_000 - number,
            peer=self.ids[place],
            role="worker",
            name=self.ids[place],
            address=_address(place),
            transport=_transport(place),
            sent=bits % 900_000,
            received=bits % 1_400_000,
            state="ended",
            since=ended - 30 - bits % 9_000,
            ended_at=ended,
            reason=_REASONS[bits % len(_REASONS)],
        )

    def kinds(self, census: Counter[tuple[str, TaskState]], rate: float, now: float) -> tuple[KindRow, ...]:
        """By name."""
        rows = []
        for index, kind in enumerate(self.scene.kinds):
            name, able = kind.name, len(self.able(index))
            part = rate * kind.weight / sum(one.weight for one in self.scene.kinds) * (able > 0)
            quick, slow = (0.8 + 0.4 * share(mix(self.seed + index, int(now // s)), 5) for s in (5, 30))
            still = bool({"all", f"kind:{name}"} & self.paused)
            rows.append(
                KindRow(
                    name=name,
                    queued=census[name, TaskState.QUEUED],
                    running=census[name, TaskState.RUNNING],
                    done=census[name, TaskState.SUCCEEDED],
                    failed=sum(census[name, state] for state in _FAILED),
                    rate_5s=0.0 if still else round(part * quick, 2),
                    rate_30s=round(part * slow, 2),
                    rate_5min=round(part, 2),
                    p50=kind.seconds * 0.6 if able else None,
                    p95=kind.seconds * 1.7 if able else None,
                    workers=able,
                    paused=still,
                )
            )
        return tuple(sorted(rows, key=lambda row: row.name))

    def status(self, census: Counter[tuple[str, TaskState]], rate: float, started: float) -> PoolStatus:
        """The fleet at a glance."""
        totals = {state.word: 0 for state in TaskState}
        for (_, state), count in census.items():
            totals[state.word] += count
        here = [name for name in self.ids if self.states[name] in {"connected", "paused", "draining"}]
        waiting = {
            alarm.scope[5:]: alarm.text for alarm in self.alarms(census, 0.0) if alarm.scope[:5] == "kind:"
        }
        return PoolStatus(
            manager="lab",
            fleet="7f3kq9zd2m4h",
            version="0.1.0",
            listening=("tcp://0.0.0.0:7711", "zt://:7711"),
            started_at=started,
            totals=totals,
            accepted=sum(totals.values()),
            paused=tuple(sorted(self.paused)),
            workers=len(here),
            slots=SLOTS * len(here),
            rate=0.0 if "all" in self.paused else round(rate, 1),
            late=3,
            refused=1,
            waiting=waiting,
        )

    def alarms(self, census: Counter[tuple[str, TaskState]], since: float) -> tuple[Alarm, ...]:
        """What is wrong."""
        found = []
        for name in (kind.name for kind in self.scene.kinds if not kind.every):
            if waiting := census[name, TaskState.QUEUED]:
                waits = "task waits" if waiting == 1 else "tasks wait"
                text = f"{waiting} {waits}: no worker offers `{name}`"
                found.append(Alarm("warning", "no_worker", text, since, f"kind:{name}"))
        if self.pending:
            number = len(self.pending)
            text = f"{number} {'member waits' if number == 1 else 'members wait'} for approval"
            found.append(Alarm("warning", "pending", text, min(row.since for row in self.pending.values())))
        found += [
            Alarm(
                "warning",
                "away",
                f"worker {name} is away: its leases hold a while longer",
                since,
                f"worker:{name}",
            )
            for name in self.ids[:LISTED]
            if self.states[name] == "away"
        ]
        return tuple(found)

    def history(self, census: Counter[tuple[str, TaskState]], rate: float, now: float) -> History:
        """Curves that end in the numbers of now."""
        first = int(now) - HISTORY
        wave = [0.75 + 0.5 * share(mix(self.seed, first + n), 7) for n in range(HISTORY)]
        slow = [0.8 + 0.4 * share(mix(self.seed, (first + n) // 20), 9) for n in range(HISTORY)]
        queued = sum(count for (_, state), count in census.items() if state is TaskState.QUEUED)
        running = sum(count for (_, state), count in census.items() if state is TaskState.RUNNING)
        return History(
            start=float(first),
            finished=tuple(round(rate * w, 1) for w in wave),
            submitted=tuple(round(rate * w, 1) for w in reversed(wave)),
            queued=(*(int(queued * s) for s in slow[:-1]), queued),
            running=(*(int(running * s) for s in reversed(slow[1:])), running),
            latency=tuple(round(5.0 * s, 3) for s in slow),
            failed=tuple(round(rate * w * FAILING, 2) for w in reversed(slow)),
        )


def part(fleet: Fleet, place: int, *, failed: bool = False) -> float:
    """Of all that ended, what this worker did: some do more than others, and one of them hardly any."""
    ill, number = fleet.scene.ill, len(fleet.ids)
    if ill is None:
        return 1 / number
    if fleet.ids[place] == ill.worker:
        return 1.0 if failed else 0.2 / number
    return 0.0 if failed else (0.6 + 0.8 * share(mix(fleet.seed, place), 20)) / number


def pending_members(now: float, number: int) -> dict[str, PendingRow]:
    """So many that wait, the first of them for longest."""
    rows = [
        PendingRow(
            id=f"{role[0]}-{WORDS[-1 - place % len(WORDS)]}-{place:02d}q",
            role=role,
            fingerprint=_fingerprint(place),
            invite="c41f09aa",
            since=now - 40.0 - 130.0 * (number - place),
            until=now - 40.0 - 130.0 * (number - place) + DAY,
            inventory="Linux x86_64, 8 processors, version 0.1.0",
        )
        for place, role in ((n, "operator" if n % 3 == OPERATOR else "worker") for n in range(number))
    ]
    return {row.id: row for row in rows}


def _fingerprint(place: int) -> str:
    text = hashlib.sha256(f"member {place}".encode()).hexdigest()[:10].upper()
    return f"{text[:5]}-{text[5:]}"


def _address(place: int) -> str:
    if place % 3 == 1:
        return f"zt://[fd00:7f3:99::{place + 16:x}]:7711"
    return f"tcp://10.0.{place // 250}.{place % 250 + 2}:{40_000 + place}"


def _transport(place: int) -> str:
    return "zerotier" if place % 3 == 1 else "tcp"


def _load(tasks: FakeTasks, name: str, now: float) -> dict[str, float]:
    memory = 0.3 + 0.4 * share(mix(hash_of(name), 1), 8)
    return {
        "cpu": round(tasks.load(name, now), 3), "memory": round(memory, 3), "rss": 60e6 + hash_of(name) * 9e3
    }  # fmt: skip
