"""Outcomes that the manager has not acknowledged, on the worker's disk: they survive the worker.

Append-only segments of records (length, CRC-32, msgpack); a segment goes when all of it is acknowledged. One
of which little is still wanted is written anew, so that a single outcome that nobody acknowledges holds up
neither the space of others nor, after a restart, has all of them sent again.
Written before an outcome is sent, without fsync: a process that dies loses nothing, and after a power cut the
task simply runs again. What is damaged is dropped for the same reason.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from ..core.errors import ConfigError
from ..forks import forget_number, keep_number_from_forks
from ..paths import make_private

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""When a segment is this long the next one begins."""
WORTH_BYTES: Final = 1024 * 1024
"""A segment is written anew when so much of it, and at least half, is acknowledged: on average every byte is
written twice at most, and a worker that starts sends little more than this again in vain."""
MAX_RECORD: Final = 80 * 1024 * 1024
_HEADER: Final = struct.Struct("!II")


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One outcome."""

    task: int
    attempt: int
    how: int
    """`core.stimuli.How`."""
    seconds: float
    body: bytes | None
    """The result when it succeeded, else the error."""
    output: tuple[int, bytes] | None = None
    """The last part of what it wrote, after how many bytes; None when it wrote nothing."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Kept)


class _Segment:
    __slots__ = ("left", "live", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Of the file."""
        self.left = self.live = 0
        """Records that are wanted, and their bytes."""


_Key = tuple[int, int]
_Place = tuple[_Segment, int, int]
"""The segment, where the body begins in it, and its length."""


class Spool:
    """Owns a directory. One process at a time."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open it and find what is in it.

        Raises:
            ConfigError: it cannot be read or written.
        """
        self._folder, self._max = folder, max_bytes
        self._where: dict[_Key, _Place] = {}
        self._segments: list[_Segment] = []
        self._handle: int | None = None
        self._next = 1
        self._crowded = False
        """There was no room to write a segment anew."""
        try:
            make_private(folder)
            for path in sorted(folder.glob("*.spool")):
                self._load(path)
        except OSError as error:
            raise ConfigError(
                f"{folder}: the spool cannot be used ({error.strerror}); check its owner"
            ) from error

    def __len__(self) -> int:
        return len(self._where)

    @property
    def full(self) -> bool:
        """Whether no more work should be taken. What is acknowledged does not count, wherever it lies."""
        return sum(segment.live for segment in self._segments) >= self._max

    @property
    def crowded(self) -> bool:
        """Whether it is so full that there is room for outcomes, but for nothing besides."""
        return 2 * sum(segment.live for segment in self._segments) >= self._max

    @property
    def keys(self) -> list[_Key]:
        """Task and attempt of everything kept."""
        return list(self._where)

    def add(self, outcomes: Iterable[Kept]) -> int:
        """Keep these, with one write; says how many bytes that were. What was kept under a key before goes.

        Raises:
            OSError: the disk is full or fails; they are not kept.
        """
        kept = list(outcomes)
        bodies = [_encode(one) for one in kept]
        segment, starts = self._append(bodies)
        total, where = sum(map(len, bodies)), self._where
        segment.left += len(bodies)
        segment.live += total + _HEADER.size * len(bodies)
        for one, start, body in zip(kept, starts, bodies, strict=True):
            key = (one.task, one.attempt)
            before = where.get(key)
            where[key] = (segment, start, len(body))
            if before is not None:
                self._release(before[0], before[2])
        self._crowded = False
        return total

    def _append(self, bodies: Sequence[bytes]) -> tuple[_Segment, list[int]]:
        """Write records to the newest segment; says where each body begins."""
        if self._handle is None or self._segments[-1].size >= SEGMENT_BYTES:
            self._begin()
        segment, handle = self._segments[-1], self._handle
        assert handle is not None
        records: list[bytes] = []
        starts: list[int] = []
        offset = segment.size
        for body in bodies:
            records += (_HEADER.pack(len(body), zlib.crc32(body)), body)
            starts.append(offset + _HEADER.size)
            offset += _HEADER.size + len(body)
        try:
            _write_all(handle, b"".join(records))
        except OSError:
            try:
                os.ftruncate(handle, segment.size)
            except OSError:
                self.close()  # what comes next must not follow half a record
            raise
        segment.size = offset
        return segment, starts

    def _enter(self, key: _Key, segment: _Segment, start: int, length: int) -> None:
        segment.left += 1
        segment.live += _HEADER.size + length
        before = self._where.get(key)
        self._where[key] = (segment, start, length)
        if before is not None:
            self._release(before[0], before[2])

    def _release(self, segment: _Segment, length: int) -> None:
        """One record of it is not wanted any more."""
        segment.left -= 1
        segment.live -= _HEADER.size + length
        if not segment.left:
            self._retire(segment)

    def __contains__(self, key: _Key) -> bool:
        return key in self._where

    def size(self, key: _Key) -> int:
        """Bytes of one record; 0 when it is not kept."""
        found = self._where.get(key)
        return found[2] if found is not None else 0

    def drop(self, keys: Iterable[_Key]) -> int:
        """These are acknowledged, or no longer wanted; says how many bytes of them were kept."""
        total = 0
        for key in keys:
            found = self._where.pop(key, None)
            if found is None:
                continue
            total += found[2]
            self._release(found[0], found[2])
        for segment in [one for one in self._segments if _mostly_dead(one)]:
            self._renew(segment)
        return total

    def _renew(self, segment: _Segment) -> None:
        """Write what is wanted of it to another one. Whoever starts after a crash in between finds both."""
        if self._crowded:
            return
        mine = {key: place for key, place in self._where.items() if place[0] is segment}
        if self._segments[-1] is segment:
            self.close()
        try:
            bodies = _bodies(segment, mine)
            fresh, starts = self._append(list(bodies.values()))
        except OSError as error:
            log.warning("%s cannot be written anew: %s", segment.path, error)
            self._crowded = True  # until there is room for an outcome again
            return
        for (key, body), start in zip(bodies.items(), starts, strict=True):
            self._enter(key, fresh, start, len(body))
        for key in mine.keys() - bodies.keys():
            self.drop([key])

    def read(self, keys: Sequence[_Key]) -> list[Kept]:
        """Those of these that are kept, from the disk. What cannot be read any more is dropped."""
        found: list[Kept] = []
        with ExitStack() as opened:
            files: dict[Path, BinaryIO] = {}
            for key in keys:
                if key not in self._where:
                    continue
                segment, start, length = self._where[key]
                try:
                    if segment.path not in files:
                        files[segment.path] = opened.enter_context(segment.path.open("rb"))
                    found.append(_decoder.decode(_body(files[segment.path], start, length)))
                except (OSError, msgspec.DecodeError) as error:
                    log.warning("%s: cannot be read at byte %d: %s", segment.path, start, error)
                    self.drop([key])
        return found

    def close(self) -> None:
        """Let go of the file; what is kept stays."""
        if self._handle is not None:
            forget_number(self._handle)
            os.close(self._handle)
            self._handle = None

    def _begin(self) -> None:
        self.close()
        segment = _Segment(self._folder / f"{self._next:08d}.spool")
        self._next += 1
        self._handle = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        keep_number_from_forks(self._handle)
        self._segments.append(segment)

    def _retire(self, segment: _Segment) -> None:
        """A segment of which nothing is wanted: the current one starts anew, an older one goes."""
        if self._handle is not None and self._segments and segment is self._segments[-1]:
            os.ftruncate(self._handle, 0)
            segment.size = 0
            return
        if segment in self._segments:  # one that is being loaded is not among them yet
            self._segments.remove(segment)
            segment.path.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        data = path.read_bytes()
        segment = _Segment(path)
        self._next = max(self._next, int(path.stem) + 1) if path.stem.isdecimal() else self._next
        for outcome, start, length in _records(data, path):
            self._enter((outcome.task, outcome.attempt), segment, start, length)
        segment.size = len(data)
        if segment.left:
            self._segments.append(segment)
        else:
            path.unlink(missing_ok=True)


def _records(data: bytes, path: Path) -> Iterator[tuple[Kept, int, int]]:
    """What can be read; the rest of a segment after damage is not to be trusted."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + _HEADER.size + length]
        if length > MAX_RECORD or len(body) < length or zlib.crc32(body) != crc:
            log.warning("%s is damaged after byte %d; tasks whose outcomes are lost will run again", path, at)
            return
        try:
            outcome = _decoder.decode(body)
        except msgspec.DecodeError as error:
            log.warning("%s holds something else at byte %d: %s", path, at, error)
        else:
            yield outcome, at + _HEADER.size, length
        at += _HEADER.size + length


def _mostly_dead(segment: _Segment) -> bool:
    return segment.size - segment.live >= max(WORTH_BYTES, segment.live)


def _body(file: BinaryIO, start: int, length: int) -> bytes:
    """One record.

    Raises:
        OSError: it is not what was written there.
    """
    file.seek(start - _HEADER.size)
    record = file.read(_HEADER.size + length)
    body = record[_HEADER.size :]
    if record[: _HEADER.size] != _HEADER.pack(length, zlib.crc32(body)):
        raise OSError(errno.EIO, "it is damaged")
    return body


def _bodies(segment: _Segment, places: dict[_Key, _Place]) -> dict[_Key, bytes]:
    """Of these records, those that can be read."""
    found: dict[_Key, bytes] = {}
    with segment.path.open("rb") as file:
        for key, (_, start, length) in places.items():
            try:
                found[key] = _body(file, start, length)
            except OSError as error:
                log.warning("%s: cannot be read at byte %d: %s", segment.path, start, error)
    return found


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
