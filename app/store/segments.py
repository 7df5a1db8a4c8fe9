"""Append-only files for values that are too large for the database: places and bytes, no table, no task.

The database would write each twice and read it in pieces of a page. Here it is written once, behind the last
one, and is durable before the COMMIT that refers to it. A segment is never changed; it is removed as a whole
when nothing refers to it any more. What is in it and was never referred to (its batch was refused, or the
process was killed) is garbage: found by what the database refers to, and not by reading.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from ..core.errors import StoreBusy
from ..core.text import count
from ..descriptors import NO_MORE
from .disk import Disk
from .files import PRIVATE_DIRECTORY
from .reclaim import Reclaim

log = logging.getLogger(__name__)

SEGMENT_SIZE: Final = 16 << 20
"""Bytes; a larger value has a segment of its own. One small value that is kept keeps no more than this."""
_BLOCK: Final = 4_096
"""Values start at multiples of it, so that no write touches a page that holds a value already durable."""
_VALUES_A_WRITE: Final = 256
"""In one system call; with their padding half of what systems allow."""
_PADDING: Final = memoryview(bytes(_BLOCK))
_NAME: Final = re.compile(r"(\d{8,15})\.seg")


class Place(NamedTuple):
    """Where a value is."""

    segment: int
    start: int
    """Bytes from the start of the file."""
    size: int
    crc: int


class Use(NamedTuple):
    """What the database has in one segment."""

    segment: int
    values: int
    end: int
    """Bytes from the start of the file to the end of the last value."""


class Unreadable(Exception):
    """A value that is not there, or not what was written, and why."""


@dataclass(slots=True)
class _Tail:
    """A segment that is written to."""

    number: int
    fd: int
    end: int
    """Bytes that are referred to, or will be after the next COMMIT."""


class Segments:
    """All segments of one database. `read` and `reading` are for every thread, the rest for the writer's.

    In a transaction: `place` and `drop`; `flush` before the COMMIT; then either `keep` or `undo`.
    """

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self.directory = directory
        self.disk = disk or Disk()
        self._reclaim = Reclaim(self._remove)
        self._values: Counter[int] = Counter()
        """By segment, how many the database refers to."""
        self._next = 1
        self._ready = False
        """The directory is there, and durable."""
        self._tail: _Tail | None = None
        self._number, self._end = 0, SEGMENT_SIZE
        """Where the next value goes, if it fits."""
        self._placed: list[tuple[Place, bytes]] = []
        self._dropped: list[int] = []
        self._made: list[_Tail] = []
        """By this transaction."""
        self._touched = False
        """The tail was written to, by this transaction."""

    # ---- for every thread -------------------------------------------------------------------------------

    def reading(self) -> AbstractContextManager[None]:
        """Keeps what a snapshot refers to that begins in here; see `Reclaim.reading`."""
        return self._reclaim.reading()

    def read(self, place: Place) -> bytes:
        """The value at `place`.

        Raises:
            Unreadable: it is damaged, and how. StoreBusy: too many files are open.
        """
        path = self._path(place.segment)
        try:
            value = self.disk.read(path, place.size, place.start)
        except OSError as error:
            if error.errno in NO_MORE:
                raise StoreBusy(f"too many files are open to read {path}: try again") from error
            raise Unreadable(f"{path}: {error.strerror}") from error
        if len(value) != place.size:
            raise Unreadable(f"{path} ends before it")
        if crc32(value) != place.crc:
            raise Unreadable(f"{path} is damaged")
        return value

    def peek(self, place: Place, size: int) -> bytes:
        """The beginning of the value at `place`; nothing where it cannot be read. Damage is not noticed."""
        try:
            return self.disk.read(self._path(place.segment), min(size, place.size), place.start)
        except OSError:
            return b""

    # ---- for the writer's thread ------------------------------------------------------------------------

    def open(self, used: Sequence[Use]) -> None:
        """Start with what the database refers to, and remove the rest. Reads names and sizes, no values.

        Raises:
            OSError: the directory cannot be used.
        """
        ends = {use.segment: use.end for use in used}
        self._values = Counter({use.segment: use.values for use in used})
        sizes = self.sizes()
        for number in sizes.keys() - ends.keys():
            self._remove(number)
        for number in sizes.keys() & ends.keys():
            if sizes[number] > ends[number]:
                with suppress(OSError):  # it is only space; the next start tries again
                    os.truncate(self._path(number), ends[number])
        if lost := [number for number, end in ends.items() if sizes.get(number, -1) < end]:
            log.error("missing or cut short: %s, such as %s", count(len(lost), "file"), self._path(lost[0]))
        self._next = 1 + max([0, *sizes, *ends])

    def sizes(self) -> dict[int, int]:
        """The segments that are there, and their bytes."""
        if not self.directory.exists():
            return {}
        self.directory.chmod(PRIVATE_DIRECTORY)
        with os.scandir(self.directory) as entries:
            named = [(_NAME.fullmatch(entry.name), entry) for entry in entries]
        return {int(name[1]): entry.stat().st_size for name, entry in named if name is not None}

    def place(self, value: bytes) -> Place:
        """Where `value` will be after `flush`."""
        size = len(value)
        if self._end and self._end + size > SEGMENT_SIZE:
            self._number, self._end = self._next, 0
            self._next += 1
        place = Place(self._number, self._end, size, crc32(value))
        self._placed.append((place, value))
        self._end += size + -size % _BLOCK
        return place

    def drop(self, segments: Iterable[int]) -> None:
        """One value less in each of these, as often as it is named."""
        self._dropped += segments

    def flush(self) -> None:
        """Return when all that was placed would survive a power cut.

        Raises:
            OSError: it could not be written; `undo` follows, unless the disk has failed.
        """
        for number, placed in groupby(self._placed, lambda placed: placed[0].segment):
            tail = self._tail
            if tail is None or tail.number != number:
                tail = self._make(number)
            else:
                self._touched = True
            self._append(tail, [value for _, value in placed])
            self.disk.sync(tail.fd)
        if self._made:
            self.disk.sync_directory(self.directory)

    def _make(self, number: int) -> _Tail:
        if not self._ready:
            self.disk.make_directory(self.directory)
            self._ready = True
        self._made.append(_Tail(number, self.disk.create(self._path(number)), 0))
        return self._made[-1]

    def _append(self, tail: _Tail, values: list[bytes]) -> None:
        start = tail.end
        for first in range(0, len(values), _VALUES_A_WRITE):
            data: list[bytes | memoryview] = []
            for value in values[first : first + _VALUES_A_WRITE]:
                data += (value, _PADDING[: -len(value) % _BLOCK])
            while data:
                written = self.disk.write(tail.fd, data, start)
                if not written:
                    raise OSError(errno.EIO, "nothing was written")
                start += written
                data = _rest(data, written)

    def keep(self) -> None:
        """The transaction is durable: what it placed counts, and what nothing refers to any more goes."""
        if not self._placed and not self._dropped:
            return
        for made in self._made:
            self._seal()
            self._tail = made
        if self._tail is not None:
            self._tail.end = self._end
        self._values.update(place.segment for place, _ in self._placed)
        self._values.subtract(self._dropped)
        dead = sorted({segment for segment in self._dropped if not self._values[segment]})
        for segment in dead:
            del self._values[segment]
        if self._tail is not None and self._tail.number in dead:
            self._seal()
        self._reclaim.retire(dead)
        self._reset()

    def undo(self) -> None:
        """The transaction is undone: so is what it wrote."""
        for made in self._made:
            self._close(made)
            self._remove(made.number)
        if self._touched and self._tail is not None:
            # After a write that failed nobody knows what is behind the end: the next value starts a new file.
            with suppress(OSError):
                self.disk.truncate(self._tail.fd, self._tail.end)
            self._seal()
        self._reset()

    def sweep(self) -> None:
        """Remove the segments that nobody needs any more."""
        self._reclaim.sweep()

    def close(self) -> None:
        """Let go of the files, as they are."""
        for made in self._made:
            self._close(made)
        self._seal()
        self._reset()

    def _reset(self) -> None:
        """As between two transactions."""
        self._placed, self._dropped, self._made = [], [], []
        self._touched = False
        tail = self._tail
        self._number, self._end = (tail.number, tail.end) if tail is not None else (0, SEGMENT_SIZE)

    def _seal(self) -> None:
        """Nothing more goes into the last segment."""
        tail, self._tail = self._tail, None
        if tail is not None:
            self._close(tail)

    def _close(self, tail: _Tail) -> None:
        with suppress(OSError):  # what is in it was synced, or is not wanted
            os.close(tail.fd)

    def _remove(self, segment: int) -> None:
        path = self._path(segment)
        try:
            self.disk.remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("cannot remove %s, the next start will try again: %s", path, error.strerror)

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:08d}.seg"


def _rest(data: list[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    """What is left of `data` after its first `written` bytes."""
    for index, part in enumerate(data):
        if written < len(part):
            return [memoryview(part)[written:], *data[index + 1 :]]
        written -= len(part)
    return []
