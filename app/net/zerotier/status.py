"""What a node says about itself, as one value for people and programs, with what to do about what is wrong.

It asks and words; it changes nothing and never raises.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final

from .home import assigned
from .network import PRIVATE_RANGE, JoinStatus, clashes
from .peers import Peer, can_tell, read
from .roots import OwnRoots, PublicRoots

if TYPE_CHECKING:
    from .node import Node

ONLINE_SECONDS: Final = 12.0
"""A node that no root has answered after this long has something wrong; the first answer takes 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One look at a node."""

    running: bool
    node_id: str
    generation: int
    online: bool
    """Whether a root has answered; it is one itself, or comes 5 s after the start at the earliest."""
    port: int
    """UDP; 0 while it is not running."""
    network: str
    private: bool
    join: JoinStatus
    address: str
    """On the overlay; empty while it has none."""
    roots: str
    library: str
    origin: str
    version: str
    peers: tuple[Peer, ...] | None
    """None: this libzt does not tell."""
    problems: tuple[str, ...]
    """What is wrong, each with its cure."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def peer(self, node_id: str) -> Peer | None:
        """What is known of this node."""
        return next((peer for peer in self.peers or () if peer.node_id == node_id), None)


def peers_of(node: Node) -> tuple[Peer, ...] | None:
    """The nodes that it knows; None where its library does not tell, or just now. Takes microseconds."""
    with node.core() as core:
        return read(node.loaded, core)


def root_answers(node: Node) -> bool:
    """Whether a root has been heard; taken for granted where the library never tells."""
    peers = peers_of(node)
    if peers is None:
        return not can_tell(node.loaded)
    return any(peer.direct for peer in peers if peer.role == "root")


def observe(node: Node, *, running_for: float) -> NodeStatus:
    """One look at `node`, which has been running for so many seconds."""
    library, settings = node.library, node.settings
    running = node.running
    join = node.join()
    online = running and library.zts_node_is_online() == 1
    peers = peers_of(node)
    return NodeStatus(
        running=running,
        node_id=node.id,
        generation=node.generation,
        online=online,
        port=max(library.zts_node_get_port(), 0) if running else 0,
        network=str(settings.network),
        private=settings.network.private,
        join=join,
        address=_address(node),
        roots=str(settings.roots),
        library=str(node.loaded.found.path),
        origin=node.loaded.found.origin,
        version=node.loaded.version,
        peers=peers,
        problems=tuple(_problems(node, join, online=online, running_for=running_for)),
    )


def _problems(node: Node, join: JoinStatus, *, online: bool, running_for: float) -> Iterable[str]:
    if not join.ready:
        yield join.sentence
    if node.running and not online and running_for > ONLINE_SECONDS:
        yield no_root(node)
    yield from _clashes(node)


def no_root(node: Node) -> str:
    """What to check when no root answers."""
    roots = node.settings.roots
    if isinstance(roots, OwnRoots) and any(root.node_id == node.id for root in roots.roots):
        return f"node {node.id} is a root itself and does not come up: check that UDP is not forbidden here"
    if isinstance(roots, PublicRoots):
        return "none of ZeroTier's public roots answers: check that UDP to port 9993 gets out of here"
    return (
        f"no root answers ({roots}): check that it runs, that this is its UDP endpoint, and any firewall "
        "between; if the manager has moved or has a new identity, join with a new invite"
    )


def _clashes(node: Node) -> Iterable[str]:
    settings = node.settings
    found = assigned(settings.home, settings.network)
    overlay = PRIVATE_RANGE if settings.network.private else found.network if found is not None else None
    if overlay is None:
        return
    taken = clashes(overlay, _interface_addresses())
    if taken:
        cure = (
            "use an existing network with another range"
            if settings.network.private
            else "give it another range"
        )
        yield (
            f"network {settings.network} spans {overlay}, which holds {taken[0]} of this machine, so "
            f"ZeroTier uses no path there: {cure}"
        )


def _interface_addresses() -> list[IPv4Address]:
    import psutil

    found = []
    with contextlib.suppress(OSError):
        for interface in psutil.net_if_addrs().values():
            found += [IPv4Address(entry.address) for entry in interface if entry.family == socket.AF_INET]
    return found


def _address(node: Node) -> str:
    from ...core.errors import Conflict

    with contextlib.suppress(Conflict):
        return str(node.address)
    return ""
