"""The addresses of this machine's interfaces. It asks the system and keeps nothing."""

from __future__ import annotations

import ipaddress


def own_addresses(version: int) -> list[str]:
    """Those that others can use, IPv4 first; with 4, no IPv6 ones."""
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
            if version in {6, address.version}:
                found.append(str(address))
    return sorted(set(found), key=lambda text: (":" in text, text))
