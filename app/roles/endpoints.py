"""Which addresses an invite carries: what the operator advertises, or where this machine can be reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from ..core.errors import UsageError
from ..net.address import Address
from ..net.security.endpoints import Endpoint, TcpEndpoint

MAX_ENDPOINTS: Final = 4
"""An invite has room for so many."""


def endpoints_for(addresses: Sequence[str]) -> list[Endpoint]:
    """Up to four places to dial; a listener on all interfaces becomes the addresses of this machine.

    Raises:
        UsageError: none of the addresses can be dialled from elsewhere.
    """
    found: dict[str, Endpoint] = {}
    for text in addresses:
        address = Address.parse(text)
        if address.scheme != "tcp" or not address.port:
            continue
        for host in _reachable(address.host):
            endpoint = TcpEndpoint(host, address.port)
            found.setdefault(str(endpoint), endpoint)
    if not found:
        raise UsageError("the manager listens nowhere that an invite could name: set transport.advertise")
    return list(found.values())[:MAX_ENDPOINTS]


def _reachable(host: str) -> Iterable[str]:
    try:
        listening = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if not listening.is_unspecified:
        return [host]
    return _own_addresses(listening.version) or ["127.0.0.1" if listening.version == 4 else "::1"]  # noqa: PLR2004


def _own_addresses(version: int) -> list[str]:
    """Of this machine's interfaces; those that others can use, IPv4 first."""
    import psutil

    found: list[str] = []
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            try:
                address = ipaddress.ip_address(entry.address.partition("%")[0])
            except ValueError:
                continue  # a hardware address
            if address.is_loopback or address.is_link_local:
                continue
            if address.version == 4 or version == 6:  # noqa: PLR2004
                found.append(str(address))
    return sorted(set(found), key=lambda text: (":" in text, text))
