"""Where peers come in: bounded, authenticated, and told why when they may not.

Knows who someone is and lets them speak; what they say is the business of the links. Nobody waits here for
somebody else's bytes: the slow ones are few for each address, and cut off in time.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from time import time
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketAttribute

from .. import __version__
from ..config.model import ManagerConfig
from ..core.errors import NotApproved, PeerError, Refused, TaskMessengerError, Unreachable
from ..core.text import printable
from ..net import messages as m
from ..net.protocol import PeerSilent, Wire
from ..net.security.enrol import EnrolRequest
from ..net.security.limiter import origin
from ..net.security.local import admit_local, peer_uid
from ..net.security.tls import ssl_object, wrap_server
from ..net.security.trust import Credentials, admit, peer_of
from ..net.session import Ended, Session
from ..net.transport import Carriers, pulse
from .audit import told_user
from .conduct import Complaints, Conduct
from .lifetime import PUT_BACK, Lifetime
from .pace import Pace, Paced
from .places import Places, Stranger
from .vitals import memory

log = logging.getLogger(__name__)

LOG_SECONDS: Final = 1.0
"""At most one line about refused strangers in this time; the others are counted."""
REFUSE_SECONDS: Final = 1.0
"""For a refusal to arrive."""
REFUSING: Final = 64
"""Refusals on their way at a time; beyond that connections are closed without a word."""
LOOK: Final = "look"
"""What managers offer that consoles may look at."""
APPROVE: Final = "approve"
"""What managers offer that make invites for members to be approved, and for ephemeral ones."""
LOCAL: Final = "local"
"""The peer at the local socket: this user, as operator."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Someone who was let in."""

    role: str
    peer: str
    address: str
    hello: m.Hello
    credentials: Credentials | None
    """None at the local socket."""
    user: int | None = None
    """There: the user, as the kernel knows it."""

    @property
    def origin(self) -> str:
        """Where they are, for the audit."""
        return self.address if self.user is None else f"{self.address} {told_user(self.user)}"


Converse = Callable[[Guest, Session], Awaitable[None]]


