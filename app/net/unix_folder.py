"""The folder of a local socket in the system's temporary directory: goes when it is not used any more.

There lie sockets whose own place has a path too long for a socket; see `paths`. Others may use that directory
too, so only what is this user's own, and has nothing else in it, is removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STALE_SECONDS: Final = 3600.0
"""A folder younger than this may belong to a manager that is just starting."""
PREFIX: Final = "taskmessenger-"
MOST: Final = 1_000
"""Stale folders that one start removes."""


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """While the block lasts there may be a socket `path`; before and after it nothing is left over."""
    folder = path.parent
    elsewhere = folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith(PREFIX)
    if elsewhere:
        prefix = folder.name.rpartition("-")[0]
        for other in list(folder.parent.glob(f"{prefix}-*"))[:MOST]:
            if other != folder and _is_stale(other, path.name):
                _remove(other, path.name)
    try:
        yield
    finally:
        if elsewhere:
            _remove(folder, path.name)


def _is_stale(folder: Path, name: str) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    old = time.time() - found.st_mtime > STALE_SECONDS
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and old and _is_silent(folder / name)


def _is_silent(path: Path) -> bool:
    """Whether nobody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) in {errno.ECONNREFUSED, errno.ENOENT}


def _remove(folder: Path, name: str) -> None:
    """The folder of a socket at which nobody listens, if there is nothing else in it."""
    lock = folder / f"{name}.lock"
    with suppress(OSError):
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if lock.exists() else -1
        try:
            if fd >= 0:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_silent(folder / name):
                return
            (folder / name).unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
            folder.rmdir()
        finally:
            if fd >= 0:
                os.close(fd)
