"""The networks that nodes meet in: their ids and addresses, and the file that makes a private one.

A private network has no controller and no account: each node derives its own address from its node id and
writes the network's configuration for itself, which ZeroTier then takes for one it had received earlier. An
existing network is administered elsewhere. Either is a pipe, no more: anyone who knows the roots and the id
can join a private one. This module computes and words; it calls nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from ...core.errors import ConfigError
from ...core.text import printable
from . import binding
from .identity import HOST_BITS, is_node_id

PRIVATE_RANGE: Final = IPv4Network("240.0.0.0/4")
"""Class E: never the address of a real interface, else ZeroTier would refuse to use that path."""
MTU: Final = 2800
"""Bytes; ZeroTier's own."""
ARP_GROUP_LIMIT: Final = 32
"""Members that a broadcast reaches: enough to resolve addresses, as the manager asks and is asked."""
MAX_CLOCK_DIFFERENCE_MS: Final = 7_200_000
_NETWORK_ID: Final = re.compile(r"\A[0-9a-f]{16}\Z")
_BROADCAST_FLAG: Final = 2
_ACCEPT: Final = b"\x01\x00"
"""One rule: let everything pass."""
_IPV4: Final = 4
_NO_GATEWAY: Final = bytes(5)
"""No address, then flags and metric of 0, two bytes each."""
_ESCAPES: Final = {0x00: b"\\0", 0x0D: b"\\r", 0x0A: b"\\n", 0x5C: b"\\\\", 0x3D: b"\\e"}
_MAX_FILE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Network:
    """One ZeroTier network."""

    number: int
    private: bool
    """Whether each node writes its configuration for itself; otherwise a controller does."""

    def __str__(self) -> str:
        return f"{self.number:016x}"

    @property
    def controller(self) -> str:
        """Node id of whoever the id names as controller; in a private network the manager."""
        return f"{self.number >> 24:010x}"

    @property
    def file_name(self) -> str:
        """Of its configuration in `networks.d`."""
        return f"{self}.conf"


class JoinState(StrEnum):
    """How far a node is with a network."""

    DOWN = "down"
    REQUESTING = "requesting"
    READY = "ready"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    NO_IPV4 = "no_ipv4"
    FAILED = "failed"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStatus:
    """Where a node stands with its network, and what to do about it."""

    state: JoinState
    sentence: str
    """For an operator; one line."""

    @property
    def ready(self) -> bool:
        return self.state is JoinState.READY

    @property
    def refused(self) -> bool:
        """Somebody has to change something before it gets in."""
        return self.state in _REFUSED


def private_network(manager_id: str) -> Network:
    """The private network of the manager with this node id.

    Its id names the manager as controller, so that lookups of addresses are sent to it.

    Raises:
        ConfigError: that is no node id.
    """
    if not is_node_id(manager_id):
        raise ConfigError(f"`{printable(manager_id, 32)}` is no ZeroTier node id: it has ten hex digits")
    return Network(int(manager_id, 16) << 24 | 1, private=True)


def existing_network(text: str) -> Network:
    """The network with this id, administered by ZeroTier Central or a controller of one's own.

    Raises:
        ConfigError: that is no network id, or one that cannot be used here.
    """
    text = text.strip().lower()
    if not _NETWORK_ID.match(text) or not int(text, 16):
        raise ConfigError(
            f"zerotier.network_id: `{printable(text, 32)}` is no network id: "
            "copy the 16 hex digits from the controller"
        )
    if text.startswith("ff"):
        raise ConfigError(
            f"zerotier.network_id: {text} is an ad-hoc network; those have IPv6 only, which is not "
            "reliable here; use a private network (leave network_id empty) or one with IPv4 addresses"
        )
    return Network(int(text, 16), private=False)


def address_of(node_id: str) -> IPv4Address:
    """The address that a node has in a private network."""
    return IPv4Address(int(PRIVATE_RANGE.network_address) + (int(node_id, 16) & 2**HOST_BITS - 1))


def matches(node_id: str, address: IPv4Address) -> bool:
    """Whether a connection that comes from `address` in a private network can be that node's."""
    return is_node_id(node_id) and address == address_of(node_id)


