"""The settings of a manager and of a worker: names, units, bounds, defaults.

Every key has a default that works; the samples in `config/` show them all. This module knows nothing of
files. There are no secrets among the settings, so any of them may be printed.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ..core.inviting import MAX_TTL, MAX_USES, MIN_TTL
from ..core.text import printable
from .machine import host_name, processors

MIB: Final = 1024 * 1024
MAX_PAYLOAD: Final = 64 * MIB
"""Bytes of one payload or result; the wire format allows no more."""
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+]*://\S+")
_UDP: Final = re.compile(r"(?:[0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

Seconds = Annotated[float, Meta(gt=0, le=10 * 365 * 86400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Natural = Annotated[int, Meta(ge=0, le=2**53)]
Name = Annotated[str, Meta(pattern=rf"\A{_NAME}\Z")]
NameOrNone = Annotated[str, Meta(pattern=rf"\A(?:{_NAME})?\Z")]
Level = Literal["debug", "info", "warning", "error"]
RuntimeName = Literal["async", "thread", "process"]
UdpPort = Annotated[int, Meta(ge=0, le=65_535)]
NetworkId = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{16})?\Z")]


def _addresses(key: str, addresses: tuple[str, ...]) -> None:
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(
                f"{key} wants addresses such as `tcp://127.0.0.1:7711`, not `{printable(address)}`"
            )


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings that belong together."""


class Transport(Group, frozen=True):
    """Where the manager is reached."""

    listen: tuple[str, ...] = ("tcp://127.0.0.1:7711",)
    """Addresses to listen on."""
    advertise: tuple[str, ...] = ()
    """Addresses that invites carry; none means those listened on."""

    def __post_init__(self) -> None:
        _addresses("listen", self.listen)
        _addresses("advertise", self.advertise)


class ManagerZeroTier(Group, frozen=True):
    """The ZeroTier node of a manager; it is started when `transport.listen` has an address `zt://:PORT`."""

    enabled: bool = True
    """Whether there may be one at all."""
    network: Literal["private", "existing"] = "private"
    """`private`: one of this fleet's own, without account or controller; `existing`: see `network_id`."""
    network_id: NetworkId = ""
    """16 hex digits of an existing network, whose controller lets nodes in and gives them addresses."""
    roots: Annotated[str, Meta(min_length=1)] = "auto"
    """Who introduces nodes to each other: `manager` (this node), `public` (ZeroTier's), or a planet file.

    `auto`: `manager` in a private network, `public` in an existing one.
    """
    advertise: tuple[str, ...] = ()
    """UDP endpoints of this node for others, as `203.0.113.7:7712`; none: this machine's addresses."""
    identity_path: str = ""
    """Directory with identity.public and identity.secret; empty for the usual one."""
    port: UdpPort = 7712
    """UDP port of the node; workers must reach it where `manager` is the root."""
    library_path: str = ""
    """Of libzt; empty to look for it."""

    def __post_init__(self) -> None:
        if (self.network == "existing") != bool(self.network_id):
            raise ValueError(
                "network_id wants 16 hex digits when network is `existing`, and nothing otherwise"
            )
        for endpoint in self.advertise:
            if not _UDP.fullmatch(endpoint):
                raise ValueError(
                    f"advertise wants UDP endpoints such as `203.0.113.7:7712`, not `{printable(endpoint)}`"
                )


class WorkerZeroTier(Group, frozen=True):
    """The ZeroTier node of a worker; it is started when an invite, or what it has joined, leads over one."""

    enabled: bool = True
    """Whether there may be one at all."""
    network: Literal["invite", "existing"] = "invite"
    """`invite`: the one that the invite names; `existing`: see `network_id`."""
    network_id: NetworkId = ""
    """16 hex digits of an existing network to be used whatever the invite names."""
    roots: str = ""
    """A planet file, where the manager has one; empty: what the invite says."""
    identity_path: str = ""
    """Directory with identity.public and identity.secret; empty for the usual one."""
    port: UdpPort = 0
    """UDP port of the node; 0 for any."""
    library_path: str = ""
    """Of libzt; empty to look for it."""

    def __post_init__(self) -> None:
        if (self.network == "existing") != bool(self.network_id):
            raise ValueError(
                "network_id wants 16 hex digits when network is `existing`, and nothing otherwise"
            )


