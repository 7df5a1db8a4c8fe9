"""Tasks, workers and members as values that cross threads and wires, and what a store offers of them.

The values are immutable. Payloads and results are msgpack bytes: nobody on the way needs to open them. What
is going on just now is in `live`, the interface that gives it out in `node`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ..core.filter import Range
from .outputs import TaskOutput


class Struct(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value that is sent by name, so that fields can be added."""


class Group(msgspec.Struct, frozen=True, array_like=True):
    """Tasks to submit that differ only in payload and key."""

    kind: str
    payloads: list[bytes]
    """One task each: a msgpack value."""
    keys: list[str] | None = None
    """Idempotency keys, one for each payload, or none at all."""
    priority: int = 0
    """-100 to 100, higher first."""
    timeout: float | None = None
    """Seconds that one attempt may run; None for the kind's own limit."""
    max_attempts: int | None = None
    """None for the manager's setting."""
    delay: float = 0.0
    """Seconds to wait before the first attempt."""
    batch: str | None = None
    worker: str | None = None
    """Only this worker may run them."""


class Cursor(Struct, frozen=True):
    """A place in an order: a row's value of the field that is sorted by, and its id."""

    value: int | float | str | None
    """None when the order is that of the ids."""
    id: int


class TaskQuery(Struct, frozen=True):
    """Which tasks, and which page of them. Conditions are joined by *and*, values in one by *or*.

    Texts are found in any case of the letters a to z. An empty worker, batch or key stands for none at all.
    `handle.filters` makes one of a line in the filter language.
    """

    states: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    text: str = ""
    """Found in kind, key, batch, worker or error."""
    before: int | None = None
    """Keyset cursor of the order by id: only ids below this one (newest first)."""
    after: int | None = None
    """The same: only ids above this one (oldest first). Not together with `before`."""
    limit: int = 100
    keys: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    """All of them are found, each like `text`."""
    errors: tuple[str, ...] = ()
    """One of them is found in the message of the last error."""
    not_states: tuple[int, ...] = ()
    not_kinds: tuple[str, ...] = ()
    not_workers: tuple[str, ...] = ()
    not_batches: tuple[str, ...] = ()
    not_keys: tuple[str, ...] = ()
    not_ids: tuple[int, ...] = ()
    not_texts: tuple[str, ...] = ()
    not_errors: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    """Of id, attempt, priority, run, submitted, finished; all must hold."""
    sort: str = "id"
    """One of `core.filter.SORTS`. `submitted` is the order of the ids. By `finished` and by `run` only tasks
    are listed that have such a value: by `run` those that run as well, with the time so far."""
    descending: bool = True
    at: Cursor | None = None
    """Only rows that come after this one in the order; instead of `before` and `after`."""
    stale: float = 0.0
    """Seconds that the answer may be old: who asks again and again need not be answered anew each time."""
    heads: int = 0
    """Bytes of the beginning of each payload that the rows bring along."""


class TaskRow(Struct, frozen=True):
    """One task, as a table shows it. Times are wall-clock seconds since the epoch."""

    id: int
    kind: str
    state: int
    priority: int
    attempt: int
    max_attempts: int
    spent: int
    submitted_at: float
    due_at: float | None = None
    finished_at: float | None = None
    run_seconds: float | None = None
    worker: str | None = None
    key: str | None = None
    batch: str | None = None
    timeout: float | None = None
    target: str | None = None
    """The one worker that may run it."""
    error: str | None = None
    """First line of the last error."""
    head: bytes | None = None
    """The beginning of its payload, where that was asked for and could be read."""
    started_at: float | None = None
    """When the attempt that runs just now began; `run_seconds` is then how long it has run so far."""


class ErrorInfo(Struct, frozen=True):
    """How an attempt went wrong. Text comes from the worker: escape it before it is shown."""

    code: str
    """failed, timed_out, crashed, lost, cancelled, unknown_kind, stuck, or one of `core.finality`."""
    message: str
    stack: str = ""
    evidence: dict[str, str | int | float] = {}
    """What is known of a crash: exit signal, last output, largest memory."""


