"""What peers say to each other, as msgpack arrays that begin with the number of the message.

A new field with a default at the end is compatible, and so is a new message that is only sent to peers that
asked for it; any other change is a new protocol version. Tasks travel in columns or short rows, many to a
message, because a message costs more than a task. Payloads, results and errors stay the bytes they are.
"""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from ..core.errors import PeerError
from ..handle import (
    Group,
    InviteRow,
    Outcome,
    PoolStatus,
    TaskDetail,
    TaskPage,
    TaskQuery,
    WorkerRow,
)
from .console_messages import Counted, CountTasks, Did, Do, Facts, Look, View
from .greeting import AuthorityIs, Base, Beat, Goodbye, Hello, Join, Joined, Refusal, WantAuthority, Welcome
from .output_messages import GetOutput, Output, OutputIs, Piece, Progress

__all__ = [
    "AuthorityIs",
    "Beat",
    "CountTasks",
    "Counted",
    "Did",
    "Do",
    "Facts",
    "GetOutput",
    "Goodbye",
    "Hello",
    "Join",
    "Joined",
    "Look",
    "Output",
    "OutputIs",
    "Piece",
    "Progress",
    "Refusal",
    "View",
    "WantAuthority",
    "Welcome",
]  # fmt: skip

PROTOCOL: Final = 1
"""Spoken by this version; a manager speaks this and the one before."""
OLDEST: Final = 1


# ---- worker to manager ----------------------------------------------------------------------------------


class Offer(Base, frozen=True, tag=20):
    """What the worker can do and how much; replaces the offer before."""

    kinds: list[str]
    isolated: list[str]
    """Those of them that run in processes of their own."""
    capacity: int
    limit: int
    """Most leases it will hold at a time."""
    paused: bool = False
    labels: dict[str, str] = {}
    about: list[tuple[str, str, bytes]] = []
    """Of kinds: name, description, a payload that works (msgpack) or nothing. Empty: as said before."""
    broken: list[tuple[str, str]] = []
    """Kinds that are not offered because they cannot be used, and why."""
    stuck: list[tuple[int, str, float]] = []
    """What was to end and does not, so that it keeps its slot: task, kind, for how many seconds."""


class Holding(Base, frozen=True, tag=21):
    """All leases that the worker still has, after which it gets new ones; many in several messages."""

    tasks: list[int]
    attempts: list[int]
    more: bool = False
    """The rest follows."""


class Started(Base, frozen=True, tag=22):
    """These run now."""

    tasks: list[int]
    attempts: list[int]


class Finished(Base, frozen=True, tag=23):
    """These succeeded."""

    tasks: list[int]
    attempts: list[int]
    results: list[bytes]
    seconds: list[float]


class Broke(Base, frozen=True, tag=24):
    """These ended in another way: task, attempt, `core.stimuli.How`, seconds, error."""

    ends: list[tuple[int, int, int, float, bytes | None]]


class Steered(Base, frozen=True, tag=26):
    """What `Steer` asked for is in force."""

    sequence: int


class RenewMe(Base, frozen=True, tag=27):
    """My certificate has used two thirds of its life; here is a request for the next."""

    request: bytes


# ---- manager to worker ----------------------------------------------------------------------------------

Lease = tuple[int, int, float | None, bytes]
"""Task id, attempt, timeout in seconds or None, payload."""


class Assign(Base, frozen=True, tag=30):
    """Leases, by kind."""

    leases: list[tuple[str, list[Lease]]]


class Ack(Base, frozen=True, tag=31):
    """These outcomes are safe, or no longer wanted: forget them."""

    tasks: list[int]
    attempts: list[int]


class EndLeases(Base, frozen=True, tag=32):
    """End these attempts; their outcome will not count."""

    tasks: list[int]
    attempts: list[int]


class Steer(Base, frozen=True, tag=33):
    """`pause` or `resume` a scope, or `drain` within `deadline` seconds."""

    sequence: int
    verb: str
    scope: str = ""
    deadline: float = 0.0


class Renewed(Base, frozen=True, tag=34):
    """The next certificate."""

    certificate: bytes


# ---- client or operator to manager ----------------------------------------------------------------------


class Submit(Base, frozen=True, tag=40):
    """New tasks, group by group: each is accepted whole or refused whole."""

    request: int
    groups: list[Group]
    watch: bool = False
    """Tell this session how they end."""


class Watch(Base, frozen=True, tag=41):
    """Tell this session how these end; those that have ended are told at once."""

    request: int
    ids: list[int]


class Ask(Base, frozen=True, tag=42):
    """A question: `status`, `workers`, `invites`; for consoles also the others.

    Those are `kinds`, `settings`, `network`, `pending` and `worker ID`.
    """

    request: int
    what: str


class FindTasks(Base, frozen=True, tag=43):
    """A page of tasks."""

    request: int
    query: TaskQuery


class GetTask(Base, frozen=True, tag=44):
    """One task in detail."""

    request: int
    task: int
    payload_limit: int = 4096


class GetOutcomes(Base, frozen=True, tag=45):
    """Outcomes of those that have ended, with results."""

    request: int
    ids: list[int]


