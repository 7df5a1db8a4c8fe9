"""What the database held last, in a small file beside it: so that a start notices what is gone since.

It is written after commits, never before, and says only what was durable by then; so neither a killed process
nor a power cut makes it say too much. It is not synced: after a power cut it may say less, or nothing.
"""

from __future__ import annotations

import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from .files import PRIVATE_FILE

EVERY: Final = 0.25
"""Seconds between two writes, at least: what is lost of a shorter time may not be noticed."""
CHECKED: Final = 64 << 20
"""Bytes. A database up to this size gets a checksum when it is closed; a larger one takes too long."""
_SIZE: Final = 512
"""Of the file: one sector, so that it is never half written."""
_CHUNK: Final = 1 << 20


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What was durable."""

    epoch: str
    """Hexadecimal."""
    start: int
    commits: int = 0
    """Of those that are counted; see `writer`."""
    highest: int = 0
    """Id of a task."""
    closed: bool = False
    size: int = 0
    """Bytes of the database when it was closed."""
    checksum: int | None = None
    """Of all of it, if it was small enough."""


class Last:
    """Belongs to one database. For the thread that writes."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name}.last")
        self._fd: int | None = None
        self._known: Known | None = None
        self._commits = self._highest = 0
        self._written = 0.0
        self.behind = False
        """There is more to say than the file says."""

    def read(self) -> Known | None:
        """What the file says; None when there is none, or it was damaged."""
        try:
            data = self.path.read_bytes()[:_SIZE]
            checksum, _, text = data.rstrip().partition(b" ")
            if int(checksum, 16) != zlib.crc32(text):
                return None
            return msgspec.json.decode(text, type=Known)
        except (OSError, ValueError, msgspec.DecodeError):
            return None

    def begin(self, known: Known) -> None:
        """The database is open, and this is durable."""
        with suppress(OSError):  # a full or read-only disk: the last words of before stay true
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        self._known = known
        self.note(known.commits, known.highest)

    def note(self, commits: int, highest: int) -> None:
        """This is durable too."""
        self._commits, self._highest, self.behind = commits, highest, True
        if self.is_due:
            self._write()

    @property
    def is_due(self) -> bool:
        """Whether there was no write for so long that the next one comes with the next commit."""
        return time.monotonic() - self._written >= EVERY

    def catch_up(self) -> None:
        """Nothing has happened for a moment: say what there is."""
        if self.behind:
            self._write()

    def end(self, *, clean: bool) -> None:
        """The database was closed; `clean`: all of it is in its one file."""
        if clean and self._known is not None:
            with suppress(OSError):
                size, checksum = measure(self._database)
                self._known = msgspec.structs.replace(self._known, closed=True, size=size, checksum=checksum)
        self._write()
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._known = None

    def _write(self) -> None:
        if self._fd is None or self._known is None:
            self.behind = False
            return
        self._known = msgspec.structs.replace(self._known, commits=self._commits, highest=self._highest)
        text = msgspec.json.encode(self._known)
        with suppress(OSError):
            os.pwrite(self._fd, b"%08x %s\n" % (zlib.crc32(text), text.ljust(_SIZE - 10)), 0)
        self._written, self.behind = time.monotonic(), False


def measure(database: Path) -> tuple[int, int | None]:
    """Bytes of a file, and its checksum if it is small enough."""
    size = database.stat().st_size
    if size > CHECKED:
        return size, None
    checksum = 0
    with database.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return size, checksum


def is_as_left(database: Path, known: Known) -> bool:
    """Whether the file is the one that was closed, as far as that was written down."""
    if not known.closed:
        return True
    size, checksum = measure(database)
    return size == known.size and (known.checksum is None or checksum == known.checksum)
