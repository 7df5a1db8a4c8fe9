"""What is going on in a node just now, as values that front ends draw. Immutable; cross threads and wires.

Times are wall-clock seconds since the epoch, where a field says nothing else. Words that a stranger chose
(names, addresses, reasons, text of events) have been through `core.text.printable`, output has not.
"""

from __future__ import annotations

from .values import Cursor, PoolStatus, Struct, TaskQuery, WorkerRow


class SessionRow(Struct, frozen=True):
    """One link to this manager: standing, or one of the last that ended."""

    id: int
    peer: str
    """Who it is by certificate; `local` at the local socket."""
    role: str
    """worker, client or operator"""
    name: str = ""
    """What the peer calls itself."""
    address: str = ""
    transport: str = ""
    """tcp, zerotier, unix or memory"""
    path: str = ""
    """`direct` or `relayed`, where that can differ; else empty."""
    rtt: float | None = None
    """Seconds, round trip of the newest heartbeat."""
    sent: int = 0
    """Bytes, since the link began."""
    received: int = 0
    last_heard: float | None = None
    """Seconds ago."""
    state: str = "connected"
    """connected, closing or ended"""
    since: float = 0.0
    ended_at: float | None = None
    reason: str = ""
    """Why it ended."""


class KindRow(Struct, frozen=True):
    """One kind of task. Counters outlive a restart of the manager; rates are outcomes per second."""

    name: str
    queued: int = 0
    """Scheduled ones as well."""
    running: int = 0
    """Leased ones as well."""
    done: int = 0
    failed: int = 0
    rate_5s: float = 0.0
    rate_30s: float = 0.0
    rate_5min: float = 0.0
    p50: float | None = None
    """Seconds that successful runs took, of the newest; None before there was one."""
    p95: float | None = None
    workers: int = 0
    """Connected ones that offer it."""
    paused: bool = False


class History(Struct, frozen=True):
    """The last minutes, one value a step in each column, oldest first."""

    start: float = 0.0
    """When the first step began."""
    step: float = 1.0
    """Seconds."""
    finished: tuple[float, ...] = ()
    """Tasks that ended, per second; those that were cancelled are not counted."""
    submitted: tuple[float, ...] = ()
    queued: tuple[int, ...] = ()
    """Those that could begin: what is scheduled waits for its moment, not for a worker."""
    running: tuple[int, ...] = ()
    latency: tuple[float, ...] = ()
    """Seconds from submission to end, median of those that ended in the step; -1 where none did."""
    failed: tuple[float, ...] = ()
    """Of those that ended, per second: failed and timed out."""
    cancelled: tuple[float, ...] = ()
    """Per second; they are none of those that ended."""


class Alarm(Struct, frozen=True):
    """Something that an operator should look at, in a sentence."""

    level: str
    """warning or error"""
    code: str
    text: str
    since: float
    scope: str = ""
    """What it is about: `kind:NAME`, `worker:ID`, or empty for the whole."""


class RunningRow(Struct, frozen=True):
    """A task that a worker runs."""

    task: int
    attempt: int
    kind: str
    since: float
    fraction: float | None = None
    """0 to 1, where the task tells."""
    note: str = ""
    output: bytes = b""
    """The newest of what it wrote. As it came: escape it."""


class EndedRow(Struct, frozen=True):
    """An attempt that ended on a worker."""

    task: int
    attempt: int
    kind: str
    how: str
    """succeeded, failed, timed_out, crashed, cancelled, stuck"""
    seconds: float
    at: float
    error: str = ""
    """First line."""


class WorkerSelf(Struct, frozen=True):
    """A worker as it sees itself."""

    name: str
    peer: str = ""
    """By certificate."""
    state: str = "connecting"
    """connecting, connected, paused, draining, away or stopped"""
    manager: str = ""
    address: str = ""
    """Of the manager."""
    transport: str = ""
    certificate_until: float | None = None
    capacity: int = 0
    running: tuple[RunningRow, ...] = ()
    """At most a thousand, oldest first."""
    waiting: int = 0
    """Leases without a slot."""
    done: int = 0
    failed: int = 0
    unacknowledged: int = 0
    """Outcomes that the manager may not have."""
    sent: int = 0
    """Bytes of all links since it started."""
    received: int = 0
    rtt: float | None = None
    load: dict[str, float] = {}
    """cpu and memory (shares), rss (bytes)"""
    reason: str = ""
    """Why there is no connection."""
    kinds: tuple[str, ...] = ()
    history: tuple[EndedRow, ...] = ()
    """The last two hundred, newest first."""
    leave_by: float | None = None
    """While it drains: when it gives back what still runs."""
    leaving: int = 0
    """Tasks that it held when it began to drain."""


