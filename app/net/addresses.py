"""The addresses of this machine's interfaces. It asks the system and keeps nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

INNER: Final = re.compile(
    r"(docker|podman|veth|virbr|lxc|lxdbr|incusbr|cni|cali|flannel|vmnet|vboxnet)|br-[0-9a-f]{12}\Z"
)
"""Names of interfaces that lead to containers and virtual machines of this machine, and nowhere else."""


def own_addresses(version: int) -> list[str]:
    """Those that others can use, IPv4 first; with 4, no IPv6 ones.

    Where none of them leads out of this machine, those that lead inwards are taken.
    """
    import psutil

    interfaces = psutil.net_if_addrs()
    outward = {name: entries for name, entries in interfaces.items() if not INNER.match(name)}
    return _usable(outward, version) or _usable(interfaces, version)


def _usable(interfaces: Mapping[str, Iterable[Any]], version: int) -> list[str]:
    found: list[str] = []
    for entries in interfaces.values():
        for entry in entries:
            try:
                address = ipaddress.ip_address(entry.address.partition("%")[0])
            except ValueError:
                continue  # a hardware address
            if address.is_loopback or address.is_link_local:
                continue
            if version in {6, address.version}:
                found.append(str(address))
    return sorted(set(found), key=lambda text: (":" in text, text))