class Door:
    """Greets connections and hands on those that may stay."""

    def __init__(
        self,
        *,
        config: ManagerConfig,
        lifetime: Lifetime,
        tls: ssl.SSLContext,
        converse: Converse,
        carriers: Carriers,
        places: Places,
        conduct: Conduct,
    ) -> None:
        self._limits, self._leases, self._max_payload = config.limits, config.leases, config.tasks.max_payload
        self._lifetime, self._registrar = lifetime, lifetime.registrar
        self._tls, self._converse = tls, converse
        self._carriers = carriers
        self._places, self._conduct = places, conduct
        self._pace = Pace()
        self._of_strangers, self._of_members = Complaints(LOG_SECONDS), Complaints()
        self._refusing = 0

    async def come_in(self, scheme: str, stream: ByteStream) -> None:
        """A connection on a network listener of addresses with that scheme."""
        remote = stream.extra(SocketAttribute.remote_address)  # noqa: S610 - not Django's
        host, port = (str(remote[0]), remote[1]) if isinstance(remote, tuple) else (remote, 0)
        address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        await self._receive(stream, address, local=False)

    async def come_in_locally(self, stream: ByteStream) -> None:
        """A connection on the local socket."""
        await self._receive(stream, "unix://", local=True)

    async def _receive(self, stream: ByteStream, address: str, *, local: bool) -> None:
        """From the first byte to the last: nothing that happens here may reach another session."""
        with ExitStack() as kept:
            session: Session | None = None
            credentials: Credentials | None = None
            user: int | None = None
            try:
                with _in_time(self._limits.handshake_seconds), ExitStack() as unknown:
                    if local:
                        kept.enter_context(self._places.here())
                        user = peer_uid(stream.extra(SocketAttribute.raw_socket))  # noqa: S610
                        admit_local(user)
                    else:
                        stranger = unknown.enter_context(self._places.stranger(_place(address)))
                        stream = await self._secure(stream, address, stranger)
                        credentials = peer_of(ssl_object(stream))  # type: ignore[arg-type]
                    session = Session(stream, Wire("stranger", anyio.current_time()))
                    if credentials is not None:
                        unknown.close()
                        kept.enter_context(self._places.member(credentials.peer_id, credentials.role))
                        self._conduct.check(credentials.peer_id, anyio.current_time())
                    guest = await self._greet(session, credentials, address, user)
                if guest is not None:
                    await self._converse(guest, session)
            except (Ended, Unreachable):
                pass
            except TaskMessengerError as error:
                self._complain(address, credentials, error)
                if session is not None and not isinstance(error, PeerSilent):
                    await self._refuse(session, error)
            except (
                Exception
            ) as error:  # the border of a connection: a bug in greeting one peer ends that peer's
                log.exception("greeting %s failed: %s", address, type(error).__name__)
                memory.note(error)
            finally:
                with anyio.CancelScope(shield=True):
                    await (session.aclose() if session is not None else anyio.aclose_forcefully(stream))

    async def _secure(self, stream: ByteStream, address: str, stranger: Stranger) -> ByteStream:
        """TLS over it."""
        paced = Paced(stream, self._pace, stranger.makes_sense)
        secure = await wrap_server(paced, self._tls, address)
        paced.release()
        return secure

    async def _greet(
        self, session: Session, credentials: Credentials | None, address: str, user: int | None
    ) -> Guest | None:
        """Who is it? None when they only came to join."""
        first = await session.hear()
        if isinstance(first, m.WantAuthority | m.Hello):
            self._carriers.check(address, first.carrier)
        if isinstance(first, m.WantAuthority):
            _common_version(first.oldest, first.newest)
            await self._enrol(session, address)
            return None
        if not isinstance(first, m.Hello):
            raise PeerError(f"a conversation does not begin with `{type(first).__name__}`")
        protocol = _common_version(first.oldest, first.newest)
        role, peer = await self._admit(credentials, first) if user is None else ("operator", LOCAL)
        await self._lifetime.compare(peer, first.mark)
        self._carriers.admitted(address, first.carrier)
        scheme = address.partition("://")[0]
        heartbeat, dead_after = pulse(scheme, self._leases.heartbeat, self._leases.dead_after)
        welcome = self._welcome(protocol, peer, heartbeat, dead_after)
        await session.say(welcome)
        if welcome.epoch != self._lifetime.epoch:  # over since a moment ago: it has to come again like others
            raise Ended(PUT_BACK, "another epoch has begun")
        session.wire.establish(role, heartbeat=heartbeat, dead_after=dead_after, now=anyio.current_time())
        return Guest(role, peer, address, first, credentials, user)

    async def _admit(self, credentials: Credentials | None, hello: m.Hello) -> tuple[str, str]:
        if credentials is None:
            raise Refused("no certificate was shown: join the fleet with an invite first")
        row = await admit(credentials, self._registrar.roster, self._registrar.authority.fleet_id, time())
        if hello.role != row.role:
            raise Refused(f"{row.id} joined as {row.role} and cannot speak as {printable(hello.role, 32)}")
        return row.role, row.id

    def _welcome(self, protocol: int, peer: str, heartbeat: float, dead_after: float) -> m.Welcome:
        authority = self._registrar.authority
        return m.Welcome(
            protocol,
            authority.fleet_name,
            authority.fleet_id,
            peer,
            heartbeat,
            dead_after,
            self._leases.ttl,
            self._max_payload,
            __version__,
            (LOOK, APPROVE),
            self._lifetime.epoch,
            self._lifetime.mark,
        )

    async def _enrol(self, session: Session, address: str) -> None:
        """Show who we are; then the peer may show its secret."""
        authority = self._registrar.authority
        await session.say(m.AuthorityIs(authority.ca_der, authority.fleet_name))
        join = await session.hear()
        if not isinstance(join, m.Join):
            raise PeerError(f"expected a `Join`, not `{type(join).__name__}`")
        request = EnrolRequest(
            invite_id=join.invite,
            secret=join.secret,
            csr=join.request,
            name=join.name,
            inventory=join.inventory,
        )
        granted = await self._registrar.enrol(request, _place(address), time())
        log.info(
            "%s joined as %s from %s with invite %s%s",
            granted.peer_id,
            granted.role,
            address,
            join.invite,
            " and waits for approval" if granted.pending else "",
        )
        await session.say(
            m.Joined(
                granted.certificate,
                granted.ca,
                granted.fleet_id,
                granted.peer_id,
                granted.role,
                granted.manager_name,
            )
        )

    async def _refuse(self, session: Session, error: TaskMessengerError) -> None:
        """Say why, if there is still somebody to hear it, and not too many are being told already."""
        if self._refusing >= REFUSING:
            return
        self._refusing += 1
        try:
            with anyio.move_on_after(REFUSE_SECONDS), suppress(TaskMessengerError):
                await session.say(m.Refusal(error.code, str(error)))
                await session.linger()
        finally:
            self._refusing -= 1

    def _complain(self, address: str, shown: Credentials | None, error: TaskMessengerError) -> None:
        if isinstance(error, NotApproved):  # said when it joined; it asks every few seconds
            log.debug("%s was refused: %s", address, printable(str(error)))
            return
        now = anyio.current_time()
        more = self._of_strangers.due("", now) if shown is None else self._of_members.due(shown.peer_id, now)
        if more is not None:
            log.warning("%s was refused: %s%s", address, printable(str(error)), more)


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    """For everything from the first byte to the end of the handshake, however it is spread."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise PeerSilent(f"no handshake within {seconds:g} s") from error


def _common_version(oldest: int, newest: int) -> int:
    if oldest > m.PROTOCOL or newest < m.OLDEST or oldest > newest:
        raise Refused(
            f"the peer speaks protocol {oldest} to {newest}, this manager {m.OLDEST} to {m.PROTOCOL}:"
            " use versions of this program that are closer to each other"
        )
    return min(newest, m.PROTOCOL)


def _place(address: str) -> str:
    """Where it comes from, as far as limits go. ZeroTier nodes of one network share a prefix."""
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0]
    return f"{scheme} {host}" if scheme == "zt" else origin(host)
