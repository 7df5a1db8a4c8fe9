"""Peers on a Unix socket: the kernel says who they are, so they need no certificate. Own user or root."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final

from ...core.errors import Refused

_LINUX_UCRED: Final = struct.Struct("3i")
"""pid, uid, gid"""
_MAC_XUCRED: Final = struct.Struct("IIh2x16I")
"""version, uid, number of groups, groups"""
_MAC_SOL_LOCAL: Final = 0
_MAC_LOCAL_PEERCRED: Final = 0x001
_NOBODY: Final = -1
"""What Linux says of a peer from a user namespace that it cannot name (as unsigned: 4294967295)."""


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel noted it when the peer connected.

    Raises:
        Refused: this system cannot tell, or the socket has no such peer.
    """
    try:
        if sys.platform == "darwin":
            data = connection.getsockopt(_MAC_SOL_LOCAL, _MAC_LOCAL_PEERCRED, _MAC_XUCRED.size)
            return int(_MAC_XUCRED.unpack(data)[1])
        if sys.platform == "linux" and connection.family == socket.AF_UNIX:
            data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _LINUX_UCRED.size)
            uid = int(_LINUX_UCRED.unpack(data)[1])
            if uid != _NOBODY:
                return uid
    except (OSError, struct.error) as error:
        raise Refused(f"the user behind a local connection cannot be found out ({error}): use TCP") from error
    raise Refused(
        "the user behind a local connection cannot be found out on this system: use TCP and an invite"
    )


def admit_local(uid: int) -> None:
    """Let only the user that runs this manager come in, and root, who could anyway.

    Raises:
        Refused: another user.
    """
    own = os.geteuid()
    if uid not in {own, 0}:
        raise Refused(
            f"user {uid} asked a manager that user {own} runs: run as that user, or join with an invite"
        )
