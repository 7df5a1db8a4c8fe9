"""The UDP port of a node: the one that is set, or else one that it keeps for itself, over restarts too.

Who finds a node at an address goes on sending to the port that was heard from there, for up to 19 s after it
fell silent, and learns of no other port at that address in the meantime. A node that came back on another one
would not be answered for so long.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Final

from ...core.errors import Conflict
from ..security.private_files import replace_private

FILE: Final = "port"
"""In the node's home."""
FIRST: Final = 1024
LAST: Final = 65_535


def is_free(port: int) -> bool:
    """Whether this UDP port can be had, on all addresses; 0 always can."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def port_for(home: Path, wanted: int) -> int:
    """The one to start with: `wanted`, or where that is 0 the one used last, or if that is taken a new one.

    Raises:
        Conflict: another program has the port that is wanted.
        ConfigError: the port cannot be kept.
    """
    if wanted:
        # libzt itself would end without a word.
        if not is_free(wanted):
            raise Conflict(
                f"UDP port {wanted} is in use: stop the program that has it (perhaps the ZeroTier service), "
                "or set zerotier.port to another one"
            )
        return wanted
    kept = _kept(home)
    if kept and is_free(kept):
        return kept
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        chosen: int = probe.getsockname()[1]
    replace_private(home / FILE, str(chosen).encode())
    return chosen


def _kept(home: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        number = int((home / FILE).read_text(encoding="ascii"))
        if FIRST <= number <= LAST:
            return number
    return 0
