"""Fleets, members and strangers for tests of trust: real keys and certificates, and a roster in memory."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec
from anyio.abc import ByteStream
from cryptography.x509 import load_pem_x509_certificate
from taskmessenger.handle import InviteRow, PeerRow
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.security.certificates import Certificate
from taskmessenger.net.security.endpoints import TcpEndpoint
from taskmessenger.net.security.enrol import EnrolRequest, Joining, Registrar, create_invite
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.invites import Invite
from taskmessenger.net.security.tls import SecureStream, wrap_client, wrap_server
from taskmessenger.net.security.trust import Credentials

BOUND = 10.0
"""Seconds after which a test of two streams has failed."""
STARTED = time.time()
"""When certificates are issued unless a test says otherwise: a module of tests has noted its time when it was
imported, and that may be a quarter of an hour ago."""
SOMEWHERE = TcpEndpoint("127.0.0.1", 7711)


def a_fleet(folder: Path, name: str = "lab-A") -> Authority:
    return Authority.load_or_create(folder / f"fleet-{name}", name, STARTED)


def a_member(
    fleet: Authority, folder: Path, *, role: str = "worker", peer_id: str = "w-fern-0001", issued: float = 0.0
) -> Identity:
    """A member whose certificate was issued so many seconds from now (negative: ago), good for 30 days."""
    key = identities.new_key()
    when = time.time() + issued if issued else STARTED
    certificate = fleet.issue(identities.make_csr(key), role, peer_id, when)
    member = Identity(
        folder=folder / peer_id,
        fleet_id=fleet.fleet_id,
        role=role,
        peer_id=peer_id,
        manager_name=fleet.fleet_name,
        certificate=certificate,
        ca_der=fleet.ca_der,
        endpoints=(str(SOMEWHERE),),
    )
    identities.save(member, key)
    return member


def manager_leaf(fleet: Authority, now: float | None = None) -> bytes:
    pem = fleet.issue_manager(STARTED if now is None else now).read_bytes()
    begin = b"-----BEGIN CERTIFICATE-----"
    return Certificate.of_x509(load_pem_x509_certificate(begin + pem.split(begin)[1])).der


def an_invite(
    fleet: Authority, *, role: str = "worker", uses: int = 1, ttl: float = 900, now: float | None = None
) -> tuple[Invite, InviteRow]:
    created = time.time() if now is None else now
    return create_invite(fleet.key_hash, [SOMEWHERE], role, uses, ttl, created)


def a_request(invite: Invite, **changes: object) -> EnrolRequest:
    """What an honest machine sends after it has recognised the manager."""
    fields: dict[str, object] = {
        "invite_id": invite.id,
        "secret": invite.secret,
        "csr": identities.make_csr(identities.new_key()),
        "name": "Fern 2",
    }
    return EnrolRequest(**(fields | changes))  # type: ignore[arg-type]


def a_joining(invite: Invite, name: str = "fern") -> Joining:
    return Joining(invite=invite, key_pem=identities.new_key(), name=name)


def credentials_of(member: Identity, **changes: object) -> Credentials:
    fields: dict[str, object] = {
        "fleet_id": member.fleet_id,
        "role": member.role,
        "peer_id": member.peer_id,
        "serial": member.certificate.serial,
        "expires_at": member.certificate.not_after,
    }
    return Credentials(**(fields | changes))  # type: ignore[arg-type]


@dataclass
class FakeRoster:
    """A roster in memory whose calls give others a chance to run in between."""

    kept_invites: dict[str, InviteRow] = field(default_factory=dict)
    kept_peers: dict[str, PeerRow] = field(default_factory=dict)

    async def add_invite(self, invite: InviteRow) -> None:
        self.kept_invites[invite.id] = invite

    async def invites(self) -> list[InviteRow]:
        return list(self.kept_invites.values())

    async def invite(self, invite_id: str) -> InviteRow | None:
        await anyio.lowlevel.checkpoint()
        return self.kept_invites.get(invite_id)

    async def revoke_invite(self, invite_id: str, now: float) -> bool:
        self.kept_invites[invite_id] = msgspec.structs.replace(self.kept_invites[invite_id], revoked_at=now)
        return True

    async def redeem(self, invite_id: str, peer: PeerRow, now: float) -> bool:
        await anyio.lowlevel.checkpoint()
        row = self.kept_invites.get(invite_id)
        if row is None or row.uses_left <= 0 or row.revoked_at is not None or now >= row.expires_at:
            return False
        self.kept_invites[invite_id] = msgspec.structs.replace(row, uses_left=row.uses_left - 1)
        self.kept_peers[peer.id] = peer
        return True

    async def peers(self) -> list[PeerRow]:
        return list(self.kept_peers.values())

    async def peer(self, peer_id: str) -> PeerRow | None:
        await anyio.lowlevel.checkpoint()
        return self.kept_peers.get(peer_id)

    async def renew_peer(self, peer_id: str, serial: str, expires_at: float) -> None:
        row = self.kept_peers[peer_id]
        self.kept_peers[peer_id] = msgspec.structs.replace(row, serial=serial, expires_at=expires_at)

    async def revoke_peer(self, peer_id: str, now: float) -> bool:
        self.kept_peers[peer_id] = msgspec.structs.replace(self.kept_peers[peer_id], revoked_at=now)
        return True

    def knows(self, member: Identity) -> None:
        """Let this member have joined."""
        self.kept_peers[member.peer_id] = PeerRow(
            id=member.peer_id,
            role=member.role,
            serial=member.certificate.serial,
            invite=None,
            enrolled_at=member.certificate.not_before,
            expires_at=member.certificate.not_after,
        )


class Pipe(ByteStream):
    """One end of a stream of bytes in memory; the ends of a pipe are each other's `peer`."""

    peer: Pipe

    def __init__(self) -> None:
        self._arrived = bytearray()
        self._news = anyio.Event()
        self._closed = self._ended = False
        self.sent = bytearray()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._arrived:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._ended:
                raise anyio.EndOfStream
            self._news = anyio.Event()
            await self._news.wait()
        got = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        return got

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise anyio.ClosedResourceError
        if self.peer._closed:
            raise anyio.BrokenResourceError
        self.sent += item
        self.peer._arrived += item
        self.peer._news.set()

    async def send_eof(self) -> None:
        self.peer._ended = True
        self.peer._news.set()

    async def aclose(self) -> None:
        self._closed = True
        self._news.set()
        await self.send_eof()
        await anyio.lowlevel.checkpoint()