class Snapshot(Struct, frozen=True):
    """A node at one moment: the newest that is known. Cheap to hold, never changes."""

    at: float
    """When it was taken, by the clock of the node."""
    role: str
    """manager or worker"""
    connected: bool = True
    """False while the node is away, and this is the last that was known of it."""
    fleet: PoolStatus | None = None
    """Of a manager, and None of one that has not been heard yet."""
    workers: tuple[WorkerRow, ...] = ()
    """By id."""
    sessions: tuple[SessionRow, ...] = ()
    """Those that stand by number, then those that ended, newest first."""
    kinds: tuple[KindRow, ...] = ()
    """By name."""
    history: History = History()
    alarms: tuple[Alarm, ...] = ()
    worker: WorkerSelf | None = None
    """Of a worker."""
    reason: str = ""
    """Why it is away, in a sentence, while it is."""
    ended: bool = False
    """It is not away but over: it does not come back by itself."""


class EventRow(Struct, frozen=True):
    """Something that happened."""

    number: int
    at: float
    level: str
    """debug, info, warning or error"""
    what: str
    """`task.failed`, `worker.connected`, `log` ..."""
    subject: str = ""
    """The task, worker, kind or scope that it is about."""
    text: str = ""


class WorkerPast(Struct, frozen=True):
    """The last minutes of one worker as its manager saw it: one value a step in each column, oldest first.

    -1 for what is not known: it was not there, or did not tell.
    """

    step: float = 1.0
    """Seconds."""
    cpu: tuple[float, ...] = ()
    """A share, like the next two."""
    memory: tuple[float, ...] = ()
    busy: tuple[float, ...] = ()
    """Of its slots."""
    ended: tuple[float, ...] = ()
    """Attempts that ended, per second."""
    events: tuple[EventRow, ...] = ()
    """What happened to it last, oldest first, with numbers of their own below zero."""


class EventPage(Struct, frozen=True):
    """Events since a cursor."""

    rows: tuple[EventRow, ...]
    cursor: int
    """Ask on from here."""
    missed: int = 0
    """How many were forgotten before this reader came back."""


class KindSchema(Struct, frozen=True):
    """A kind that can be submitted, for a form."""

    name: str
    doc: str = ""
    example: bytes = b""
    """A msgpack payload that works; empty when none is known."""
    schema: dict[str, object] = {}
    """JSON Schema of its payload, where the kind declares one."""
    workers: int = 0
    """Connected ones that offer it."""


class SettingRow(Struct, frozen=True):
    """One setting of the node."""

    key: str
    """`leases.ttl`"""
    value: str
    """As it is written in the file; a secret is masked."""
    origin: str = "default"
    """default, or where it was set: a file, a variable, a flag"""
    doc: str = ""
    default: str = ""


class NetworkRow(Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    value: str
    state: str = "ok"
    """ok, warn or bad"""
    cure: str = ""


class NetworkInfo(Struct, frozen=True):
    """How the node can be reached, and what is wrong with that."""

    transports: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    rows: tuple[NetworkRow, ...] = ()


class Act(Struct, frozen=True):
    """One command of an operator.

    To a manager: cancel, retry, resubmit, edit, set_priority (tasks: `ids` or `query`); pause, resume
    (`scope`); drain, limit, revoke, approve (a member: `scope` is `worker:ID`); set (`scope` is `KEY = VALUE`
    and is in the file already: only for the audit). To a worker, about itself: pause, resume, drain,
    disconnect, start (be linked again, or anew once it has ended).
    """

    verb: str
    ids: tuple[int, ...] = ()
    query: TaskQuery | None = None
    """All tasks that match, instead of `ids`."""
    expected: int | None = None
    """How many match by the count that the operator confirmed; many more than that are refused."""
    scope: str = ""
    """all, kind:NAME or worker:ID"""
    number: float = 0.0
    """Of drain: seconds; of limit: tasks at a time, -1 for what it offers; of set_priority: the priority."""
    payload: bytes | None = None
    """Of edit: the new payload, msgpack."""


class ActDone(Struct, frozen=True):
    """What an act applied to."""

    count: int = 0
    ids: list[int] = []
    """The first thousand; of resubmit and edit the new ones."""
    next: Cursor | None = None
    """Of an act on a query that has more: repeat it with `query.at` set to this. `acting.act_on_all` does."""