class Discovery(Group, frozen=True):
    """How managers and members of one fleet find each other without an address."""

    overlay: bool = True
    """Whether on the ZeroTier network, where there is one."""
    lan: bool = False
    """Whether on the local networks, by multicast that no router passes on."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 7713
    """UDP port, the same for the whole fleet."""
    interfaces: tuple[Annotated[str, Meta(max_length=15)], ...] = ()
    """IPv4 addresses of this machine in the local networks to use; none: all of them."""

    def __post_init__(self) -> None:
        for address in self.interfaces:
            try:
                IPv4Address(address)
            except ValueError:
                raise ValueError(
                    f"interfaces wants IPv4 addresses of this machine, not `{printable(address)}`"
                ) from None


class WorkerDiscovery(Discovery, frozen=True):
    """The same for a worker, which looks only if it is told to."""

    enabled: bool = False
    """Whether to look for managers besides the known addresses, as `--discover` says."""
    lan: bool = True
    """Whether on the local networks, by multicast that no router passes on."""


class Leases(Group, frozen=True):
    """How long a worker may hold a task unheard of."""

    ttl: Seconds = 30.0
    """Seconds until an attempt of a silent worker is given to another one."""
    heartbeat: Seconds = 5.0
    """Seconds between signs of life, in both directions."""
    dead_after: Seconds = 15.0
    """Seconds of silence after which a connection is given up."""
    start_within: Seconds = 30.0
    """Seconds until a worker that has not begun a task loses it; doubled each time it is tried again."""
    grace: Seconds = 15.0
    """Seconds beyond its timeout after which the manager ends a task that its worker did not end."""

    def __post_init__(self) -> None:
        least = 2 * self.heartbeat
        if self.ttl < least:
            raise ValueError(f"ttl must be at least two heartbeats ({least:g} s), not {self.ttl:g}")
        if self.dead_after < least:
            raise ValueError(
                f"dead_after must be at least two heartbeats ({least:g} s), not {self.dead_after:g}"
            )
        if self.dead_after > self.ttl:
            raise ValueError(f"dead_after ({self.dead_after:g} s) must not exceed ttl ({self.ttl:g} s)")


class Backoff(Group, frozen=True):
    """The growing wait before another attempt."""

    first: Seconds = 1.0
    """Seconds before the second attempt."""
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    """By which the wait grows each time."""
    ceiling: Seconds = 300.0
    """Seconds it never exceeds."""
    jitter: Share = 0.25
    """Part of the wait that is left to chance, so that retries do not come all at once."""

    def __post_init__(self) -> None:
        if self.ceiling < self.first:
            raise ValueError(f"ceiling ({self.ceiling:g} s) must not be below first ({self.first:g} s)")


class Tasks(Group, frozen=True):
    """What the manager takes on, and how often it tries."""

    max_payload: Annotated[int, Meta(ge=1, le=MAX_PAYLOAD)] = MAX_PAYLOAD
    """Bytes of one payload."""
    max_pending: Positive = 10_000_000
    """Open tasks; beyond them submissions are refused."""
    max_attempts: Annotated[int, Meta(ge=1, le=1_000)] = 5
    """Attempts of a task that does not say."""
    max_crashes: Annotated[int, Meta(ge=1, le=1_000)] = 3
    """Processes that one task may take down before it is set aside."""
    max_output: Annotated[int, Meta(ge=0, le=MIB)] = 65_536
    """Bytes of the end of what an attempt writes that are kept; 0 for none."""
    backoff: Backoff = Backoff()
    aging: Seconds = 600.0
    """Seconds after which a waiting task of low priority gets its turn in spite of higher ones."""


class Retention(Group, frozen=True):
    """How long tasks that have ended are kept."""

    days: Annotated[float, Meta(gt=0, le=36_500)] = 7.0
    every: Seconds = 60.0
    """Seconds between two looks for tasks to forget."""
    output_mb: Natural = 1024
    """MiB of what attempts wrote, of all tasks; beyond them the oldest goes."""


class Store(Group, frozen=True):
    """Care for the disk under the database."""

    ballast: Natural = 64 * MIB
    """Bytes held in reserve, given up when the disk is full; 0 for none."""
    low_water_mb: Natural = 512
    """MiB of free space below which submissions are refused; results are still taken. 0 turns it off."""


class ManagerLimits(Group, frozen=True):
    """What the manager lets others take of it."""

    sessions: Positive = 1200
    """Sessions of workers and clients at a time; operators and the local socket have places of their own."""
    sessions_per_member: Positive = 32
    """Of those, with the certificate of one client or operator."""
    unauthenticated: Positive = 1024
    """Connections that have not proved who they are, in all."""
    unauthenticated_per_address: Positive = 64
    """The same, from one address, or from one /64 of IPv6."""
    handshake_seconds: Seconds = 10.0
    """Seconds to prove it."""
    buffers: Annotated[int, Meta(ge=72 * MIB, le=2**40)] = 128 * MIB
    """Bytes of unfinished and unread messages of all peers together; beyond that who has most is cut off."""
    outbox: Annotated[int, Meta(ge=64 * 1024, le=2**40)] = 4 * MIB
    """Bytes waiting to be sent to one peer; a slower one is cut off and may come back."""


class Security(Group, frozen=True):
    """Certificates and invites."""

    certificate_days: Annotated[float, Meta(gt=0, le=3_650)] = 30.0
    """Days that a member's certificate is valid; it is renewed before."""
    invite_ttl: Annotated[float, Meta(ge=MIN_TTL, le=MAX_TTL)] = 900.0
    """Seconds that an invite is valid when nothing else is said."""
    invite_uses: Annotated[int, Meta(ge=1, le=MAX_USES)] = 1
    """How many may join with it when nothing else is said."""


