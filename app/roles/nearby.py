"""Joins discovery to the roles: what a manager says of itself, and how a worker dials what it has found.

Speaks and listens only through `net.discovery`; keeps no state but what that has.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ..config.model import Discovery
from ..core.errors import NotApproved, Refused, TimedOut, Unreachable, UsageError
from ..core.text import printable
from ..net.address import Address
from ..net.client import Connected
from ..net.discovery.beacon import Beacon, Facts
from ..net.discovery.carrier import Carrier
from ..net.discovery.finder import Finder, besides
from ..net.discovery.registry import Registry
from ..net.discovery.sealed import Signer, Verifier
from ..net.discovery.voice import Voice
from ..net.discovery.words import MAX_WANTED
from ..net.security.authority import MANAGER_FILE
from ..net.security.identity import Identity
from .endpoints import advertised, endpoints_for

if TYPE_CHECKING:  # a worker need not load a manager, nor the other way round
    from .manager import Manager
    from .worker import Dial

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 3.0
"""How long a worker that reaches nobody waits for somebody new to be heard."""
Reach = Callable[[Sequence[Address], bool], Awaitable[Connected]]
"""A session with the manager at one of these addresses; told whether this process is new."""


def carriers_for(config: Discovery, addresses: Iterable[str]) -> list[Carrier]:
    """What carries discovery here: the local networks, and the overlay where one of the addresses is on it.

    Raises:
        Conflict: another program has the port for itself.
    """
    found: list[Carrier] = []
    if config.overlay and any(address.startswith("zt://") for address in addresses):
        from ..net.discovery.overlay import OverlayCarrier, manager_of

        found.append(OverlayCarrier(config.port, peers=manager_of))
    if config.lan:
        from ..net.discovery.lan import Lan

        found.append(Lan(config.port, config.interfaces))
    return found


def beacon_for(role: Manager, carriers: Sequence[Carrier]) -> Beacon:
    """Announces this manager on these carriers, which it owns from now on.

    Raises:
        ConfigError: the manager's key cannot be read.
    """
    authority = role.authority
    voice = Voice(lambda: Signer.load(authority.folder / MANAGER_FILE, authority.ca_der), role.config.name)
    return Beacon(voice, Registry(Verifier(authority.ca_der)), carriers, _facts_of(role))


def finder_for(identity: Identity, carriers: Sequence[Carrier]) -> Finder:
    """Looks for the manager of this member's fleet on these carriers, which it owns from now on.

    Raises:
        ConfigError: the member's key cannot be read.
    """
    voice = Voice(lambda: Signer.load(identity.key_path, identity.ca_der))
    return Finder(Registry(Verifier(identity.ca_der)), carriers, voice)


def searching(known: Callable[[], Sequence[Address]], reach: Reach, finder: Finder) -> Dial:
    """Dials what was found besides what is known, and looks further when nobody answers there.

    What was found are hints: who refuses us there may be anybody, so only what a known address says counts as
    the manager's word.
    """

    async def dial(fresh: bool) -> Connected:
        own = list(known())
        found = besides(own, finder.endpoints())
        try:
            return await reach([*found, *own], fresh)
        except NotApproved:  # only a manager of our fleet says that, over TLS
            raise
        except Refused as error:
            if not found:
                raise
            log.warning("of %d addresses that were found, one says: %s", len(found), printable(str(error)))
            return await reach(own, fresh)
        except (Unreachable, TimedOut):
            tried = [*found, *own]
            heard = await finder.wait({str(address) for address in tried}, ANSWER_SECONDS)
            new = besides(tried, heard)
            if not new:
                raise
            log.info("a manager of this fleet was found at %s", ", ".join(map(str, new)))
            return await _reach_found(reach, new, fresh)

    return dial


async def _reach_found(reach: Reach, found: Sequence[Address], fresh: bool) -> Connected:
    try:
        return await reach(found, fresh)
    except NotApproved:
        raise
    except Refused as error:
        raise Unreachable(f"who was found says: {printable(str(error))}") from error


def _facts_of(role: Manager) -> Facts:
    pool, store, transport = role.writer.pool, role.store, role.config.transport

    def endpoints() -> list[str]:
        listening = [Address.parse(text) for text in role.desk.listening]
        given = [Address.parse(text) for text in transport.advertise]
        try:
            return [str(endpoint) for endpoint in endpoints_for(advertised(listening, given))]
        except UsageError:
            return []  # nowhere that others could dial; members still hear that we are here

    def wanted() -> list[str]:
        return sorted({kind for (kind, _), lane in pool.lanes.items() if lane.size > 0})[:MAX_WANTED]

    def offering(kind: str) -> list[str]:
        return [one.id for one in pool.workers.values() if one.session is not None and kind in one.kinds]

    async def is_member(peer_id: str) -> bool:
        peer = await store.peer(peer_id)
        return peer is not None and peer.revoked_at is None and not peer.pending

    return Facts(endpoints=endpoints, wanted=wanted, offering=offering, is_member=is_member)
