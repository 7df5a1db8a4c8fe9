"""How an invite becomes a membership: values and decisions of both ends; frames are somebody else's.

The joining end (`Joining`) hands out its secret only after it has recognised the manager. The manager's end
(`Registrar`) takes the use, and adds the member, in one transaction of the roster: of a hundred machines
with the same one-use invite one gets in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...core.errors import Conflict, InviteError, PeerError, Refused, UsageError
from ...core.inviting import MAX_TTL, MAX_USES, MIN_TTL
from ...handle import InviteRow, PeerRow, Roster
from . import crockford
from .authority import Authority
from .certificates import Certificate, key_hash, parse, uris_of
from .endpoints import Endpoint, address_of
from .identity import Identity, make_csr, save
from .invites import ID_SYMBOLS, SECRET_BYTES, Invite, hash_secret, new_id, new_secret, secret_fits
from .limiter import FailureLimiter
from .names import ROLES, parse_member_uri
from .recognise import check_manager
from .trust import Credentials, admit

MAX_INVENTORY: Final = 1024
"""Characters of what a machine says of itself that are kept."""
MAX_SLUG: Final = 24
_SUFFIX_SYMBOLS: Final = 4
_ID_TRIES: Final = 16
_UNKNOWN: Final = (
    "this manager does not know this invite: make a new one with `taskmessenger invite` at the manager"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest:
    """What the joining end asks for, after it has recognised the manager."""

    invite_id: str
    secret: bytes = field(repr=False)
    csr: bytes = field(repr=False)
    """PKCS #10 as DER."""
    name: str
    """What the machine would like to be called; becomes a part of its id."""
    inventory: str = ""
    """What the machine says of itself, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolGranted:
    """The membership."""

    certificate: bytes = field(repr=False)
    """DER, as `ca`."""
    ca: bytes = field(repr=False)
    fleet_id: str
    peer_id: str
    role: str
    manager_name: str
    pending: bool = False
    """It has to wait for an operator. For the log of the manager; the other end finds out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an invite asks of those who join with it."""

    approve: bool = False
    """They wait until an operator approves them."""
    ephemeral: bool = False
    """They are forgotten when they leave."""


def create_invite(
    ca_key_hash: bytes,
    endpoints: Sequence[Endpoint],
    role: str,
    uses: int,
    ttl: float,
    now: float,
    terms: Terms = Terms(),
) -> tuple[Invite, InviteRow]:
    """A new invite: one half to hand over (`invites.encode`), one to keep (`Roster.add_invite`).

    Args:
        ca_key_hash: `Authority.key_hash`.
        endpoints: 1 to 4 places where the manager listens.
        role: one of `ROLES`.
        uses: how many machines may join with it.
        ttl: seconds that it is good for.
        now: wall-clock seconds since the epoch.
        terms: what else it asks of who joins with it.

    Raises:
        UsageError: no such role, or a number out of bounds.
    """
    if role not in ROLES:
        raise UsageError(f"no role is called `{role}`; roles are {', '.join(ROLES)}")
    if not 1 <= uses <= MAX_USES:
        raise UsageError(f"an invite has 1 to {MAX_USES} uses, not {uses}")
    if not MIN_TTL <= ttl <= MAX_TTL:
        raise UsageError(f"an invite is good for {MIN_TTL:g} s to {MAX_TTL / 86_400:g} days, never for ever")
    invite = Invite(
        id=new_id(),
        secret=new_secret(),
        ca_hash=ca_key_hash,
        endpoints=tuple(endpoints),
        expires_at=int(now + ttl),
        role=role,
        approve=terms.approve,
        ephemeral=terms.ephemeral,
    )
    return invite, _invite_row(invite, uses, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """The joining end: one attempt to become a member. The secret leaves by `request` only."""

    invite: Invite
    key_pem: bytes = field(repr=False)
    """From `identity.new_key`."""
    name: str
    inventory: str = ""

    def request(self, leaf_der: bytes, ca_der: bytes, now: float) -> EnrolRequest:
        """What to send to the other end, which showed these two certificates.

        Raises:
            Refused: it is not the manager that made the invite; nothing secret has been revealed.
        """
        check_manager(leaf_der, ca_der, self.invite, now)
        return EnrolRequest(
            invite_id=self.invite.id,
            secret=self.invite.secret,
            csr=make_csr(self.key_pem),
            name=self.name,
            inventory=self.inventory,
        )

    def accept(self, granted: EnrolGranted, folder: Path) -> Identity:
        """Check the membership and keep it in this folder.

        Raises:
            PeerError: what was granted does not fit what was asked for; nothing is kept.
            ConfigError: the folder cannot be written.
        """
        leaf, authority = parse(granted.certificate), parse(granted.ca)
        named = (granted.fleet_id, granted.role, granted.peer_id)
        if key_hash(authority) != self.invite.ca_hash or named not in map(parse_member_uri, uris_of(leaf)):
            raise PeerError(
                "the manager granted a membership that does not fit the invite: ask for a new invite"
            )
        identity = Identity(
            folder=folder,
            fleet_id=granted.fleet_id,
            role=granted.role,
            peer_id=granted.peer_id,
            manager_name=granted.manager_name,
            certificate=Certificate.of_x509(leaf),
            ca_der=granted.ca,
            endpoints=tuple(address_of(endpoint).whole for endpoint in self.invite.endpoints),
        )
        save(identity, self.key_pem)
        return identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """The manager's end: decides who joins, and renews certificates of members."""

    authority: Authority
    roster: Roster
    limiter: FailureLimiter = field(default_factory=FailureLimiter)
    days: float = 30.0
    """That a member's certificate is valid."""

    async def enrol(self, request: EnrolRequest, address: str, now: float) -> EnrolGranted:
        """Let the sender in, or say why not.

        An unknown id and a wrong secret get the same answer, so nobody can find out which ids exist; the
        state of an invite is told only to those who hold its secret.

        Args:
            request: from a peer that showed no certificate.
            address: the peer's host, without a port.
            now: wall-clock seconds since the epoch.

        Raises:
            InviteError: unknown or wrong, used, expired, revoked.
            Refused: too many failures from this address, or a key that is not acceptable.
            PeerError: the signing request cannot be read.
        """
        wait = self.limiter.wait(address, now)
        if wait:
            raise Refused(f"too many failed attempts to join from {address}: try again in {wait:.0f} s")
        row = await self._recognise(request, address, now)
        _check_usable(row, now)
        peer_id = await self._new_peer_id(row.role, request.name)
        certificate = self.authority.issue(request.csr, row.role, peer_id, now, self.days)
        peer = _peer_row(row, peer_id, certificate, now, _printable(request.inventory, MAX_INVENTORY))
        if not await self.roster.redeem(row.id, peer, now):
            await self._explain(row.id, now)
        self.limiter.succeeded(address)
        return self._granted(certificate, row.role, peer_id, pending=peer.pending)

    async def renew(self, credentials: Credentials, csr: bytes, now: float) -> EnrolGranted:
        """A new certificate for a member, over a connection on which it has shown the old one.

        Raises:
            Refused: it is no longer a member, or the key is not acceptable.
            PeerError: the signing request cannot be read.
        """
        row = await admit(credentials, self.roster, self.authority.fleet_id, now)
        certificate = self.authority.issue(csr, row.role, row.id, now, self.days)
        await self.roster.renew_peer(row.id, certificate.serial, certificate.not_after)
        return self._granted(certificate, row.role, row.id)

    async def _recognise(self, request: EnrolRequest, address: str, now: float) -> InviteRow:
        """The invite whose secret this is."""
        well_formed = len(request.invite_id) == ID_SYMBOLS and len(request.secret) == SECRET_BYTES
        row = await self.roster.invite(request.invite_id) if well_formed else None
        stored = row.secret_hash if row else bytes(32)
        fits = secret_fits(request.invite_id[:ID_SYMBOLS], request.secret, stored)
        if row is None or not fits:
            self.limiter.failed(address, now)
            raise InviteError(_UNKNOWN)
        return row

    async def _explain(self, invite_id: str, now: float) -> None:
        """Raise the reason why the roster did not take the use."""
        row = await self.roster.invite(invite_id)
        if row is None:
            raise InviteError(_UNKNOWN)
        _check_usable(row, now)
        raise InviteError("this invite could not be used just now: try again")

    async def _new_peer_id(self, role: str, name: str) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", name[:256].lower())[:MAX_SLUG].strip("-")
        slug = slug.removeprefix(f"{role[0]}-") or "unnamed"  # many call their machines as members are called
        for _ in range(_ID_TRIES):
            peer_id = f"{role[0]}-{slug}-{crockford.random_text(_SUFFIX_SYMBOLS).lower()}"
            if await self.roster.peer(peer_id) is None:
                return peer_id
        raise Conflict(f"too many members are called {slug}: give this machine another name")

    def _granted(
        self, certificate: Certificate, role: str, peer_id: str, *, pending: bool = False
    ) -> EnrolGranted:
        return EnrolGranted(
            certificate=certificate.der,
            ca=self.authority.ca_der,
            fleet_id=self.authority.fleet_id,
            peer_id=peer_id,
            role=role,
            manager_name=self.authority.fleet_name,
            pending=pending,
        )


