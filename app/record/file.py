"""The file of a recording: snapshots as differences, events, and the newest tasks, each with its moment.

    taskmessenger recording 1         (one line)
    frame ...      mark, kind, length and checksum of the body, moment; then the body: msgpack, compressed

A frame that was cut off or damaged is left out and told; what follows it is found again by the mark, and from
the next full snapshot on everything is right. A file that has reached its bound loses its older half.
It knows files and values; it neither asks a node nor waits.
"""

from __future__ import annotations

import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from ..core.errors import ConfigError, Conflict, NotFound, UsageError
from ..core.text import printable
from ..handle import EventRow, Snapshot, TaskRow

MAGIC: Final = b"taskmessenger recording "
VERSION: Final = b"1\n"
MARK: Final = b"\xf5\xd1TM"
HEAD: Final = struct.Struct("<4sBIId")
MAX_BYTES: Final = 256 * 1024 * 1024
"""Of a file."""
MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of one frame, as written and as read."""
FULL_EVERY: Final = 60
"""Snapshots from one full one to the next."""
SELDOM: Final = {"history": 5}
"""Parts of a snapshot that are kept only every so many times: they hold their own past."""
CHUNK: Final = 1024 * 1024
FULL: Final = 1
CHANGED: Final = 2
EVENTS: Final = 3
TASKS: Final = 4
T = TypeVar("T")
_TYPES: Final = {f.name: f.type for f in msgspec.structs.fields(Snapshot)}
_PARTS: Final = {name: msgspec.msgpack.Decoder(type_) for name, type_ in _TYPES.items()}
_RAW: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_EVENTS: Final = msgspec.msgpack.Decoder(tuple[tuple[EventRow, ...], int])
_TASKS: Final = msgspec.msgpack.Decoder(tuple[TaskRow, ...])


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame: when, what and where in the file."""

    at: float
    kind: int
    offset: int
    length: int
    checksum: int


