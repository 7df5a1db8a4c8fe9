"""Which addresses an invite carries: what the operator advertises, or where this machine can be reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from ..core.errors import UsageError
from ..net.address import Address
from ..net.addresses import own_addresses
from ..net.security.endpoints import Endpoint, TcpEndpoint, endpoint_of

MAX_ENDPOINTS: Final = 4
"""An invite has room for so many."""
LOCAL: Final = frozenset({"unix", "mem"})
"""Schemes that lead nowhere from another machine."""


def endpoints_for(addresses: Sequence[Address]) -> list[Endpoint]:
    """Up to four places to dial; a listener on all interfaces becomes the addresses of this machine.

    Raises:
        UsageError: none of the addresses can be dialled from elsewhere.
    """
    plain: dict[str, Endpoint] = {}
    overlay: dict[str, Endpoint] = {}
    for address in addresses:
        if not address.port or address.scheme in LOCAL:
            continue
        if address.scheme != "tcp":
            overlay.setdefault(str(address), endpoint_of(address))
            continue
        for host in _reachable(address.host):
            endpoint = TcpEndpoint(host, address.port)
            plain.setdefault(str(endpoint), endpoint)
    if not plain and not overlay:
        raise UsageError("the manager listens nowhere that an invite could name: set transport.advertise")
    # The direct ways come first, because they are tried first; but they must not crowd out the others.
    room = max(1, MAX_ENDPOINTS - len(overlay)) if plain else 0
    return [*list(plain.values())[:room], *overlay.values()][:MAX_ENDPOINTS]


def advertised(listening: Sequence[Address], given: Sequence[Address]) -> list[Address]:
    """What the operator gave, and for kinds of network of which nothing was given, where we listen."""
    named = {address.scheme for address in given}
    return [*given, *(address for address in listening if address.scheme not in named)]


def _reachable(host: str) -> Iterable[str]:
    try:
        listening = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if not listening.is_unspecified:
        return [host]
    return own_addresses(listening.version) or ["127.0.0.1" if listening.version == 4 else "::1"]  # noqa: PLR2004
