"""What is always the same of the simulated manager: kinds, settings, network; and the past of its workers."""

from __future__ import annotations

from typing import Final

import msgpack

from ...handle import KindSchema, NetworkInfo, NetworkRow, SettingRow, WorkerPast
from .fleet import SLOTS, Fleet
from .stream import mix, share
from .tasks import FakeTasks

STEP: Final = 2.5
STEPS: Final = 120


class FakeFacts:
    """The part of a manager's handle that only tells."""

    _fleet: Fleet
    _tasks: FakeTasks

    @property
    def now(self) -> float:
        """Wall clock of the simulated node."""
        raise NotImplementedError

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """Curves that end now; events are in the journal."""
        if self._fleet.states.get(worker_id, "offline") in {"offline", "revoked"}:
            return WorkerPast(STEP)
        last = int(self.now // STEP)
        steps, seed = range(last - STEPS + 1, last + 1), sum(map(ord, worker_id))
        busy = tuple(round(share(mix(seed, step // 4), 6) * SLOTS) / SLOTS for step in steps)
        return WorkerPast(
            STEP,
            cpu=tuple(round(self._tasks.load(worker_id, step * STEP), 3) for step in steps),
            memory=tuple(round(0.35 + 0.2 * share(mix(seed, step // 20), 8), 3) for step in steps),
            busy=busy,
            ended=tuple(
                round(value * share(mix(seed, step), 4), 2) for value, step in zip(busy, steps, strict=True)
            ),
        )

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """What can be submitted."""
        return tuple(
            KindSchema(
                kind.name,
                kind.doc,
                msgpack.packb(kind.example),
                _schema(kind.example),
                len(self._fleet.able(index)),
            )
            for index, kind in sorted(enumerate(self._tasks.stream.kinds), key=lambda pair: pair[1].name)
        )

    async def settings(self) -> tuple[SettingRow, ...]:
        """A few of them."""
        return (
            SettingRow("leases.heartbeat", "5.0", "default", "Seconds between signs of life", "5.0"),
            SettingRow("leases.ttl", "30.0", "default", "Seconds that a lease holds without one", "30.0"),
            SettingRow(
                "name", "lab", "file /etc/task-messenger/config-manager.json", "Of this manager", "manager"
            ),
            SettingRow(
                "retention.days",
                "14",
                "environment TASKMESSENGER_RETENTION_DAYS",
                "Days that ended tasks stay",
                "7",
            ),
            SettingRow(
                "transport.listen", "tcp://0.0.0.0:7711", "command line", "Where it can be reached", ""
            ),
        )

    async def network(self) -> NetworkInfo:
        """A healthy network with one thing to look at."""
        return NetworkInfo(
            ("tcp", "zerotier", "unix"),
            ("tcp://0.0.0.0:7711", "zt://[fd00:7f3:99::1]:7711"),
            (
                NetworkRow("zerotier node", "7f3a91c04d online"),
                NetworkRow("network", "fd7f3a91c04d0001 private, this manager is its root"),
                NetworkRow("peer 1c77d2e0aa", "direct, 3 ms"),
                NetworkRow(
                    "peer 90be41f7d3", "relayed, 48 ms", "warn", "open UDP port 9993 at one of the ends"
                ),
            ),
        )


def _schema(example: object) -> dict[str, object]:
    names = {str: "string", int: "integer", float: "number", list: "array"}
    if not isinstance(example, dict):
        return {"type": names[type(example)]}
    properties = {key: {"type": names[type(value)]} for key, value in example.items()}
    return {"type": "object", "properties": properties, "required": list(example)}