class AttemptInfo(Struct, frozen=True):
    """One attempt that did not simply succeed."""

    attempt: int
    worker: str | None
    started_at: float | None
    ended_at: float
    how: str
    error: ErrorInfo | None = None


class TaskDetail(Struct, frozen=True):
    """All that is known of one task."""

    row: TaskRow
    payload_size: int
    result_size: int | None
    payload: bytes | None = None
    """None when larger than the caller wanted to see."""
    error: ErrorInfo | None = None
    attempts: tuple[AttemptInfo, ...] = ()
    waits_for: str = ""
    """Why an open task does not run, in a few words; empty when it runs or has ended."""
    progress: float | None = None
    """0 to 1, of a running task that tells."""
    note: str = ""
    """What it last said of its progress."""
    output: TaskOutput | None = None
    """The newest of what its last attempt wrote that wrote something; None: none did."""
    held_up: bool = False
    """What it waits for is not just its turn or its time: somebody has to do something."""


class TaskPage(Struct, frozen=True):
    """One page of tasks and how to get the next one."""

    rows: tuple[TaskRow, ...]
    more: bool
    """Whether rows may lie beyond this page: ask again with `next` as the cursor."""
    next: Cursor | None = None
    """Where to go on (`TaskQuery.at`), when there is more."""
    searched_to: int | None = None
    """The search took its time and stopped there: nothing is known of tasks beyond this id. A page that has
    this may have few rows, or none, though more match."""


class Count(Struct, frozen=True):
    """How many tasks match."""

    number: int
    exact: bool
    """False: at least so many; counting stopped at the bound it was given, or took too long."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How a task ended."""

    id: int
    state: int
    attempt: int
    worker: str | None
    result: bytes | None = None
    error: ErrorInfo | None = None
    run_seconds: float | None = None


class WorkerRow(Struct, frozen=True):
    """One worker, as a table shows it. Counters outlive a restart of the manager."""

    id: str
    state: str
    """connected, paused, draining, quarantined, away (its leases still hold), offline, revoked"""
    address: str = ""
    transport: str = ""
    kinds: tuple[str, ...] = ()
    capacity: int = 0
    limit: int = 0
    """Most leases it will hold: slots and prefetch."""
    held: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    rtt: float | None = None
    """Seconds, round trip of the newest heartbeat."""
    last_heard: float | None = None
    """Seconds since its last sign of life."""
    load: dict[str, float] = {}
    labels: dict[str, str] = {}
    version: str = ""
    enrolled_at: float | None = None
    expires_at: float | None = None
    broken: dict[str, str] = {}
    """Kinds that it does not offer because they cannot be used there, and why."""
    stuck: tuple[tuple[int, str, float], ...] = ()
    """Tasks that were to end there and do not, so that they keep their slots: id, kind, since when."""
    held_up: str = ""
    """Why it takes no tasks, as `is paused`; empty while it does, or is only busy."""
    pauses: tuple[str, ...] = ()
    """Who has paused it: `fleet` and `worker` are the manager's, `own` is that of its own operator."""


class PoolStatus(Struct, frozen=True):
    """The fleet at a glance."""

    manager: str
    fleet: str
    version: str
    listening: tuple[str, ...]
    started_at: float
    totals: dict[str, int]
    """Tasks by state, ever."""
    accepted: int
    paused: tuple[str, ...]
    """Scopes: `all`, `kind:NAME`, `worker:ID`."""
    workers: int
    """Connected ones."""
    slots: int
    rate: float
    """Outcomes per second, over the last ten seconds."""
    late: int
    refused: int
    waiting: dict[str, str] = {}
    """Why tasks wait, by kind, of the first kinds that do: "12 tasks wait: no worker offers `foo`"."""
    degraded: str = ""
    """What keeps the manager from accepting tasks; empty when all is well."""
    waiting_more: int = 0
    """Queues with waiting tasks besides those in `waiting` or served."""


