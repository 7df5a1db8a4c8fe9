"""How a conversation begins and how it is kept alive: the messages that strangers may send too."""

from __future__ import annotations

import msgspec


class Base(msgspec.Struct, frozen=True, array_like=True):
    """Any message."""


# ---- both ways ------------------------------------------------------------------------------------------


class Beat(Base, frozen=True, tag=1):
    """A sign of life, and the answer to one."""

    sequence: int
    echo: int = 0
    """Sequence number of the other side's newest beat; 0 before the first."""
    load: dict[str, float] = {}
    """What a worker's machine is doing: cpu (share of all cores), memory (share), rss (bytes)."""


class Goodbye(Base, frozen=True, tag=2):
    """The last word of either side. Not an error unless `code` is one."""

    code: str
    message: str = ""


# ---- handshake ------------------------------------------------------------------------------------------


class Hello(Base, frozen=True, tag=10):
    """First word of a peer that has a certificate, or that comes through the local socket."""

    oldest: int
    newest: int
    """Protocol versions that it speaks."""
    role: str
    version: str
    """Of the program; for people."""
    instance: bytes = b""
    """Random, one for each process."""
    fresh: bool = True
    """This process has never had a session before."""
    carrier: str = ""
    """Who the peer is to what carries the link, where that has names of its own; checked at the other end."""
    mark: bytes = b""
    """That of the last `Welcome` this member got; see there."""


class Welcome(Base, frozen=True, tag=11):
    """The peer is in."""

    protocol: int
    manager: str
    fleet: str
    peer: str
    """Who the manager takes the peer for."""
    heartbeat: float
    """Seconds between signs of life."""
    dead_after: float
    """Seconds of silence after which a link is given up."""
    lease_ttl: float
    max_payload: int
    version: str = ""
    offers: tuple[str, ...] = ()
    """What this manager understands beyond the first messages of its protocol version: `look`, `approve`."""
    epoch: bytes = b""
    """The life of the manager's data. Ids, attempts and leases of another one mean nothing here."""
    mark: bytes = b""
    """To be kept, and shown in the next `Hello`: so a manager notices that its data were put back since."""


class WantAuthority(Base, frozen=True, tag=12):
    """First word of a peer that has only an invite: show who you are before I show my secret."""

    oldest: int
    newest: int
    carrier: str = ""
    """As in `Hello`."""


class AuthorityIs(Base, frozen=True, tag=13):
    """The certificate of the fleet's authority, to be compared with the hash in the invite."""

    certificate: bytes
    """DER."""
    manager: str


class Join(Base, frozen=True, tag=14):
    """Let me in."""

    invite: str
    secret: bytes
    request: bytes
    """Certificate signing request, DER."""
    name: str
    inventory: str = ""


class Joined(Base, frozen=True, tag=15):
    """You are in: come back with this certificate."""

    certificate: bytes
    """DER."""
    authority: bytes
    fleet: str
    peer: str
    role: str
    manager: str


class Refusal(Base, frozen=True, tag=16):
    """No; `code` is that of an error, the message says why and what helps."""

    code: str
    message: str
