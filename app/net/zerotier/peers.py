"""What this node knows of other nodes: reached directly or through a root, and how fast.

libzt's own interface leaves this question open, so the node inside it is asked, which may be done from any
thread. Never under libzt's lock: who holds that while another thread asks libzt anything waits for that one,
and that one for the lock. Where the node lies in memory is known for the provisioned library alone; of any
other one nothing is read, and the answer is that nothing is known.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Final

from .library import Loaded

SERVICE: Final = "_ZN8ZeroTier11zts_serviceE"
"""The variable that points to the running service; null when there is none."""
MAX_PEERS: Final = 4096
_NODE_AT: Final = 0x130
"""Offset of the node in the service."""
_PATHS: Final = 16
_PATH_BYTES: Final = 248
_ROLES: Final = {0: "leaf", 1: "moon", 2: "root"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another node, as this one sees it."""

    node_id: str
    role: str
    """`leaf`, `moon` or `root`."""
    direct: bool
    """Whether packets go straight to it; otherwise a root relays them."""
    latency_ms: int | None
    """As ZeroTier last measured it, there and back; None: not yet."""
    version: str
    """Of its ZeroTier; empty while unknown."""


class _Peer(ctypes.Structure):
    """One entry of the list."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
        ("revision", ctypes.c_int),
        ("latency", ctypes.c_int),
        ("role", ctypes.c_int),
        ("bonded", ctypes.c_uint8 * 52),
        ("path_count", ctypes.c_uint),
        ("unused", ctypes.c_uint),
        ("paths", (ctypes.c_uint8 * _PATH_BYTES) * _PATHS),
    )


class _Peers(ctypes.Structure):
    """The list; its memory belongs to the node until it is given back."""

    _fields_ = (("peers", ctypes.POINTER(_Peer)), ("count", ctypes.c_ulong))


def service(loaded: Loaded) -> int | None:
    """Where the running service lies; 0: none runs, or it has ended; None: this library does not tell."""
    try:
        return ctypes.c_void_p.in_dll(loaded.library, SERVICE).value or 0
    except ValueError:
        return None


def can_tell(loaded: Loaded) -> bool:
    """Whether peers can be read from this library."""
    return loaded.found.provisioned and sys.platform == "linux"


def core_of(loaded: Loaded) -> int:
    """Where the node inside the running service lies; 0 when none runs or this library does not tell."""
    at = service(loaded) if can_tell(loaded) else None
    return (ctypes.c_void_p.from_address(at + _NODE_AT).value or 0) if at else 0


def read(loaded: Loaded, core: int) -> tuple[Peer, ...] | None:
    """All nodes that this one knows, or None when there is no `core`; see `Node.core`."""
    if not core:
        return None
    ask, give_back = loaded.library.ZT_Node_peers, loaded.library.ZT_Node_freeQueryResult
    ask.restype, ask.argtypes = ctypes.POINTER(_Peers), (ctypes.c_void_p,)
    give_back.restype, give_back.argtypes = None, (ctypes.c_void_p, ctypes.c_void_p)
    found = ask(core)
    if not found:
        return None
    try:
        listed = found.contents
        return tuple(_peer(listed.peers[number]) for number in range(min(listed.count, MAX_PEERS)))
    finally:
        give_back(core, found)


def _peer(found: _Peer) -> Peer:
    version = "" if found.major < 0 else f"{found.major}.{found.minor}.{found.revision}"
    return Peer(
        node_id=f"{found.address:010x}",
        role=_ROLES.get(found.role, "leaf"),
        direct=found.path_count > 0,
        latency_ms=found.latency if found.latency >= 0 else None,
        version=version,
    )
