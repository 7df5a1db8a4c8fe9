"""The file calls that durability depends on, in one place, so that a test can let them fail or forget."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .files import PRIVATE_DIRECTORY, PRIVATE_FILE


class Disk:
    """The system's own. Every method raises OSError; every thread may call it."""

    def make_directory(self, path: Path) -> None:
        """Have `path`, for its owner only, in a way that outlives a power cut."""
        path.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        self.sync_directory(path.parent)

    def create(self, path: Path) -> int:
        """The descriptor of the new file `path`; its name is durable after `sync_directory`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)

    def write(self, fd: int, data: Sequence[bytes | memoryview], start: int) -> int:
        """Write as much of `data`, one after another, as the system takes; says how many bytes."""
        return os.pwritev(fd, data, start)

    def sync(self, fd: int) -> None:
        """Return when everything written to the file would survive a power cut."""
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # its fsync stops at the disk's own memory
        else:
            os.fdatasync(fd)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in `path` would survive a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file down to `size` bytes."""
        os.ftruncate(fd, size)

    def remove(self, path: Path) -> None:
        """Remove the file, now or after a power cut."""
        path.unlink()

    def read(self, path: Path, size: int, start: int) -> bytes:
        """Up to `size` bytes from `start` on; fewer if the file ends before."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, size, start)
        finally:
            os.close(fd)
