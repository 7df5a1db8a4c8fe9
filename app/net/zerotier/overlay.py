"""A role's place in a ZeroTier network: from settings and addresses to the running node, and back to health.

It knows which network, roots and identity belong to an address. When to listen, to dial or to begin anew is
decided by whoever holds it; nothing starts before an address asks for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from math import inf
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from ... import loops
from ...config.model import ManagerZeroTier, WorkerZeroTier
from ...core.errors import AddressTaken, ConfigError, Conflict, Refused, TimedOut, Unreachable, UsageError
from ...forks import keep_number_from_forks
from ...paths import Paths, expanded, private_directory
from ..address import Address
from ..addresses import own_addresses
from ..transport import Prepared
from . import identity as identities
from . import library
from .acquaintances import forget_oldest, remember
from .announce import announce
from .library import Loaded
from .network import JoinStatus, Network, address_of, existing_network, private_network
from .node import Node, NodeSettings, begin
from .peers import can_tell
from .report import keep_reporting
from .roots import PlanetFile, PublicRoots, Roots, own_roots, read_planet
from .search import Search, search_for
from .status import NodeStatus, root_answers
from .way import Root, Way, planet_mark

log = logging.getLogger(__name__)

LOCK: Final = "lock"
ANNOUNCE_SECONDS: Final = 1.0
"""Between two words of about a hundred bytes that say where broadcasts for this node are to go."""
LOOK_SECONDS: Final = 1.0
"""Between two looks whether there is a node to report of."""
ROOT_SECONDS: Final = 1.2
"""For a root to answer, before it is looked for elsewhere; most of that is the first look of the node."""
ROOT_POLL_SECONDS: Final = 0.05
MAX_ADVERTISED: Final = 4
"""UDP endpoints of a root that an invite names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the node of a role keeps its things."""

    identity: Path
    state: Path


class Overlay:
    """The node of one role. Used by one task at a time or several; the node is started once."""

    def __init__(self, config: ManagerZeroTier | WorkerZeroTier, places: Places) -> None:
        self.config, self.places = config, places
        self.node: Node | None = None
        """Once it was started; it may still be on its way into its network."""
        self._lock = anyio.Lock()
        """Held to start and stop it, never while the network is waited for."""
        self._said: JoinStatus | None = None
        self._search: Search | None = None
        """Of a member: where its root is looked for."""

    @property
    def running(self) -> bool:
        return self.node is not None and self.node.running

    async def listen(self, address: Address, patience: float = inf) -> Address:
        """Start the node of a manager; the address comes back with all that others need to dial it.

        Raises:
            ConfigError, Conflict, TimedOut: it cannot be started.
            Unreachable: it has not got into its network within `patience` seconds; it goes on trying.
            UsageError: the address is that of another node.
        """
        assert isinstance(self.config, ManagerZeroTier)
        async with self._lock:
            loaded, own = await self._own()
            network = _own_network(self.config, own.node_id)
            roots, way = self._own_roots(own)
            wanted = (address.network or str(network), address.host or own.node_id)
            if wanted != (str(network), own.node_id):
                raise UsageError(
                    f"{address} is not this node, which is {own.node_id} in network {network}:"
                    f" write zt://:{address.port} to listen"
                )
            node = await self._start(loaded, own, network, roots)
        await self._joined(node, patience)
        if not network.private:
            way = replace(way, address=str(node.address))
        return replace(address, network=str(network), host=own.node_id, way=way.pack())

    async def prepare(self, address: Address) -> Prepared:
        """Have the node run in the network of this address, so that it can be dialled.

        Raises:
            ConfigError, Conflict, TimedOut: it cannot be started.
            Unreachable: it does not get into its network; it goes on trying.
            AddressTaken: it has the address of the node that is to be dialled.
        """
        network = network_of(address, self.config.network_id)
        async with self._lock:
            node = self.node
            if node is None or not node.running:
                loaded, own = await self._own()
                roots, tells = self._roots_of(address), can_tell(loaded)
                self._search = search = search_for(roots, self._search, tells=tells)
                node = await self._start(loaded, own, network, search.current)
                search.begun = anyio.current_time()
            elif node.settings.network != network:
                raise UsageError(f"{address} is in another network than the node of this process")
        node = await self._root_found(node)
        await self._joined(node)
        if network.private and ip_of(address) == node.address:
            # It would dial itself, and nobody would be there to tell it so.
            raise AddressTaken(
                f"{node.address} belongs to {address}: node {node.id} needs another ZeroTier identity"
            )
        return Prepared(carrier=node.settings.identity.public)

    async def restart(self) -> None:
        """Begin anew with the same identity: peers that restarted forget who was there before them.

        Raises:
            ConfigError, Conflict, TimedOut, Unreachable: as `prepare`.
        """
        async with self._lock:
            node = self.node
            if node is None or not node.running:
                return
            search = self._search
            if search is not None and (search.outdated or not root_answers(node)):
                self._search = search = search.again()
                node = await self._begin_anew(node, search)
            else:
                await anyio.to_thread.run_sync(node.restart_now)
                if search is not None:
                    search.begun = anyio.current_time()
        await self._joined(node)

    async def renew(self) -> None:
        """Be another node from the next `prepare` on: the address of this one belongs to somebody else.

        Raises:
            ConfigError: no other identity can be made or kept.
        """
        async with self._lock:
            await self._stop()
            loaded = await _load(self.config)
            made = await anyio.to_thread.run_sync(identities.renew, self.places.identity, loaded.library)
        log.info("the ZeroTier identity of this node was renewed: it is %s now", made.node_id)

    async def stop(self) -> None:
        """End the node; nothing happens when there is none."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._stop()

    def look(self) -> NodeStatus | None:
        """The node as it is now; None while there is none."""
        return self.node.status() if self.node is not None else None

    async def report(self) -> None:
        """Let `taskmessenger zerotier status` and `doctor` see the node while it runs; until cancelled."""
        while True:
            node = self.node
            if node is None:
                await anyio.sleep(LOOK_SECONDS)
                continue
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keep_reporting, node)
                while self.node is node:
                    await anyio.sleep(LOOK_SECONDS)
                tasks.cancel_scope.cancel()

    async def stay_known(self, heard: Callable[[], bool]) -> None:
        """Tell a manager that is not heard how to reach this node, again and again, until cancelled.

        One that was restarted can then refuse at once what is left of its former connections, so that the end
        of a link is known before silence tells.
        """
        while True:
            await anyio.sleep(ANNOUNCE_SECONDS)
            if self.node is not None and not heard():
                with contextlib.suppress(Conflict):  # it is just being restarted
                    announce(self.node)

    def remember(self, identity: str) -> None:
        """A member with this public identity was let in: after its next start this node knows it at once."""
        remember(self.places.state, identity)

    async def _stop(self) -> None:
        if self.node is not None:
            await self.node.stop()
            self.node = None

    async def _own(self) -> tuple[Loaded, identities.Identity]:
        if not self.config.enabled:
            raise ConfigError("zerotier.enabled: is false, and a zt:// address needs it: set it to true")
        loaded = await _load(self.config)
        if not self.places.identity.parent.exists():
            private_directory(self.places.identity.parent)
        own = await anyio.to_thread.run_sync(identities.ensure, self.places.identity, loaded.library)
        return loaded, own

    async def _start(self, loaded: Loaded, own: identities.Identity, network: Network, roots: Roots) -> Node:
        settings = NodeSettings(
            home=private_directory(self.places.state),
            identity=own,
            network=network,
            roots=roots,
            port=self.config.port,
        )
        forget_oldest(settings.home)
        # A cancelled start would leave a node behind that nobody knows of. It does not wait for the network:
        # until it lets the node in, that is to be seen, and to be stopped if another way leads there.
        with anyio.CancelScope(shield=True):
            self.node = node = await begin(settings, loaded)
        return node

    async def _root_found(self, node: Node) -> Node:
        """Begin anew with other endpoints as long as no root answers at these; the node that runs then.

        Raises:
            Unreachable: it was stopped meanwhile.
        """
        search = self._search
        if search is not None and not root_answers(node) and search.lost(anyio.current_time()):
            async with self._lock:
                if self.node is node and self._search is search:
                    search.found = False
                    if search.outdated:
                        self._search = search = search.again()
                        await self._begin_anew(node, search)
        while (search := self._search) is not None and not search.over:
            node = _there(self.node)
            with anyio.move_on_after(ROOT_SECONDS):
                while not root_answers(node):
                    await anyio.sleep(ROOT_POLL_SECONDS)
                search.succeed()
                break
            async with self._lock:
                # Somebody else may have stopped it, or begun anew.
                if _there(self.node) is node and self._search is search and not search.found:
                    search.next()
                    log.info("no root answers; the next try: %s", search.current)
                    await self._begin_anew(node, search)
        async with self._lock:
            return _there(self.node)

    async def _begin_anew(self, node: Node, search: Search) -> Node:
        """The same node with what the search says now. For who has the lock."""
        settings = replace(node.settings, roots=search.current)
        with anyio.CancelScope(shield=True):
            await node.stop()
            self.node = node = await begin(settings, node.loaded)
        search.begun = anyio.current_time()
        return node

    async def _joined(self, node: Node, patience: float = inf) -> None:
        try:
            await node.joined(self._say, patience)
        except (Refused, TimedOut) as error:
            # It may be let in later, and it is not the manager who says no.
            raise Unreachable(str(error)) from error
        announce(node)

    def _say(self, status: JoinStatus) -> None:
        """Each change once, however many wait for it, and however often."""
        if status != self._said:
            self._said = status
            (log.warning if status.refused else log.info)("%s", status.sentence)

    def _own_roots(self, own: identities.Identity) -> tuple[Roots, Way]:
        """Of a manager: those it uses, and what it tells others of them."""
        assert isinstance(self.config, ManagerZeroTier)
        wanted = self.config.roots
        if wanted == "auto":
            wanted = "public" if self.config.network_id else "manager"
        if wanted == "public":
            return PublicRoots(), Way()
        if wanted == "manager":
            endpoints = root_endpoints(self.config)
            return own_roots([(own.public, endpoints)]), Way(roots=(Root(own.public, endpoints),))
        file = expanded(wanted)
        return PlanetFile(file), Way(planet=planet_mark(read_planet(file)))

    def _roots_of(self, address: Address) -> Roots:
        """Of a member: those that lead to the address."""
        way = Way.unpack(address.way)
        file = _file(self.config.roots)
        if way.planet:
            if file is None:
                raise ConfigError(
                    f"{address} is reached by roots of its own: copy the manager's planet file to this"
                    " machine and name it in zerotier.roots"
                )
            if planet_mark(read_planet(file)) != way.planet:
                raise ConfigError(f"zerotier.roots: {file} is another planet file than the manager's")
        if file is not None:
            return PlanetFile(file)
        if way.roots:
            return own_roots([(root.identity, root.endpoints) for root in way.roots])
        return PublicRoots()