def _check_usable(row: InviteRow, now: float) -> None:
    """Three reasons, three sentences.

    Raises:
        InviteError: this invite is over.
    """
    cure = "make a new one with `taskmessenger invite` at the manager"
    if row.revoked_at is not None:
        raise InviteError(f"invite {row.id} was revoked: {cure}")
    if now >= row.expires_at:
        raise InviteError(f"invite {row.id} has expired: {cure}")
    if row.uses_left <= 0:
        times = "once" if row.uses == 1 else f"{row.uses} times"
        raise InviteError(f"invite {row.id} is used up (it was good for joining {times}): {cure}")


def _invite_row(invite: Invite, uses: int, now: float) -> InviteRow:
    return InviteRow(
        id=invite.id,
        role=invite.role,
        secret_hash=hash_secret(invite.id, invite.secret),
        uses=uses,
        uses_left=uses,
        created_at=now,
        expires_at=float(invite.expires_at),
        approve=invite.approve,
        ephemeral=invite.ephemeral,
    )


def _peer_row(
    invite: InviteRow, peer_id: str, certificate: Certificate, now: float, inventory: str
) -> PeerRow:
    return PeerRow(
        id=peer_id,
        role=invite.role,
        serial=certificate.serial,
        invite=invite.id,
        enrolled_at=now,
        expires_at=certificate.not_after,
        inventory=inventory,
        pending=invite.approve,
        ephemeral=invite.ephemeral,
        fingerprint=certificate.fingerprint,
    )


def _printable(text: str, limit: int) -> str:
    """Text of a stranger, without what could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text[:limit]).strip()
