"""Has a node say at once to whom broadcasts for its address are to go, which it does once a minute by itself.

IPv4 addresses are resolved by broadcast, ZeroTier sends those only to nodes that have asked for them, and a
peer that was restarted has forgotten who did. libzt's own interface cannot be told to ask, the node inside it
can, with the same reserve as in `peers`: with another library nothing happens.
"""

from __future__ import annotations

import ctypes
from typing import Final

from .node import Node

BROADCAST: Final = 0xFF_FF_FF_FF_FF_FF
"""The group; which address it is about is told beside it."""


def announce(node: Node) -> bool:
    """Ask for broadcasts about the address of this node, as if for the first time; whether that was possible.

    Takes some microseconds. Raises `Conflict` when the node has no address.
    """
    network, address = node.settings.network.number, int(node.address)
    with node.core() as core:
        if not core:
            return False
        library = node.library
        withdraw, ask = library.ZT_Node_multicastUnsubscribe, library.ZT_Node_multicastSubscribe
        group = (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_ulong)
        withdraw.argtypes, withdraw.restype = (ctypes.c_void_p, *group), ctypes.c_int
        ask.argtypes, ask.restype = (ctypes.c_void_p, ctypes.c_void_p, *group), ctypes.c_int
        withdraw(core, network, BROADCAST, address)
        return bool(ask(core, None, network, BROADCAST, address) == 0)
