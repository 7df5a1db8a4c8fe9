"""The demo's input: which files there are, and what is in them, a bounded piece at a time.

Knows files and their digests; knows nothing of tasks being run.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from ..config.model import MAX_PAYLOAD, MIB
from ..core.errors import UsageError
from ..core.text import printable

MAX_FILE: Final = MAX_PAYLOAD - 16
"""Bytes of the largest file that is hashed: with its msgpack header it has to fit into one payload."""
MAX_FILES: Final = 200_000
"""Their names are held in memory."""
BATCH_BYTES: Final = MIB
BATCH_FILES: Final = 64
"""A batch holds no more than this, unless a single file is larger."""
MAX_KEY: Final = 200
"""Characters of a path that serves as a key as it is."""
NOT_STANDARD: Final = frozenset({"site-packages", "dist-packages"})
"""Directories inside the standard library's that hold what was installed later."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was found."""

    name: str
    """Its path below the directory."""
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Found:
    """What is below a directory."""

    root: Path
    files: list[File]
    skipped: list[str]
    """`NAME: why`, safe to print."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files as tasks, in columns, and what could not be read after all."""

    names: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    """SHA-256 of the contents, by hashlib in this process."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of the contents."""
    skipped: list[str] = field(default_factory=list)


def find(directory: Path | None) -> Found:
    """All regular files below `directory`, in order; links are not followed. None: the standard library.

    Raises:
        UsageError: the directory cannot be read, or has no file, or too many.
    """
    root = directory or Path(sysconfig.get_paths()["stdlib"])
    shown = printable(str(root))
    try:
        os.scandir(root).close()
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read ({error.strerror}); give another --files") from error
    found = Found(root, [], [])
    left_out = NOT_STANDARD if directory is None else frozenset[str]()
    for path in _walk(root, left_out, found.skipped):
        _take(path, found)
        if len(found.files) > MAX_FILES:
            raise UsageError(f"{shown}: holds more than {MAX_FILES} files; give a smaller --files")
    if not found.files:
        raise UsageError(f"{shown}: there is no file that could be hashed; give another --files")
    return found


def _walk(root: Path, left_out: frozenset[str], skipped: list[str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        skipped.append(_why(Path(error.filename).relative_to(root).as_posix(), error))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(set(folders) - left_out)
        for name in sorted(names):
            yield Path(folder, name)


def _take(path: Path, found: Found) -> None:
    name = path.relative_to(found.root).as_posix()
    try:
        status = path.lstat()
    except OSError as error:
        found.skipped.append(_why(name, error))
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_size > MAX_FILE:
        found.skipped.append(_too_large(name))
        return
    found.files.append(File(name, path, status.st_size))


def batches(files: Sequence[File]) -> Iterator[list[File]]:
    """The files in groups that fit into memory, several times over."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (size + file.size > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def read(files: Sequence[File]) -> Batch:
    """Their contents, as payloads of the kind `hash`. Blocks while it reads."""
    batch = Batch()
    for file in files:
        try:
            with file.path.open("rb") as stream:
                data = stream.read(MAX_FILE + 1)
        except OSError as error:
            batch.skipped.append(_why(file.name, error))
            continue
        if len(data) > MAX_FILE:
            batch.skipped.append(_too_large(file.name))
            continue
        batch.names.append(file.name)
        batch.keys.append(key_of(file.name))
        batch.payloads.append(msgspec.msgpack.encode(data))
        batch.digests.append(hashlib.sha256(data).digest())
        batch.sizes.append(len(data))
    return batch


def key_of(name: str) -> str:
    """The idempotency key of a file: its path, or a digest of a path that is long or no text."""
    if name and len(name) <= MAX_KEY and name.isprintable():
        return name
    return f"sha256:{hashlib.sha256(os.fsencode(name)).hexdigest()}"


def _why(name: str, error: OSError) -> str:
    return f"{printable(name)}: {(error.strerror or str(error)).lower()}"


def _too_large(name: str) -> str:
    return f"{printable(name)}: larger than {MAX_PAYLOAD // MIB} MiB"