def network_file(network: Network, node_id: str, now_ms: int) -> bytes:
    """The configuration of a private network, as the node with this id would have received it."""
    own = _with_prefix(address_of(node_id))
    entries: dict[str, bytes] = {
        "v": b"7",
        "nwid": str(network).encode(),
        "ts": _hex(now_ms),
        "ctmd": _hex(MAX_CLOCK_DIFFERENCE_MS),
        "r": _hex(1),
        "id": node_id.encode(),
        "f": _hex(_BROADCAST_FLAG),
        "ml": _hex(ARP_GROUP_LIMIT),
        "t": _hex(1),
        "n": b"task-messenger",
        "mtu": _hex(MTU),
        "RT": _escaped(_with_prefix(PRIVATE_RANGE.network_address) + _NO_GATEWAY),
        "I": _escaped(own),
        "R": _escaped(_ACCEPT),
    }
    return b"".join(name.encode() + b"=" + value + b"\n" for name, value in entries.items())


def assigned_in(file: bytes) -> IPv4Interface | None:
    """Own address and prefix according to a network's configuration; None if it has no IPv4 address."""
    for line in file[:_MAX_FILE].split(b"\n"):
        if line.startswith(b"I="):
            return _first_interface(_plain(line[2:]))
    return None


def clashes(overlay: IPv4Network, addresses: Iterable[IPv4Address]) -> tuple[IPv4Address, ...]:
    """Addresses of this machine that lie in the overlay: ZeroTier uses no path from or to them."""
    return tuple(address for address in addresses if address in overlay)


def join_status(result: int, network: Network, node_id: str, address: IPv4Address | None) -> JoinStatus:
    """What libzt's answer about a network means."""
    if result == binding.NETWORK_OK:
        if address is not None:
            return JoinStatus(state=JoinState.READY, sentence=f"network {network}: joined as {address}")
        return JoinStatus(
            state=JoinState.NO_IPV4,
            sentence=f"network {network} gives this node no IPv4 address: turn on IPv4 auto-assign, "
            f"or assign one to node {node_id}, at the controller",
        )
    state, sentence = _JOINING.get(result, _NOT_UP)
    return JoinStatus(
        state=state, sentence=sentence.format(network=network, node=node_id, controller=network.controller)
    )


_NOT_UP: Final = (JoinState.DOWN, "the node is not running, and so not in network {network}")
_JOINING: Final = {
    binding.NETWORK_REQUESTING: (
        JoinState.REQUESTING,
        "controller {controller} of network {network} is silent so far: check that it runs and UDP gets out",
    ),
    binding.NETWORK_DENIED: (
        JoinState.DENIED,
        "network {network} does not let this node in: authorise node {node} at the controller",
    ),
    binding.NETWORK_NOT_FOUND: (
        JoinState.NOT_FOUND,
        "network {network} does not exist at controller {controller}: check zerotier.network_id",
    ),
    binding.NETWORK_PORT_ERROR: (
        JoinState.FAILED,
        "network {network} could not be set up by libzt: start again, or look at `zerotier status`",
    ),
    binding.NETWORK_TOO_OLD: (
        JoinState.TOO_OLD,
        "network {network} wants a newer libzt: name one in zerotier.library_path",
    ),
}


_REFUSED: Final = frozenset({JoinState.DENIED, JoinState.NOT_FOUND, JoinState.TOO_OLD, JoinState.NO_IPV4})


def _with_prefix(address: IPv4Address) -> bytes:
    return bytes([_IPV4]) + address.packed + PRIVATE_RANGE.prefixlen.to_bytes(2, "big")


def _first_interface(value: bytes) -> IPv4Interface | None:
    while value:
        size, family = (7, 4) if value[0] == _IPV4 else (19, 6)
        if len(value) < size:
            return None
        prefix = int.from_bytes(value[size - 2 : size], "big")
        if family == _IPV4 and prefix <= IPv4Address(0).max_prefixlen:
            return IPv4Interface((value[1:5], prefix))
        value = value[size:]
    return None


def _hex(number: int) -> bytes:
    return f"{number:x}".encode()


def _escaped(value: bytes) -> bytes:
    return b"".join(_ESCAPES.get(byte, bytes([byte])) for byte in value)


def _plain(value: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: _UNESCAPES.get(found[1], found[1]), value, flags=re.DOTALL)


_UNESCAPES: Final = {b"0": b"\0", b"r": b"\r", b"n": b"\n", b"e": b"="}