class TaskReader(Protocol):
    """Reads tasks; what a store offers besides keeping them."""

    async def page(self, query: TaskQuery) -> TaskPage:
        """Rows that match, in the order of the cursor (newest first without one)."""
        ...

    async def count(self, query: TaskQuery, most: int) -> Count:
        """How many match as stored, up to `most`; the cursor does not matter."""
        ...

    async def detail(self, task_id: int, payload_limit: int) -> TaskDetail | None:
        """One task, or None; its payload only up to `payload_limit` bytes."""
        ...

    async def output(self, task_id: int, attempt: int = 0) -> TaskOutput | None:
        """What is kept of what an attempt wrote; 0: the newest that did. None: no attempt wrote anything."""
        ...

    async def outcomes(self, ids: Sequence[int], most: int | None = None) -> list[Outcome]:
        """Of these tasks, those that have ended, with results.

        In their order, up to the one with which they have `most` bytes or more.
        """
        ...

    async def heads(self, ids: Sequence[int], size: int) -> dict[int, bytes]:
        """So many bytes of the beginning of the payloads of these tasks, of those that can be read."""
        ...

    async def totals(self) -> dict[int, int]:
        """How many tasks are kept, by state; counted from the rows, not from memory."""
        ...


class PeerRow(Struct, frozen=True):
    """Someone who was let in by an invite."""

    id: str
    role: str
    """worker, client or operator"""
    serial: str
    """Of its newest certificate, lower-case hex."""
    invite: str | None
    enrolled_at: float
    expires_at: float
    revoked_at: float | None = None
    inventory: str = ""
    """What the machine said of itself when it joined."""
    pending: bool = False
    """It may not come in before an operator has approved it."""
    ephemeral: bool = False
    """It is forgotten when it leaves."""
    fingerprint: str = ""
    """Of its key; empty for those that joined before there were any."""


class PendingRow(Struct, frozen=True):
    """A member that waits for approval."""

    id: str
    role: str
    fingerprint: str
    """As the machine that waits shows it too: the same text at both ends means the same key."""
    invite: str | None
    since: float
    until: float
    """When it is forgotten, unless it is approved."""
    inventory: str = ""
    """What the machine says of itself. Text of a stranger."""


class InviteRow(Struct, frozen=True):
    """An invite, without its secret."""

    id: str
    role: str
    secret_hash: bytes
    uses: int
    uses_left: int
    created_at: float
    expires_at: float
    revoked_at: float | None = None
    approve: bool = False
    """Who joins with it waits until an operator approves."""
    ephemeral: bool = False
    """Who joins with it is forgotten when it leaves."""


class Roster(Protocol):
    """Who may join and who has joined, kept in the manager's database."""

    async def add_invite(self, invite: InviteRow) -> None: ...

    async def invites(self) -> list[InviteRow]:
        """Newest first."""
        ...

    async def invite(self, invite_id: str) -> InviteRow | None: ...

    async def revoke_invite(self, invite_id: str, now: float) -> bool:
        """Whether there was such an invite that was not yet revoked."""
        ...

    async def redeem(self, invite_id: str, peer: PeerRow, now: float) -> bool:
        """In one transaction: count one use down and add the peer.

        False, and nothing changed, when no use is left, it is revoked, or `now` is past its expiry.
        """
        ...

    async def peers(self) -> list[PeerRow]: ...

    async def peer(self, peer_id: str) -> PeerRow | None: ...

    async def renew_peer(self, peer_id: str, serial: str, expires_at: float) -> None: ...

    async def revoke_peer(self, peer_id: str, now: float) -> bool:
        """Whether there was such a peer that was not yet revoked."""
        ...

    async def approve_peer(self, peer_id: str) -> bool:
        """Whether there was such a peer that waited for approval and was not revoked."""
        ...

    async def forget_peer(self, peer_id: str) -> bool:
        """Remove a peer; whether there was one."""
        ...

    async def forget_pending(self, before: float) -> list[str]:
        """Remove those that have waited for approval since before then, revoked or not; their ids."""
        ...
