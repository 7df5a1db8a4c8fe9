"""The pool's own mutable objects. One writer owns them; slots keep a queued task small."""

from __future__ import annotations

from ..lifecycle import TaskState
from ..stimuli import Options, Stuck
from .conduct import Share


class Grant:
    """One row of the lease log: all leases that one worker got in one batch. Gone when none is open."""

    __slots__ = ("at", "open", "seq")

    def __init__(self, seq: int, leases: int, at: float) -> None:
        """`at`: monotonic."""
        self.seq, self.open, self.at = seq, leases, at


class Task:
    """One open task."""

    __slots__ = (
        "attempt", "crashes", "due", "due_wall", "grant", "id", "key", "options", "payload", "spent",
        "started", "state", "submitted", "suspect", "watch", "worker",
    )  # fmt: skip

    def __init__(self, task_id: int, options: Options, payload: bytes | None, submitted: float) -> None:
        self.id = task_id
        self.options = options
        self.payload = payload
        """None: too large to keep here, or not loaded; the store has it."""
        self.submitted = submitted
        """Wall clock."""
        self.state = TaskState.QUEUED
        self.attempt = 0
        """Leases ever granted; the fencing token of the current one."""
        self.spent = 0
        """Attempts that may have run and did not succeed. Those given back on purpose do not count."""
        self.crashes = 0
        self.suspect = False
        """Ran on a worker that died with others beside it: runs alone until it is cleared."""
        self.due: float | None = None
        self.due_wall: float | None = None
        self.worker: str | None = None
        self.grant: Grant | None = None
        self.started: float | None = None
        """Wall clock."""
        self.key: str | None = None
        self.watch: int | tuple[int, ...] | None = None
        """Who is told how it ends; nearly always one or nobody."""


class Reported:
    """What a worker has said in parts, as far as it is needed when all has been said."""

    __slots__ = ("foreign", "known")

    def __init__(self) -> None:
        self.known: set[tuple[int, int]] = set()
        """Leases that it has, and those that it has not given back."""
        self.foreign = 0
        """How many this pool never gave."""


class Worker:
    """One worker that is here, or whose leases still hold."""

    __slots__ = (
        "address", "alone", "capacity", "described", "drain_seconds", "draining", "fair_from", "held", "id",
        "instance", "isolated", "kinds", "lease_until", "limit", "newest_grant", "offered", "paused", "picks",
        "reported", "restarted", "running", "session", "share", "stuck", "synced", "unreturned", "unwanted",
        "wrote",
    )  # fmt: skip

    def __init__(self, worker_id: str, share: Share | None = None) -> None:
        """`share`: what it has done before it came here."""
        self.id = worker_id
        self.share = share or Share()
        self.session: int | None = None
        self.instance: bytes | None = None
        self.address = ""
        self.kinds: frozenset[str] = frozenset()
        self.isolated: frozenset[str] = frozenset()
        self.capacity = 0
        self.limit = 0
        self.offered = (0, 0)
        """Capacity and limit as it said, before a cap."""
        self.stuck: tuple[Stuck, ...] = ()
        """What it was to end and cannot; each takes a slot."""
        self.wrote: dict[int, int] = {}
        """Of leases that it has: bytes of output that were taken."""
        self.described: tuple[int, frozenset[str]] | None = None
        """Slots and isolated kinds as they are stored, for as long as it may have leases."""
        self.newest_grant = 0
        """Sequence number of the last grant it got."""
        self.held: dict[int, int] = {}
        """Leases it has not given an account of, oldest first: task id to attempt. Cancelled ones stay."""
        self.running: dict[int, float] = {}
        """Those of them that it said it has begun: task id to the moment (monotonic) of hearing that."""
        self.unreturned: set[tuple[int, int]] = set()
        """Leases that the manager ended, and of which it has not said that it has no more: they take room."""
        self.lease_until = 0.0
        """Monotonic: all its leases end then, unless it gives a sign of life."""
        self.fair_from = 0.0
        """Monotonic: since then it could hear of its leases and tell of them."""
        self.synced = False
        """It has said what it holds; before that nothing is leased to it."""
        self.reported: Reported | None = None
        """What it has said so far that it holds, while more follows."""
        self.restarted = False
        """Its process is not the one that got the leases in `held`."""
        self.paused = False
        """By its own operator; the manager's pauses are scopes of the pool."""
        self.draining = False
        self.drain_seconds = 0.0
        """How long its tasks may still run, when it drains."""
        self.alone: int | None = None
        """The suspect that it runs, with nothing beside it."""
        self.picks = 0
        """Leases chosen for it among several priorities; see `STARVED_SHARE`."""
        self.unwanted: set[tuple[int, int]] = set()
        """What it said to hold in this session and was never given, or no longer has: task and attempt."""

    @property
    def taken(self) -> int:
        """Its room that is in use."""
        return len(self.held) + len(self.unreturned)

    @property
    def credit(self) -> int:
        """How many more leases it will take now."""
        if self.session is None or not self.synced or self.paused or self.draining or self.alone is not None:
            return 0
        return max(0, self.limit - self.taken)
