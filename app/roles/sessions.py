"""The sessions that stand: who has which, until its link ends, its certificate expires or trust is withdrawn.

Serves each one and keeps what goes wrong with it away from the others. Whom to let in is decided at the door.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from time import time
from typing import Final

import anyio

from ..core import stimuli as s
from ..core.errors import PeerError, TaskMessengerError
from ..core.text import printable
from ..net.budget import Budget
from ..net.framing import MAX_MESSAGE
from ..net.security.certificates import Certificate
from ..net.security.enrol import Registrar
from ..net.security.trust import Credentials
from ..net.session import Session
from .audit import BROKE, Actor
from .client_link import ClientLink, Office
from .conduct import Complaints, Conduct, Offender, Rates
from .deliver import Delivery, Link
from .desk import Desk
from .door import Guest
from .vitals import memory
from .worker_link import WorkerLink
from .writer import Writer

log = logging.getLogger(__name__)

EXPIRY_SECONDS: Final = 1.0
"""How often is looked for certificates that have expired."""


HONEST: Final = MAX_MESSAGE + MAX_MESSAGE // 2
"""Bytes of messages that one member may have good reasons to hold: a largest one, and others beside it."""
OWN: Final = 3 * MAX_MESSAGE


class Sessions:
    """All of one manager."""

    def __init__(
        self, writer: Writer, delivery: Delivery, desk: Desk, registrar: Registrar, office: Office
    ) -> None:
        self._writer, self._delivery, self._desk = writer, delivery, desk
        self._registrar, self._office = registrar, office
        self._next = 0
        self._peers: dict[int, str] = {}
        self._credentials: dict[int, Credentials] = {}
        """As last shown or renewed; those at the local socket have none."""
        self._revoked: set[str] = set()
        """Since the start: somebody may have been on the way in at that moment."""
        self._budget = Budget(office.buffers, HONEST)
        self._own = Budget(OWN, OWN)
        """Of those at the local socket."""
        self.conduct, self._rates = Conduct(), Rates()
        self._complaints = Complaints()

    async def converse(self, guest: Guest, session: Session) -> None:
        """Serve one peer until its link ends; whatever happens ends with this session."""
        self._next += 1
        number, inbox = self._next, self._writer.inbox
        self._peers[number] = guest.peer
        if guest.credentials is not None:
            self._credentials[number] = guest.credentials
        link = self._delivery.links[number] = self._link(number, guest, session)
        self._office.view.standing.begins(number, guest, session)
        reason, broke = "closed", False
        if guest.peer in self._revoked:
            session.cut("refused", f"{guest.peer} was revoked")
        elif guest.role == "worker":
            hello = guest.hello
            inbox.put_nowait(s.WorkerJoined(number, guest.peer, hello.instance, hello.fresh, guest.address))
        self._bound(guest, session, link)
        try:
            await session.run(link.handle)
        except PeerError as error:
            reason, broke = printable(str(error)), True
            self._crime(guest, reason)
        except TaskMessengerError as error:
            reason = printable(link.told or str(error))
            if link.crime:
                broke = True
                self._crime(guest, reason)
            elif (more := self._complaints.due(guest.peer, anyio.current_time())) is not None:
                # Each command that is typed is a session: only a worker's end is worth a line.
                level = logging.INFO if guest.role == "worker" else logging.DEBUG
                log.log(level, "the link to %s ended: %s%s", guest.peer, reason, more)
        except Exception as error:  # the border of a session: a bug in serving one peer ends that one alone
            reason = f"internal error: {type(error).__name__}"
            log.exception("serving %s failed", guest.peer)
            memory.note(error)
        finally:
            del self._peers[number]
            self._credentials.pop(number, None)
            self._delivery.forget(number)
            self._office.view.standing.ends(number, reason)
            inbox.put_nowait(s.LinkLost(number, reason) if guest.role == "worker" else s.Unwatch(number))
        await self._over(guest, link, reason if broke else "")

    async def _over(self, guest: Guest, link: Link, crime: str) -> None:
        """What the end of a session leaves to be written down."""
        if crime:
            await self._office.audit.record(Actor(guest.peer, guest.role, guest.origin), BROKE, outcome=crime)
        if isinstance(link, WorkerLink) and link.left:
            await self._office.member_left(guest.peer)

    def _bound(self, guest: Guest, session: Session, link: Link) -> None:
        """What it holds and says counts; whoever comes through the local socket shares with nobody else."""

        def cut(why: str, greedy: bool) -> None:
            link.told, link.crime = why, greedy
            link.cut("overloaded", why)

        known = guest.credentials is not None
        session.account = (self._budget if known else self._own).open(guest.peer, cut)
        session.rate = self._rates.of(guest.peer) if known else None

    def _crime(self, guest: Guest, what: str) -> None:
        """It broke the protocol; what the kernel vouches for is this user, who can do as they like anyway."""
        now = anyio.current_time()
        if (more := self._complaints.due(f"{guest.peer} broke", now)) is not None:
            log.warning("%s broke the protocol: %s%s", guest.peer, what, more)
        if guest.credentials is not None:
            self.conduct.crime(guest.peer, guest.role, what, now)

    def offenders(self) -> tuple[Offender, ...]:
        """Members that break the protocol again and again."""
        return tuple(self.conduct.offenders(anyio.current_time()))

    def here(self) -> frozenset[str]:
        """Members that have a session."""
        return frozenset(self._peers.values())

    def revoked(self, peer_id: str) -> None:
        """Trust has ended: close the connections of this peer, and those that it is just making."""
        self._revoked.add(peer_id)
        self.conduct.forget(peer_id)
        for number, peer in self._peers.items():
            if peer == peer_id:
                self._delivery.links[number].cut("refused", f"{peer_id} was revoked")

    def part(self, code: str, reason: str) -> None:
        """Everybody has to come again."""
        for link in list(self._delivery.links.values()):
            link.cut(code, reason)

    async def expire(self) -> None:
        """Close sessions whose certificates have expired, for ever."""
        while True:
            await anyio.sleep(EXPIRY_SECONDS)
            now = time()
            for number, credentials in self._credentials.items():
                if now > credentials.expires_at:
                    log.warning("the certificate of %s has expired", credentials.peer_id)
                    text = f"the certificate of {credentials.peer_id} has expired: join again"
                    self._delivery.links[number].cut("refused", text)

    def _link(self, number: int, guest: Guest, session: Session) -> WorkerLink | ClientLink:
        if guest.role != "worker":
            client = ClientLink(
                number, guest.role, session, self._writer, self._delivery, self._desk, self._office
            )
            client.actor = Actor(guest.peer, guest.role, guest.origin)
            return client

        async def renew(request: bytes) -> bytes:
            shown = self._credentials[number]
            granted = await self._registrar.renew(shown, request, time())
            new = Certificate.of(granted.certificate)
            self._credentials[number] = replace(shown, serial=new.serial, expires_at=new.not_after)
            return granted.certificate

        link = WorkerLink(
            number, guest.peer, session, self._writer.inbox, self._delivery, renew, self._office.max_payload
        )
        link.version = printable(guest.hello.version, 32)
        return link