async def _load(config: ManagerZeroTier | WorkerZeroTier) -> Loaded:
    return await anyio.to_thread.run_sync(library.load, _file(config.library_path))


def _own_network(config: ManagerZeroTier, node_id: str) -> Network:
    return existing_network(config.network_id) if config.network_id else private_network(node_id)


def _there(node: Node | None) -> Node:
    """It, unless it was stopped."""
    if node is None:
        raise Unreachable("the ZeroTier node of this process was stopped while its root was looked for")
    return node


def _file(text: str) -> Path | None:
    return expanded(text) if text else None


def network_of(address: Address, network_id: str = "") -> Network:
    """The network that an address is in, unless another one is named."""
    if network_id:
        return existing_network(network_id)
    private = private_network(address.host)
    return private if str(private) == address.network else existing_network(address.network)


def ip_of(address: Address) -> IPv4Address:
    """Where in its network the node of this address is found."""
    assigned = Way.unpack(address.way).address
    return IPv4Address(assigned) if assigned else address_of(address.host)


def root_endpoints(config: ManagerZeroTier) -> tuple[str, ...]:
    """Where others reach this node if it is their root, as `IP/PORT`.

    Raises:
        ConfigError: nowhere.
    """
    if config.advertise:
        split = (endpoint.rpartition(":") for endpoint in config.advertise)
        return tuple(f"{host.strip('[]')}/{port}" for host, _, port in split)
    if not config.port:
        raise ConfigError(
            "zerotier.port: wants a number of its own, because workers have to find this node there"
        )
    found = [f"{host}/{config.port}" for host in own_addresses(6)]
    if not found:
        raise ConfigError(
            "this machine has no address that others could reach: name one in zerotier.advertise, or set"
            " zerotier.roots to `public`"
        )
    return tuple(found[:MAX_ADVERTISED])


def places_for_now(kept: Places) -> Places:
    """These, if no other process has them; else such as go away with this process."""
    lock = os.open(private_directory(kept.state) / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until this process ends
    except OSError:
        os.close(lock)
    else:
        keep_number_from_forks(lock)
        return kept
    passing = Path(tempfile.mkdtemp(prefix="tm-node-"))
    loops.at_the_end(partial(shutil.rmtree, passing, ignore_errors=True))
    return Places(identity=passing / "identity", state=passing / "libzt")


def places_of(role: str, config: ManagerZeroTier | WorkerZeroTier, paths: Paths) -> Places:
    """Where the node of this role keeps its things."""
    given = expanded(config.identity_path) if config.identity_path else paths.node(role)
    return Places(identity=given, state=paths.node_state(role))