class Writer:
    """Appends to a new file, for its owner alone (0600)."""

    def __init__(self, path: Path, most: int = MAX_BYTES) -> None:
        """Make the file.

        Raises:
            Conflict: there is one already. ConfigError: it cannot be made.
        """
        self._path, self._most = path, most
        self._encode = msgspec.msgpack.Encoder().encode
        self._before: dict[str, bytes] = {}
        self._count = 0
        self._fulls: list[int] = []
        try:
            self._out: BinaryIO = os.fdopen(_make(path), "wb", buffering=0)
        except FileExistsError:
            raise Conflict(
                f"{printable(str(path))}: is there already; name another file, or move it away"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{printable(str(path))}: cannot be made ({error.strerror}); name another file"
            ) from error
        self._size = self._out.write(MAGIC + VERSION)

    def snapshot(self, at: float, snapshot: Snapshot) -> None:
        """What differs from the one before; all of it, now and then."""
        full = self._count % FULL_EVERY == 0
        parts = {}
        for name in _TYPES:
            if not full and self._count % SELDOM.get(name, 1):
                continue
            part = self._encode(getattr(snapshot, name))
            if full or part != self._before.get(name):
                self._before[name] = part
                parts[name] = msgspec.Raw(part)
        self._count += 1
        if full:
            self._fulls.append(self._size)
        self._put(FULL if full else CHANGED, at, self._encode(parts))

    def events(self, at: float, rows: Sequence[EventRow], missed: int) -> None:
        """What has happened since."""
        self._put(EVENTS, at, self._encode((rows, missed)))

    def tasks(self, at: float, rows: Sequence[TaskRow]) -> None:
        """The newest tasks."""
        self._put(TASKS, at, self._encode(rows))

    def close(self) -> None:
        """Nothing more comes."""
        self._out.close()

    def _put(self, kind: int, at: float, body: bytes) -> None:
        packed = zlib.compress(body, 1)
        if len(body) > MAX_BODY:
            return
        frame = HEAD.pack(MARK, kind, len(packed), zlib.crc32(packed), at) + packed
        self._out.write(frame)
        self._size += len(frame)
        if self._size > self._most:
            self._shrink()

    def _shrink(self) -> None:
        """Begin anew with the newer half, at a full snapshot; without one, with nothing."""
        first = next((at for at in self._fulls if at >= self._size // 2), self._size)
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        head = MAGIC + VERSION
        with os.fdopen(_make(beside), "wb") as out, self._path.open("rb") as kept:
            out.write(head)
            kept.seek(first)
            while part := kept.read(CHUNK):
                out.write(part)
        self._out.close()
        beside.replace(self._path)
        self._out = self._path.open("ab", buffering=0)
        self._fulls = [at - first + len(head) for at in self._fulls if at >= first]
        self._size = self._path.stat().st_size
        if not self._fulls:
            self._count = 0  # the next one is full


@dataclass(slots=True)
class _Index:
    snapshots: list[Moment] = field(default_factory=list)
    events: list[Moment] = field(default_factory=list)
    tasks: list[Moment] = field(default_factory=list)


class Recording:
    """A file that was kept, to be read at any place."""

    def __init__(self, path: Path) -> None:
        """Find the frames of the file.

        Raises:
            NotFound: there is no such file. UsageError: it is none of these, of another version, or empty.
        """
        self.complaints: list[str] = []
        """What could not be read, a line each."""
        self._path, self._shown = path, printable(str(path))
        try:
            self._in = path.open("rb")
        except FileNotFoundError:
            raise NotFound(f"{self._shown}: there is no such file") from None
        except OSError as error:
            raise UsageError(f"{self._shown}: cannot be read ({error.strerror})") from error
        self._index = _Index()
        self._parts: dict[str, Any] = {}
        self._place = -1
        try:
            self._check_head()
            self._scan()
        except BaseException:
            self._in.close()
            raise
        self.moments: tuple[float, ...] = tuple(one.at for one in self._index.snapshots)
        """When the snapshots were taken, in their order. Never empty."""

    def close(self) -> None:
        """Done with it."""
        self._in.close()

    def snapshot(self, place: int) -> Snapshot:
        """The snapshot at this place of `moments`."""
        known = self._index.snapshots
        first = place
        while first > 0 and known[first].kind != FULL:
            first -= 1
        if not first <= self._place <= place:
            self._parts, self._place = {}, first - 1
        for at in range(self._place + 1, place + 1):
            self._apply(known[at])
        self._place = place
        return Snapshot(**{"at": known[place].at, "role": "manager", **self._parts})

    def events(self, until: float, most: int) -> tuple[EventRow, ...]:
        """The newest `most` events up to a moment, oldest first."""
        last = bisect_right(self._index.events, until, key=lambda one: one.at)
        found: list[tuple[EventRow, ...]] = []
        number = 0
        for moment in reversed(self._index.events[:last]):
            page = self._body(moment, _EVENTS)
            rows = page[0] if page is not None else ()
            found.append(rows)
            number += len(rows)
            if number >= most:
                break
        rows_of_all = [row for rows in reversed(found) for row in rows]
        return tuple(rows_of_all[-most:])

    def tasks(self, until: float) -> tuple[TaskRow, ...]:
        """The newest tasks as they were last kept before a moment."""
        last = bisect_right(self._index.tasks, until, key=lambda one: one.at)
        return (self._body(self._index.tasks[last - 1], _TASKS) if last else None) or ()

    def _apply(self, moment: Moment) -> None:
        for name, part in (self._body(moment, _RAW) or {}).items():
            if name in _PARTS:  # a newer program may have kept more
                with suppress(msgspec.DecodeError, UnicodeDecodeError):  # or other things under this name
                    self._parts[name] = _PARTS[name].decode(part)

    def _packed(self, moment: Moment) -> bytes | None:
        """The body as it lies there; None when it is damaged."""
        self._in.seek(moment.offset)
        packed = self._in.read(moment.length)
        whole = len(packed) == moment.length and zlib.crc32(packed) == moment.checksum
        return packed if whole else None

    def _body(self, moment: Moment, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        """What the frame holds; None when that is nothing of ours, which a checksum does not show."""
        packed = self._packed(moment)
        if packed is None:
            return None
        unpack = zlib.decompressobj()
        try:
            body = unpack.decompress(packed, MAX_BODY)
            return None if unpack.unconsumed_tail else decoder.decode(body)
        except (zlib.error, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _check_head(self) -> None:
        head = self._in.read(len(MAGIC) + len(VERSION))
        if not head.startswith(MAGIC):
            raise UsageError(f"{self._shown}: is no recording; `--record FILE` makes one")
        if head != MAGIC + VERSION:
            raise UsageError(f"{self._shown}: was made by another version of this program, which can read it")

    def _scan(self) -> None:
        """Find all frames that are whole. Damage is jumped over, to the next mark and full snapshot."""
        whole = False
        for moment in self._frames():
            if moment is None:
                whole = False
                continue
            match moment.kind:
                case 1 | 2:
                    whole = whole or moment.kind == FULL
                    if whole:
                        self._index.snapshots.append(moment)
                case 3:
                    self._index.events.append(moment)
                case 4:
                    self._index.tasks.append(moment)
                case _:
                    pass  # of a newer program
        if not self._index.snapshots:
            raise UsageError(f"{self._shown}: has no snapshot that can be read")

    def _frames(self) -> Iterator[Moment | None]:
        """Frames with a right checksum; None where something was left out."""
        at, end = self._in.tell(), self._path.stat().st_size
        latest = float("-inf")
        while at < end:
            moment = self._frame(at, end)
            if moment is None:
                after = self._next_mark(at + 1, end)
                cut = "cut off" if after is None else "damaged"
                self.complaints.append(f"{self._shown}: is {cut} at byte {at:,}: what was there is left out")
                yield None
                if after is None:
                    return
                at = after
                continue
            at = moment.offset + moment.length
            if moment.at >= latest:  # a clock that was set back would make time run twice
                latest = moment.at
                yield moment

    def _frame(self, at: int, end: int) -> Moment | None:
        self._in.seek(at)
        head = self._in.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        mark, kind, length, checksum, moment = HEAD.unpack(head)
        start = at + HEAD.size
        if mark != MARK or length > MAX_BODY or start + length > end:
            return None
        found = Moment(moment, kind, start, length, checksum)
        return found if self._packed(found) is not None else None

    def _next_mark(self, at: int, end: int) -> int | None:
        while at < end:
            self._in.seek(at)
            part = self._in.read(CHUNK)
            if (found := part.find(MARK)) >= 0:
                return at + found
            at += max(len(part) - len(MARK) + 1, 1)
        return None


def _make(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(path, flags, 0o600)
