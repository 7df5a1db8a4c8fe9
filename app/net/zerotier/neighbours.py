"""Who comes from which address of a private network: finds two nodes that were given the same one.

A private network has no one to hand out addresses: each node derives its own from 28 bits of its node id, so
now and then two collide, and then neither can be reached for long. It remembers and refuses; to take another
address is the business of the other end, which is that of the newcomer.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from time import monotonic
from typing import Final

from ...core.errors import AddressTaken, Refused
from .identity import is_public
from .network import PRIVATE_RANGE, matches

MAX_REMEMBERED: Final = 4096
"""Addresses; beyond them the one that was not seen for longest is forgotten."""
REMEMBERED_SECONDS: Final = 3600.0
"""For so long after its last session an address is kept for the node that had it."""
NODE_ID: Final = 10
"""Hex digits of a node id, with which a public identity begins."""
_ADDRESS: Final = re.compile(r"zt://([0-9.]+):[0-9]+")


class Neighbours:
    """What a manager knows of those who come over ZeroTier."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._known: OrderedDict[IPv4Address, tuple[str, float]] = OrderedDict()

    def check(self, address: str, carrier: str) -> None:
        """Whether the peer from this address can be the node whose public identity it shows.

        Addresses of other kinds, and those that a controller gave, are not looked at.

        Raises:
            AddressTaken: another node has this address. Refused: that node has another address.
        """
        ip = _private(address)
        if ip is None:
            return
        node = carrier[:NODE_ID]
        if not is_public(carrier) or not matches(node, ip):
            raise Refused(
                f"{ip} is not the address of the node that the peer says it is: use the same version of this"
                " program on both machines"
            )
        known, seen = self._known.get(ip, (node, 0.0))
        if known != node and self._now() - seen < REMEMBERED_SECONDS:
            raise AddressTaken(
                f"{ip} belongs to node {known} already: node {node} needs another ZeroTier identity"
            )

    def admitted(self, address: str, carrier: str) -> bool:
        """A member with this address, checked before, has been let in; whether it is one of this network."""
        ip = _private(address)
        if ip is None:
            return False
        self._known[ip] = carrier[:NODE_ID], self._now()
        self._known.move_to_end(ip)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return True


def _private(address: str) -> IPv4Address | None:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None
    try:
        ip = IPv4Address(found[1])
    except AddressValueError:
        return None
    return ip if ip in PRIVATE_RANGE else None
