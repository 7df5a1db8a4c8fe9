"""The way into a ZeroTier network, in the few bytes that fit into an invite.

    tag 1, length 1, data; tags that a later version adds are skipped

    1  a root's public identity: node id 5, public keys 64
    2  a UDP endpoint of the root before it: IPv4 4 or IPv6 16, port 2
    3  the first 16 bytes of the SHA-256 of a planet file that the joining side must have
    4  the manager's IPv4 address in the network, where a controller gave it

No bytes at all mean ZeroTier's own roots and an address that follows from the manager's node id. It reads and
writes values; what a node makes of them is decided by whoever starts it. Standard library only, like
invites.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from ...core.errors import UsageError
from ..address import MAX_WAY

MAX_BYTES: Final = MAX_WAY
"""Of a whole way: an invite's endpoint has room for so many."""
PLANET_BYTES: Final = 16
_ROOT, _ENDPOINT, _PLANET, _ADDRESS = 1, 2, 3, 4
_IDENTITY: Final = re.compile(r"([0-9a-f]{10}):0:([0-9a-f]{128})")
_IDENTITY_BYTES: Final = 5 + 64
_ENDPOINT_BYTES: Final = {6, 18}
_ADDRESS_BYTES: Final = 4
_HEAD: Final = 2


@dataclass(frozen=True, slots=True)
class Root:
    """A node that introduces others to each other."""

    identity: str
    """Public: `<10 hex>:0:<128 hex>`."""
    endpoints: tuple[str, ...]
    """Where it is on the internet or in the local network, as libzt writes it: `203.0.113.7/7712`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to get into a network. The default is the way over ZeroTier's own roots."""

    roots: tuple[Root, ...] = ()
    planet: bytes = b""
    """See `planet_mark`; empty when no planet file is needed."""
    address: str = ""
    """The manager's IPv4 address in the network; empty when it follows from its node id."""

    def pack(self) -> bytes:
        """As an address or an invite holds it.

        Raises:
            UsageError: it is longer than an invite can hold, or a part of it is malformed.
        """
        parts: list[tuple[int, bytes]] = []
        for root in self.roots:
            parts.append((_ROOT, _pack_identity(root.identity)))
            parts += [(_ENDPOINT, _pack_endpoint(endpoint)) for endpoint in root.endpoints]
        if self.planet:
            parts.append((_PLANET, self.planet))
        if self.address:
            parts.append((_ADDRESS, ipaddress.IPv4Address(self.address).packed))
        packed = b"".join(bytes((tag, len(data))) + data for tag, data in parts)
        if len(packed) > MAX_BYTES:
            raise UsageError(
                f"the ZeroTier roots need {len(packed)} bytes and an invite has room for {MAX_BYTES}:"
                " name fewer endpoints in zerotier.advertise"
            )
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Way:
        """What these bytes say; a part that this version does not know is left out.

        Raises:
            UsageError: they are cut short.
        """
        way = cls()
        while data:
            if len(data) < _HEAD or len(data) < _HEAD + data[1]:
                raise UsageError("the way into the ZeroTier network is cut short: ask for a new invite")
            tag, length = data[0], data[1]
            way = way._with(tag, data[_HEAD : _HEAD + length])
            data = data[_HEAD + length :]
        return way

    def _with(self, tag: int, data: bytes) -> Way:
        if tag == _ROOT and len(data) == _IDENTITY_BYTES:
            return replace(self, roots=(*self.roots, Root(f"{data[:5].hex()}:0:{data[5:].hex()}", ())))
        if tag == _ENDPOINT and len(data) in _ENDPOINT_BYTES and self.roots:
            *others, last = self.roots
            host = ipaddress.ip_address(data[:-2])
            found = (*last.endpoints, f"{host}/{int.from_bytes(data[-2:], 'big')}")
            return replace(self, roots=(*others, replace(last, endpoints=found)))
        if tag == _PLANET and len(data) == PLANET_BYTES:
            return replace(self, planet=data)
        if tag == _ADDRESS and len(data) == _ADDRESS_BYTES:
            return replace(self, address=str(ipaddress.IPv4Address(data)))
        return self


def planet_mark(planet: bytes) -> bytes:
    """By which a planet file is recognised."""
    return hashlib.sha256(planet).digest()[:PLANET_BYTES]


def _pack_identity(identity: str) -> bytes:
    found = _IDENTITY.fullmatch(identity)
    if found is None:
        raise UsageError("a root's public identity is `<10 hex digits>:0:<128 hex digits>`")
    return bytes.fromhex(found[1] + found[2])


def _pack_endpoint(endpoint: str) -> bytes:
    host, _, port = endpoint.partition("/")
    try:
        return ipaddress.ip_address(host).packed + int(port).to_bytes(2, "big")
    except (ValueError, OverflowError):
        raise UsageError(
            f"{endpoint}: a root's endpoint is an IP address and a port, as 203.0.113.7/7712"
        ) from None