def byte_pipe() -> tuple[Pipe, Pipe]:
    one, other = Pipe(), Pipe()
    one.peer, other.peer = other, one
    return one, other


def a_registrar(fleet: Authority, *rows) -> tuple[Registrar, FakeRoster]:
    roster = FakeRoster({row.id: row for row in rows})
    return Registrar(authority=fleet, roster=roster), roster


Talk = Callable[[SecureStream], Awaitable[object]]


async def nothing(stream: SecureStream) -> None:
    """For a side that only shakes hands."""


@dataclass
class Meeting:
    """What came of a handshake and the talk after it, on each side: a value or an error."""

    server: object = None
    client: object = None


async def meet(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    *,
    serve: Talk = nothing,
    talk: Talk = nothing,
    pipe: tuple[ByteStream, ByteStream] | None = None,
) -> Meeting:
    """Shake hands over a memory stream (or the one given), talk, and tell how it went on both sides."""
    far, near = pipe or byte_pipe()
    met = Meeting()

    async def one_side(
        name: str, wrap: Callable[..., Awaitable[SecureStream]], *, stream: ByteStream
    ) -> None:
        context, say = (server, serve) if name == "server" else (client, talk)
        try:
            secure = await wrap(stream, context, f"the {name}'s other side")
            async with secure:
                setattr(met, name, await say(secure))
        except Exception as error:
            setattr(met, name, error)

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: one_side("server", wrap_server, stream=far))
            group.start_soon(lambda: one_side("client", wrap_client, stream=near))
    return met


async def tcp_pair() -> tuple[ByteStream, ByteStream]:
    """Both ends of a TCP connection over loopback: the accepted one first."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    accepted: list[ByteStream] = []
    arrived = anyio.Event()

    async def keep(stream: ByteStream) -> None:
        accepted.append(stream)
        arrived.set()

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, keep)
            near = await anyio.connect_tcp("127.0.0.1", port)
            await arrived.wait()
            group.cancel_scope.cancel()
    await listener.aclose()
    return accepted[0], near
