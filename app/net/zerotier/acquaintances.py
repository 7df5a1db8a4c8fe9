"""Nodes that a manager has let in, kept where libzt finds them after a restart.

A node that was started again knows nobody. It looks at one stranger from each network of 256 addresses in
four seconds, and cannot read what others say to it in the meantime: a restarted manager would get its workers
back one by one. So their public identities are written into its home as ZeroTier itself would keep them; they
are no secret, and let nobody in.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Final

from .identity import is_public

FOLDER: Final = "peers.d"
MAX_KEPT: Final = 4096
"""Nodes; who has not been let in for longest is forgotten."""
_FORMAT: Final = 1
_KEY_PAIR: Final = 0
"""Type of an identity; behind its public keys, the length of the secret ones, which are not there."""
_VERSION: Final = (12, 1, 8, 4)
"""Protocol and program: what a peer is taken to speak until it has said so itself."""


def pack(identity: str) -> bytes:
    """A public identity as ZeroTier keeps a peer, without any path to it."""
    number, _, keys = identity.split(":")
    serialized = bytes.fromhex(number) + bytes([_KEY_PAIR]) + bytes.fromhex(keys) + bytes([0])
    return bytes([_FORMAT]) + serialized + struct.pack("!5H", *_VERSION, 0)


def remember(home: Path, identity: str) -> None:
    """Keep it for the next start. Where that fails the peer will be a stranger, which is slow and no more."""
    if not is_public(identity):
        return
    file = home / FOLDER / f"{identity[:10]}.peer"
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, exist_ok=True)
        # Not synced, and cut short after a crash of the machine at worst: then it is not read.
        file.write_bytes(pack(identity))


def forget_oldest(home: Path) -> None:
    """Before a start: no more than `MAX_KEPT` of them."""
    with contextlib.suppress(OSError):
        kept = sorted((home / FOLDER).glob("*.peer"), key=lambda file: file.stat().st_mtime)
        for file in kept[: max(0, len(kept) - MAX_KEPT)]:
            os.unlink(file)  # noqa: PTH108 - as quick as can be