class Command(Base, frozen=True, tag=46):
    """Do it: `cancel`, `retry` (ids); `pause`, `resume` (scope); `drain`, `revoke`, `approve` (member id)."""

    request: int
    verb: str
    ids: list[int] = []
    scope: str = ""
    deadline: float = 0.0


class MakeInvite(Base, frozen=True, tag=47):
    """A new invite. 0 for what the manager is set to."""

    request: int
    uses: int
    ttl: float
    """Seconds."""
    role: str = "worker"
    endpoints: list[str] = []
    """Instead of the addresses that the manager advertises."""
    approve: bool = False
    """Who joins with it waits for an operator. Of managers that offer `approve`, like the next."""
    ephemeral: bool = False
    """Who joins with it is forgotten when it leaves."""


class RevokeInvite(Base, frozen=True, tag=48):
    """Nobody may use this invite any more."""

    request: int
    invite: str


class GetEvents(Base, frozen=True, tag=49):
    """Journal entries from a cursor on."""

    request: int
    cursor: int
    limit: int = 1000


# ---- manager to client or operator ----------------------------------------------------------------------


class Submitted(Base, frozen=True, tag=60):
    """All groups are durable: one id for each payload, in order."""

    request: int
    ids: list[int]
    duplicates: int = 0
    """How many of them were there already, by key."""


class Failure(Base, frozen=True, tag=61):
    """The request was not done; `code` is that of an error."""

    request: int
    code: str
    message: str


class Outcomes(Base, frozen=True, tag=62):
    """How watched tasks ended (`request` 0), or the answer to `GetOutcomes` and `Watch`, in several messages.

    Those may arrive in any order: an answer is complete when there are as many outcomes as one of them says.
    """

    request: int
    outcomes: list[Outcome]
    without_result: list[int] = []
    """These ended, but how has to be asked: this session is behind with reading."""
    total: int | None = None
    """Outcomes in the whole answer; in one of its messages only."""


class Page(Base, frozen=True, tag=63):
    """Answers `FindTasks`."""

    request: int
    page: TaskPage


class Detail(Base, frozen=True, tag=64):
    """Answers `GetTask`."""

    request: int
    detail: TaskDetail


class Status(Base, frozen=True, tag=65):
    """Answers `status`."""

    request: int
    status: PoolStatus


class Workers(Base, frozen=True, tag=66):
    """Answers `workers`."""

    request: int
    workers: list[WorkerRow]


class Invites(Base, frozen=True, tag=67):
    """Answers `invites`, without secrets."""

    request: int
    invites: list[InviteRow]


class InviteMade(Base, frozen=True, tag=68):
    """Answers `MakeInvite`: the only time that the secret is seen."""

    request: int
    text: str
    invite: InviteRow


class Done(Base, frozen=True, tag=69):
    """Answers `Command`: the ids it applied to."""

    request: int
    ids: list[int] = []


class Events(Base, frozen=True, tag=70):
    """Answers `GetEvents`."""

    request: int
    events: list[tuple[str, str, list[int], str]]
    cursor: int
    missed: int


HandshakeMessage = Hello | Welcome | WantAuthority | AuthorityIs | Join | Joined | Refusal
FromWorker = Offer | Holding | Started | Finished | Broke | Output | Progress | Steered | RenewMe
ToWorker = Assign | Ack | EndLeases | Steer | Renewed
FromClient = (
    Submit | Watch | Ask | FindTasks | GetTask | GetOutcomes | Command | MakeInvite | RevokeInvite | GetEvents
    | Look | Do | CountTasks | GetOutput
)  # fmt: skip
ToClient = (
    Submitted | Failure | Outcomes | Page | Detail | Status | Workers | Invites | InviteMade | Done | Events
    | View | Did | Counted | Facts | OutputIs
)  # fmt: skip
Message = HandshakeMessage | Beat | Goodbye | FromWorker | ToWorker | FromClient | ToClient

_BOTH: Final = (Beat, Goodbye)
MAY_SAY: Final[dict[str, frozenset[type]]] = {
    "worker": frozenset((*_BOTH, *get_args(FromWorker))),
    "client": frozenset((*_BOTH, *get_args(FromClient))),
    "operator": frozenset((*_BOTH, *get_args(FromClient))),
    "manager to worker": frozenset((*_BOTH, *get_args(ToWorker))),
    "manager to client": frozenset((*_BOTH, *get_args(ToClient))),
    "manager to operator": frozenset((*_BOTH, *get_args(ToClient))),
    "stranger": frozenset((Hello, WantAuthority, Join, Goodbye)),
    "greeter": frozenset((Welcome, AuthorityIs, Joined, Refusal, Goodbye)),
}
"""Which messages one end may send once it is known for what it is; anything else is a crime."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
_handshake: Final[msgspec.msgpack.Decoder[HandshakeMessage | Beat | Goodbye]] = msgspec.msgpack.Decoder(
    HandshakeMessage | Beat | Goodbye
)


def pack(message: Message) -> bytes:
    """The message as the body of a frame."""
    return _encoder.encode(message)


def unpack(body: bytes | bytearray, *, known: bool) -> Message:
    """The message in a body. Before a peer is `known`, nothing but the handshake is understood.

    Raises:
        PeerError: not msgpack, text that is none, an unknown message, or a field of the wrong type.
    """
    try:
        return (_decoder if known else _handshake).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerError(f"undecodable message: {error}") from error
