"""What can happen to a pool. One class for each; they carry many tasks at a time.

`session` is the number of one authenticated connection, given by whoever hosts the pool; `reply` and `watch`
are numbers that come back in effects, so that the host knows whom to answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from .commit import OpenRow, OutputRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What tasks of one group have in common. Shared between them, so that a queued task stays small."""

    kind: str
    priority: int = 0
    timeout: float | None = None
    max_attempts: int = 5
    batch: str | None = None
    target: str | None = None
    """The one worker that may run it."""


Stuck = tuple[int, str, float]
"""A task that was to end and does not, so that it keeps its slot: id, kind, since when (wall clock)."""


@dataclass(slots=True)
class Submit:
    """Someone wants these tasks done."""

    options: Options
    payloads: Sequence[bytes]
    keys: Sequence[str] | None = None
    digests: Sequence[bytes] | None = None
    """What makes two submissions with one key the same; beside `keys`."""
    known: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    """Keys that the store knows from tasks that had ended before this batch: id and digest."""
    delay: float = 0.0
    reply: int = 0
    watch: int | None = None


class How(IntEnum):
    """How an attempt ended, as the worker saw it."""

    SUCCEEDED = 0
    FAILED = 1
    TIMED_OUT = 2
    CRASHED = 3
    """The task's own process died; the worker lives."""
    CANCELLED = 4
    STUCK = 5
    """It was to end and did not; the worker goes on without it."""
    RELEASED = 6
    """Given back, on purpose, without an outcome."""
    REFUSED = 7
    """It failed in a way that another attempt cannot cure."""


@dataclass(slots=True)
class Finished:
    """Attempts that succeeded, in columns."""

    session: int
    tasks: Sequence[int]
    attempts: Sequence[int]
    results: Sequence[bytes]
    seconds: Sequence[float]


@dataclass(slots=True)
class Broke:
    """Attempts that ended in another way: (task, attempt, how, seconds, error) each."""

    session: int
    ends: Sequence[tuple[int, int, How, float, bytes | None]]


@dataclass(slots=True)
class Wrote:
    """Pieces of what attempts wrote, before word of how they ended."""

    session: int
    pieces: Sequence[OutputRow]


@dataclass(slots=True)
class Started:
    """These leases run now."""

    session: int
    tasks: Sequence[int]
    attempts: Sequence[int]


@dataclass(slots=True)
class WorkerJoined:
    """A worker's handshake is done. Nothing is leased to it before `Holding`."""

    session: int
    worker: str
    instance: bytes
    """Random, one for each process: tells a reconnect from a second process with the same identity."""
    fresh: bool
    """This process has never had a session: whatever it was leased before died with its predecessor."""
    address: str = ""


@dataclass(slots=True)
class Offered:
    """What a worker can do, and how much; replaces what it said before."""

    session: int
    kinds: frozenset[str]
    isolated: frozenset[str]
    """Kinds that run in a process of their own: the worker's death does not accuse them."""
    capacity: int
    limit: int
    """How many leases it will hold at most: capacity and prefetch."""
    paused: bool = False
    stuck: tuple[Stuck, ...] = ()


@dataclass(slots=True)
class Holding:
    """All (task, attempt) pairs a worker still has: running, waiting, or finished and not acknowledged."""

    session: int
    leases: Collection[tuple[int, int]]
    more: bool = False
    """The rest follows."""


@dataclass(slots=True)
class Beat:
    """A sign of life: it renews all leases of the worker."""

    session: int


@dataclass(slots=True)
class LinkLost:
    """The connection is gone; the worker may be back."""

    session: int
    reason: str = ""


@dataclass(slots=True)
class WorkerLeft:
    """The worker said goodbye and has given back what it had."""

    session: int


@dataclass(slots=True)
class WorkerRevoked:
    """The worker is no longer trusted: its leases end now."""

    worker: str


@dataclass(slots=True)
class Cancel:
    """An operator or client wants these tasks ended, for good."""

    ids: Sequence[int]
    reply: int = 0


@dataclass(slots=True)
class Retry:
    """Ended tasks that a person wants tried again."""

    rows: Sequence[OpenRow] = ()
    """As the store has them; whoever hosts the pool fills them in from `ids`, just before."""
    reply: int = 0
    ids: Sequence[int] = ()


@dataclass(slots=True)
class Pause:
    """Hand out nothing new in `scope`: `all`, `kind:NAME` or `worker:ID`."""

    scope: str
    reply: int = 0


@dataclass(slots=True)
class Resume:
    """The end of a pause."""

    scope: str
    reply: int = 0


@dataclass(slots=True)
class Drain:
    """Let a worker finish what it runs, for at most `deadline` seconds, then go."""

    worker: str
    deadline: float
    reply: int = 0


@dataclass(slots=True)
class SetPriority:
    """Open tasks that no worker has are to wait their turn among those of this priority."""

    ids: Sequence[int]
    priority: int
    reply: int = 0


@dataclass(slots=True)
class Limit:
    """This worker may hold so many leases at most, whatever it offers; None ends that."""

    worker: str
    most: int | None
    reply: int = 0


@dataclass(slots=True)
class Watch:
    """Tell `watch` how these tasks end."""

    ids: Sequence[int]
    watch: int
    reply: int = 0


@dataclass(slots=True)
class Unwatch:
    """Nobody listens at `watch` any more."""

    watch: int


@dataclass(slots=True)
class Tick:
    """Time has passed."""


Stimulus = (
    Submit | Finished | Broke | Wrote | Started | WorkerJoined | Offered | Holding | Beat | LinkLost
    | WorkerLeft | WorkerRevoked | Cancel | Retry | Pause | Resume | Drain | SetPriority | Limit | Watch
    | Unwatch | Tick
)  # fmt: skip
