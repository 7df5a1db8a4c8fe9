"""The files beside the database: who holds it, and space kept for bad times.

Nothing here opens the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Final

from ..core.errors import StoreFailed, StoreLocked
from ..descriptors import NO_MORE

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
LOCK_PATIENCE: Final = 0.5
"""Seconds to wait for a manager that is just going away."""
_LOCK_STEP: Final = 0.05
_CLOSED: Final = b"closed\n"
_MIB: Final = 1 << 20
BALLAST_SIZE: Final = 64 * _MIB
LOW_WATER: Final = 512 * _MIB
"""Bytes; on a small disk, and for the ballast too, a `SHARE` of the disk if that is less."""
SHARE: Final = 0.05


def make_private(path: Path) -> None:
    """See to it that `path` is a file that only its owner may read, in a directory that exists.

    Raises:
        StoreFailed: the system does not allow it. OSError: too many files are open.
    """
    try:
        missing = [d for d in (path.parent, *path.parent.parents) if not d.exists()]
        for directory in reversed(missing):
            directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        # SQLite would create it with the umask's mode, and gives its other files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
        path.chmod(PRIVATE_FILE)
    except OSError as error:
        if error.errno in NO_MORE:
            raise
        reason = error.strerror or str(error)
        raise StoreFailed(
            f"cannot write {path}: {reason}; see to its directory's owner and permissions"
        ) from error


class LockFile:
    """Held by the one process that may write the database. It says who, and if the last one closed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, database: Path) -> bool:
        """Take it; says whether the last holder closed the database properly.

        Raises:
            StoreLocked: another process has it and did not let go within LOCK_PATIENCE.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        last = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= last:
                    holder = os.pread(fd, 64, 0).decode("ascii", "replace").strip() or "unknown"
                    os.close(fd)
                    raise StoreLocked(
                        f"{database} is in use by the manager with pid {holder}; stop it first"
                    ) from None
                time.sleep(_LOCK_STEP)
        clean = os.pread(fd, 64, 0) == _CLOSED
        self._fd = fd
        self._write(f"{os.getpid()}\n".encode())
        return clean

    def release(self, *, clean: bool) -> None:
        """Let go; the file stays, because removing a lock file races with its next holder."""
        if self._fd is None:
            return
        if clean:
            self._write(_CLOSED)
        os.close(self._fd)
        self._fd = None

    def _write(self, text: bytes) -> None:
        assert self._fd is not None
        with contextlib.suppress(OSError):  # what it says is for people: a full disk must not keep us out
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))


class Ballast:
    """Space that is taken in good times and given back when the disk is full, so that outcomes still fit.

    Every thread may call it.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        """Bytes; 0 for no ballast at all."""
        self.spent = False
        """It was given back, and the disk has not recovered since."""
        self._lock = threading.Lock()

    def fill(self, spare: int) -> None:
        """Have the file, if then at least `spare` bytes are left free."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_there():
                if free_bytes(self.path.parent)[0] < self.size + spare:
                    return
                self._write()
            self.spent = False

    def release(self) -> bool:
        """Give the space back; says whether there was any."""
        with self._lock:
            removed = self._remove()
            self.spent = self.spent or removed
            return removed

    @property
    def is_there(self) -> bool:
        """Whether there is space to be given back."""
        return self.path.exists()

    def _is_there(self) -> bool:
        if self.size == 0:
            self._remove()
            return True
        return self.path.exists() and self.path.stat().st_size == self.size

    def _remove(self) -> bool:
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def _write(self) -> None:
        # Random, so that neither holes nor a compressing file system make it smaller than it says.
        block = os.urandom(min(_MIB, self.size))
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            left = self.size
            while left:
                left -= os.write(fd, block[: min(left, len(block))])
        except OSError:
            self._remove()
            raise
        finally:
            os.close(fd)


def free_bytes(directory: Path) -> tuple[int, int]:
    """Bytes that this user may still write there, and the size of the disk."""
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize


def share_of_disk(directory: Path, most: int) -> int:
    """`most` bytes, or SHARE of the disk that `directory` is on if that is less."""
    return min(most, int(SHARE * free_bytes(directory)[1]))
