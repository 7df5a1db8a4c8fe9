"""Where a manager can be reached, as an invite carries it: a type and its bytes. Dials nothing."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from ...core.errors import UsageError
from ..address import Address

_TCP4, _TCP6, _TCP_NAME, _ZEROTIER = 1, 2, 3, 4
_HEAD_BYTES: Final = 2
"""Type and length."""
_MAX_DATA: Final = 255
_MAX_PORT: Final = 65_535
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_ZEROTIER_BYTES: Final = 8 + 5 + 2


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A TCP listener. `host` is an IPv4 or IPv6 address, or a name in ASCII."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ZeroTierEndpoint:
    """A listener in a ZeroTier network."""

    network: int
    """64 bit."""
    node: int
    """The manager's node id, 40 bit."""
    port: int
    roots: bytes = b""
    """What leads into the network, see `net.zerotier.way`; empty for ZeroTier's own roots."""

    def __str__(self) -> str:
        return f"zt://{self.network:016x}/{self.node:010x}:{self.port}"


Endpoint = TcpEndpoint | ZeroTierEndpoint


def address_of(endpoint: Endpoint) -> Address:
    """Where to dial."""
    if isinstance(endpoint, TcpEndpoint):
        return Address("tcp", host=endpoint.host, port=endpoint.port)
    return Address(
        "zt",
        host=f"{endpoint.node:010x}",
        port=endpoint.port,
        network=f"{endpoint.network:016x}",
        way=endpoint.roots,
    )


def endpoint_of(address: Address) -> Endpoint:
    """The same place, as an invite holds it.

    Raises:
        UsageError: nobody else could dial it.
    """
    if address.scheme == "tcp":
        return TcpEndpoint(address.host, address.port)
    if address.scheme == "zt" and address.network and address.host:
        return ZeroTierEndpoint(int(address.network, 16), int(address.host, 16), address.port, address.way)
    raise UsageError(f"{address}: an invite cannot name it, because nobody else could dial it")


def pack_endpoint(endpoint: Endpoint) -> bytes:
    """Type, length and data.

    Raises:
        UsageError: it cannot be written down so that another machine finds it.
    """
    if not 1 <= endpoint.port <= _MAX_PORT:
        raise UsageError(f"{endpoint}: a port is a number from 1 to {_MAX_PORT}")
    port = endpoint.port.to_bytes(2, "big")
    if isinstance(endpoint, TcpEndpoint):
        kind, data = _pack_host(endpoint)
    else:
        kind, data = _ZEROTIER, _pack_zerotier(endpoint)
    if len(port + data) > _MAX_DATA:
        raise UsageError(f"{endpoint}: too long for an invite")
    return bytes((kind, len(port + data))) + port + data


def unpack_endpoints(data: bytes, count: int) -> tuple[Endpoint, ...]:
    """Of the first `count` endpoints in `data`, those that this version can use."""
    found: list[Endpoint] = []
    for _ in range(count):
        head, data = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
        if len(head) < _HEAD_BYTES or len(data) < head[1]:
            break
        endpoint = _unpack(head[0], data[: head[1]])
        if endpoint is not None:
            found.append(endpoint)
        data = data[head[1] :]
    return tuple(found)


def _unpack(kind: int, data: bytes) -> Endpoint | None:
    """What these bytes say; None when they are of a type, or hold a name, that this version cannot use."""
    port, rest = int.from_bytes(data[:2], "big"), data[2:]
    if not port:
        return None
    if (kind, len(rest)) in {(_TCP4, 4), (_TCP6, 16)}:
        return TcpEndpoint(str(ipaddress.ip_address(rest)), port)
    if kind == _TCP_NAME:
        name = rest.decode("ascii", "replace")
        return TcpEndpoint(name, port) if _NAME.fullmatch(name) else None
    if kind == _ZEROTIER and len(data) >= _ZEROTIER_BYTES:
        network, node = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:13], "big")
        return ZeroTierEndpoint(network, node, port, rest[13:])
    return None


def _pack_host(endpoint: TcpEndpoint) -> tuple[int, bytes]:
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        if not _NAME.fullmatch(endpoint.host):
            raise UsageError(f"{endpoint}: the host must be an address or an ASCII name") from None
        return _TCP_NAME, endpoint.host.encode("ascii")
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise UsageError(f"{endpoint}: a zone (`%...`) means nothing on another machine; leave it out")
        return _TCP6, address.packed
    return _TCP4, address.packed


def _pack_zerotier(endpoint: ZeroTierEndpoint) -> bytes:
    if not (0 <= endpoint.network < 1 << 64 and 0 <= endpoint.node < 1 << 40):
        raise UsageError(f"{endpoint}: a network id has 16 hex digits, a node id 10")
    return endpoint.network.to_bytes(8, "big") + endpoint.node.to_bytes(5, "big") + endpoint.roots
