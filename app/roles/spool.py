"""Outcomes that the manager has not acknowledged, on the worker's disk: they survive the worker.

Append-only segments of records (length, CRC-32, msgpack); a segment goes when all of it is acknowledged.
Written before an outcome is sent, without fsync: a process that dies loses nothing, and after a power cut the
task simply runs again. What is damaged is dropped for the same reason.
"""

from __future__ import annotations

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

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""When a segment is this long the next one begins."""
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


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Kept)


class _Segment:
    __slots__ = ("left", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.left = path, 0, 0


class Spool:
    """Owns a directory. One process at a time."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open it and find what is in it.

        Raises:
            ConfigError: it cannot be read or written.
        """
        self._folder, self._max = folder, max_bytes
        self._where: dict[tuple[int, int], tuple[_Segment, int, int]] = {}
        self._segments: list[_Segment] = []
        self._handle: int | None = None
        self._next = 1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        """Whether no more work should be taken."""
        return sum(segment.size for segment in self._segments) >= self._max

    @property
    def keys(self) -> list[tuple[int, int]]:
        """Task and attempt of everything kept."""
        return list(self._where)

    def add(self, outcomes: Iterable[Kept]) -> int:
        """Keep these, with one write; says how many bytes that were.

        Raises:
            OSError: the disk is full or fails; they are not kept.
        """
        records: list[bytes] = []
        places: list[tuple[Kept, int, int]] = []
        if self._handle is None or self._segments[-1].size >= SEGMENT_BYTES:
            self._begin()
        segment, handle = self._segments[-1], self._handle
        assert handle is not None
        offset = segment.size
        for outcome in outcomes:
            body = _encode(outcome)
            records += (_HEADER.pack(len(body), zlib.crc32(body)), body)
            places.append((outcome, offset + _HEADER.size, len(body)))
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
        total = 0
        for outcome, start, length in places:
            segment.left += 1
            total += length
            self._where[outcome.task, outcome.attempt] = (segment, start, length)
        return total

    def __contains__(self, key: tuple[int, int]) -> bool:
        return key in self._where

    def size(self, key: tuple[int, int]) -> int:
        """Bytes of one record; 0 when it is not kept."""
        found = self._where.get(key)
        return found[2] if found is not None else 0

    def drop(self, keys: Iterable[tuple[int, int]]) -> int:
        """These are acknowledged, or no longer wanted; says how many bytes of them were kept."""
        total = 0
        for key in keys:
            found = self._where.pop(key, None)
            if found is None:
                continue
            segment = found[0]
            total += found[2]
            segment.left -= 1
            if not segment.left:
                self._retire(segment)
        return total

    def read(self, keys: Sequence[tuple[int, int]]) -> list[Kept]:
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
                    files[segment.path].seek(start)
                    found.append(_decoder.decode(files[segment.path].read(length)))
                except (OSError, msgspec.DecodeError) as error:
                    log.warning("%s: cannot be read at byte %d: %s", segment.path, start, error)
                    self.drop([key])
        return found

    def close(self) -> None:
        """Let go of the file; what is kept stays."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _begin(self) -> None:
        self.close()
        segment = _Segment(self._folder / f"{self._next:08d}.spool")
        self._next += 1
        self._handle = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._segments.append(segment)

    def _retire(self, segment: _Segment) -> None:
        """A segment of which nothing is wanted: the current one starts anew, an older one goes."""
        if self._handle is not None and segment is self._segments[-1]:
            os.ftruncate(self._handle, 0)
            segment.size = 0
            return
        self._segments.remove(segment)
        segment.path.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        data = path.read_bytes()
        segment = _Segment(path)
        self._next = max(self._next, int(path.stem) + 1) if path.stem.isdecimal() else self._next
        for outcome, start, length in _records(data, path):
            segment.left += 1
            self._where[outcome.task, outcome.attempt] = (segment, start, length)
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


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