class Drain(Group, frozen=True):
    """Leaving in good order."""

    deadline: Annotated[float, Meta(ge=0, le=7 * 86400)] = 30.0
    """Seconds that running tasks get to end."""


class Logging(Group, frozen=True):
    """What is logged, and how much of it is kept. Together the files never exceed `max_mb` times `keep`."""

    level: Level = "info"
    file: bool = True
    """Whether to log into the state directory too, besides standard error."""
    max_mb: Annotated[int, Meta(ge=1, le=1024)] = 16
    """MiB of one file."""
    keep: Annotated[int, Meta(ge=2, le=100)] = 3
    """Files, the current one included."""
    format: Literal["auto", "json", "text"] = "auto"
    """On standard error; `auto`: text for a terminal, JSON lines otherwise. The file has JSON lines."""


class ManagerConfig(Group, frozen=True):
    """Everything that can be set for a manager."""

    name: NameOrNone = ""
    """Who it says it is; empty for the name of the host, which is then in this field."""
    transport: Transport = Transport()
    zerotier: ManagerZeroTier = ManagerZeroTier()
    discovery: Discovery = Discovery()
    leases: Leases = Leases()
    tasks: Tasks = Tasks()
    retention: Retention = Retention()
    store: Store = Store()
    limits: ManagerLimits = ManagerLimits()
    security: Security = Security()
    drain: Drain = Drain()
    logging: Logging = Logging()

    def __post_init__(self) -> None:
        _default_name(self)


