"""Peers on a Unix socket: the kernel says who they are, so they need no certificate. Own user or root.

Both ends ask: who dials says nothing before it knows that the manager is no stranger's.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path
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


def check_place(path: Path) -> None:
    """A socket in the system's temporary directory is in a folder that only this user can have made.

    Raises:
        Refused: it is somebody else's, or open to others. OSError: it is not there.
    """
    folder = path.parent
    if folder.parent != Path(tempfile.gettempdir()):
        return
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise Refused(
            f"{folder}: is no folder of yours alone, so anybody may answer there: remove it, or set"
            " TASKMESSENGER_HOME to a shorter path"
        )


def check_answering(uid: int, path: Path) -> None:
    """Only the manager of this user is talked to, of root, or of whoever has the socket's folder alone.

    Raises:
        Refused: another user listens there.
    """
    own = os.geteuid()
    if uid not in {own, 0} and not _is_alone_in(uid, path.parent):
        raise Refused(
            f"user {uid} answers at {path}, and this is user {own}: nothing was sent; see who put that socket"
            " there, or join that manager with an invite"
        )


def _is_alone_in(uid: int, folder: Path) -> bool:
    """Whether nobody but this user and root could have put a socket there."""
    try:
        real = folder.resolve(strict=True)
        found = [place.stat() for place in (real, *real.parents)]
    except OSError:
        return False
    return found[0].st_uid == uid and all(
        status.st_uid in {0, uid} and not status.st_mode & 0o022 for status in found
    )
