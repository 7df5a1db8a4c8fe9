"""What consoles ask of a manager besides tasks: its telemetry, its kinds, its settings, its network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ..config.describe import described
from ..config.model import ManagerConfig
from ..core.errors import UsageError
from ..handle import KindSchema, NetworkInfo, NetworkRow, SettingRow, Snapshot
from ..net import messages as m
from .deliver import Delivery
from .desk import Desk
from .standing import Standing
from .telemetry import Telemetry
from .worker_link import WorkerLink
from .writer import Writer

_TYPES: Final = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
WORKER: Final = "worker "
_encode: Final = msgspec.msgpack.Encoder().encode


class ManagerView:
    """One manager, to be looked at."""

    def __init__(self, config: ManagerConfig, writer: Writer, desk: Desk, delivery: Delivery) -> None:
        self.standing = Standing()
        self.telemetry = Telemetry(writer, desk, self.standing)
        self.origins: Mapping[str, str] = {}
        """By setting: where its value came from, if not from the defaults."""
        self.network_rows: Callable[[], Awaitable[Sequence[NetworkRow]]] = _no_rows
        """What carries the links has to say of itself, and the machine; set by whoever starts it."""
        self._config, self._desk, self._delivery = config, desk, delivery

    async def look(self, asked: m.Look) -> m.View:
        """What the asker does not have yet."""
        return await self.telemetry.look(asked)

    async def facts(self, what: str) -> msgspec.Raw:
        """`kinds`, `settings`, `network`, `pending` or `worker ID`, encoded."""
        match what:
            case "kinds":
                return msgspec.Raw(_encode(self.kinds()))
            case "settings":
                return msgspec.Raw(_encode(self.settings()))
            case "network":
                return msgspec.Raw(_encode(await self.network()))
            case "pending":
                return msgspec.Raw(_encode(await self._desk.pending()))
        if what.startswith(WORKER):
            return msgspec.Raw(_encode(self.telemetry.past.of(what.removeprefix(WORKER))))
        raise UsageError(f"nothing is known here of `{what}`")

    def kinds(self) -> tuple[KindSchema, ...]:
        """Those that connected workers offer, by name."""
        about: dict[str, tuple[str, bytes]] = {}
        offers: dict[str, int] = {}
        for link in self._delivery.links.values():
            if isinstance(link, WorkerLink):
                about |= link.about
                for kind in link.kinds:
                    offers[kind] = offers.get(kind, 0) + 1
        return tuple(
            _schema(name, *about.get(name, ("", b"")), workers=offers[name]) for name in sorted(offers)
        )

    def settings(self) -> tuple[SettingRow, ...]:
        """All of them, in the order of the sample file."""
        return settings_of("manager", self._config, self.origins)

    async def network(self) -> NetworkInfo:
        """How this manager is reached."""
        listening = self._desk.listening
        schemes = sorted({address.partition("://")[0] for address in listening})
        snapshot: Snapshot = self.telemetry.feed.newest
        by_transport: dict[str, int] = {}
        for row in snapshot.sessions:
            if row.state != "ended":
                by_transport[row.transport] = by_transport.get(row.transport, 0) + 1
        rows = [NetworkRow("listening", address) for address in listening]
        rows += [
            NetworkRow("listening", f"not yet at {text}", "warn", "see below what it waits for")
            for text in self._config.transport.listen
            if text.partition("://")[0] not in schemes
        ]
        rows += [NetworkRow(f"links over {name}", str(count)) for name, count in sorted(by_transport.items())]
        transports = tuple("zerotier" if scheme == "zt" else scheme for scheme in (*schemes, "unix"))
        return NetworkInfo(transports, listening, (*rows, *await self.network_rows()))


async def _no_rows() -> Sequence[NetworkRow]:
    return ()


def settings_of(role: str, config: msgspec.Struct, origins: Mapping[str, str]) -> tuple[SettingRow, ...]:
    """Every setting of a role, its value and where that came from."""
    return tuple(
        SettingRow(one.key, one.value, origins.get(one.key, "default"), one.doc, one.default)
        for one in described(role, config)
    )


def _schema(name: str, doc: str, example: bytes, workers: int) -> KindSchema:
    shape: dict[str, Any] = {}
    if example:
        try:
            shape = schema_of(msgspec.msgpack.decode(example))
        except msgspec.DecodeError:
            example = b""
    return KindSchema(name, doc, example, shape, workers)


def schema_of(value: object) -> dict[str, Any]:
    """The JSON Schema that an example stands for."""
    shape: dict[str, Any] = {"type": _TYPES.get(type(value), "null")}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        shape["properties"] = {key: schema_of(inner) for key, inner in value.items()}
        shape["required"] = list(value)
    if isinstance(value, list) and value:
        shape["items"] = schema_of(value[0])
    return shape