class Kinds(Group, frozen=True):
    """Which kinds of task a worker runs, and how."""

    allow: tuple[str, ...] = ("*",)
    """Names, shell-style patterns, and `python:package.module` in full; what matches none is never run."""
    paths: tuple[str, ...] = ()
    """Directories with kinds of your own, besides the default one."""
    runtimes: dict[str, RuntimeName] = {}
    """Kind to runtime, where the kind's own wish is not to be followed."""
    free_stuck_slots: bool = False
    """Whether a thread that does not end gives its slot back: more than `capacity` may then run."""
    environment: Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=256)] = ()
    """Variables of the worker that process kinds see besides PATH, LANG, LC_* and TZ: names, and patterns."""
    home: Literal["own", "worker"] = "own"
    """HOME of process kinds: a directory of its own that goes with its process, or the worker's."""
    directory: str = ""
    """Where tasks of process kinds begin; empty for a new directory of each, removed when it ends."""


class JobLimits(Group, frozen=True):
    """What one task in a process of its own may use; null for no limit."""

    memory_mb: Positive | None = 4096
    """MiB of address space, which is more than what is used: memory maps, CUDA and Java reserve much."""
    cpu_seconds: Positive | None = None
    """Seconds of processor time of one attempt."""
    files: Annotated[int, Meta(ge=16, le=2**20)] | None = 1024
    """Open files."""
    file_size_mb: Positive | None = 4096
    """MiB of any file it writes."""
    processes: Positive | None = 4096
    """Processes and threads of this user, as the system counts them; it does not hold root to it."""
    import_seconds: Seconds | None = 60.0
    """Seconds that the code of a kind may take to be loaded; no attempt is charged for them."""
    niceness: Annotated[int, Meta(ge=0, le=19)] = 5
    """How much tasks step back for other programs; 0 for not at all."""


class Reconnect(Group, frozen=True):
    """The growing wait before a lost manager is called again."""

    first: Seconds = 0.5
    """Seconds before the first try."""
    ceiling: Seconds = 30.0
    """Seconds it never exceeds."""
    jitter: Share = 0.5
    """Part of the wait that is left to chance, so that a fleet does not come back all at once."""

    def __post_init__(self) -> None:
        if self.ceiling < self.first:
            raise ValueError(f"ceiling ({self.ceiling:g} s) must not be below first ({self.first:g} s)")


class Spool(Group, frozen=True):
    """Results kept on the worker's disk until the manager has acknowledged them."""

    max_mb: Positive = 1024
    """MiB; when they are reached the worker takes no new tasks."""
    max_output: Annotated[int, Meta(ge=0, le=MIB)] = 65_536
    """Bytes of the end of what an attempt writes that are kept with its outcome; 0 for none."""


class WorkerConfig(Group, frozen=True):
    """Everything that can be set for a worker."""

    name: NameOrNone = ""
    """Who it says it is; empty for the name of the host, which is then in this field."""
    capacity: Annotated[int, Meta(ge=0, le=4096)] = 0
    """Tasks at a time; 0 for one to each processor. See `slots`."""
    prefetch: Annotated[int, Meta(ge=0, le=65_536)] = 1024
    """Leases held beyond those that run, at most."""
    zerotier: WorkerZeroTier = WorkerZeroTier()
    discovery: WorkerDiscovery = WorkerDiscovery()
    kinds: Kinds = Kinds()
    limits: JobLimits = JobLimits()
    reconnect: Reconnect = Reconnect()
    spool: Spool = Spool()
    drain: Drain = Drain()
    logging: Logging = Logging()
    labels: dict[Name, Annotated[str, Meta(max_length=256)]] = {}
    """Facts about the machine for people to see."""

    def __post_init__(self) -> None:
        _default_name(self)

    @property
    def slots(self) -> int:
        """Tasks at a time, with 0 resolved to the processors that this process may use."""
        return self.capacity or processors()


def _default_name(config: ManagerConfig | WorkerConfig) -> None:
    if not config.name:
        msgspec.structs.force_setattr(config, "name", host_name())
