"""A backup as one file: a tar of the database, what belongs to it, and a manifest of what must be in it.

The manifest is the first member; it has a checksum of every other one. A value that the database keeps in a
file of its own is in its row here. Nothing is written where something is.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import apsw
import msgspec

from ..core.errors import Conflict, NotFound, StoreError, StoreFull, StoreTooNew, UsageError
from .database import APPLICATION_ID
from .files import PRIVATE_FILE
from .life import FIRST_SCHEMA

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE: Final = "tasks.db"
MAX_MANIFEST: Final = 1 << 20
MAX_FILES: Final = 16
MAX_EXTRA: Final = 1 << 20
"""Bytes of a file beside the database."""
_CHUNK: Final = 1 << 20
_DEPTH: Final = 2
_EPOCH: Final = "SELECT hex(id) FROM epoch ORDER BY number DESC LIMIT 1"


class Part(msgspec.Struct, frozen=True):
    """One file in a backup."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is."""

    format: int
    version: str
    """Of the program that made it; for people."""
    fleet: str
    schema: int
    epoch: str
    """Hexadecimal; the life of the data that it was made in."""
    made_at: float
    tasks: int
    open: int
    """Of these, those that had not ended."""
    unreadable: int
    """Values that were damaged when it was made, and are not in it."""
    files: dict[str, Part]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever makes a backup knows besides the database."""

    version: str
    fleet: str
    made_at: float


def inspect(database: Path) -> tuple[int, str, int, int, int]:
    """Look through a whole copy: schema, epoch, tasks, open ones, values that it should have and has not.

    Raises:
        StoreError: it is damaged, or no database of this program.
    """
    try:
        connection = apsw.Connection(os.fspath(database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            found = connection.execute("PRAGMA integrity_check(1)").get
            if found != "ok":
                raise StoreError(f"{database} is damaged ({' '.join(str(found).split())})")
            if connection.pragma("application_id") != APPLICATION_ID:
                raise StoreError(f"{database} is no database of Task Messenger")
            schema: int = connection.pragma("user_version")
            epoch = _get(connection, _EPOCH) if schema >= FIRST_SCHEMA else ""
            counts = [_get(connection, f"SELECT count(*) FROM {t}") for t in ("task", "open_task", "large")]  # noqa: S608 - names of ours
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"{database} is damaged ({error})") from error
    tasks, left, large = map(int, counts)
    return schema, str(epoch or ""), tasks, left, large


def _get(connection: apsw.Connection, sql: str) -> Any:
    return connection.execute(sql).get


def check_free(target: Path) -> None:
    """Go on only if nothing is there.

    Raises:
        Conflict: something is.
    """
    if target.exists():
        raise Conflict(f"{target} exists already: name another file")


def pack(database: Path, extra: Mapping[str, bytes], facts: Facts, target: Path) -> Manifest:
    """Put a complete copy, which nobody writes any more, and what belongs to it into the new file `target`.

    Raises:
        Conflict, StoreFull, StoreError: it cannot be made; nothing is left behind.
    """
    schema, epoch, tasks, left, unreadable = inspect(database)
    files = {DATABASE: Part(database.stat().st_size, digest(database))}
    files |= {name: Part(len(data), hashlib.sha256(data).hexdigest()) for name, data in extra.items()}
    manifest = Manifest(
        format=FORMAT, version=facts.version, fleet=facts.fleet, schema=schema, epoch=epoch,
        made_at=facts.made_at, tasks=tasks, open=left, unreadable=unreadable, files=files,
    )  # fmt: skip
    partial = target.with_name(f".{target.name}.partial")
    with _telling(target):
        try:
            partial.unlink(missing_ok=True)
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
            with os.fdopen(fd, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    _add(tar, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)), facts.made_at)
                    for name, data in extra.items():
                        _add(tar, name, data, facts.made_at)
                    with database.open("rb") as source:
                        tar.addfile(_entry(DATABASE, files[DATABASE].size, facts.made_at), source)
                file.flush()
                os.fsync(fd)
            _appear(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return manifest


def _appear(partial: Path, target: Path) -> None:
    """Give the file its name, in place of nothing."""
    try:
        os.link(partial, target)  # unlike a rename, it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as those of many removable disks
        if target.exists():
            raise FileExistsError(target) from None
        partial.rename(target)
    sync_directory(target.parent)


def read_manifest(source: Path) -> Manifest:
    """What the backup says of itself; nothing else of it is looked at.

    Raises:
        NotFound: there is no such file. UsageError: it is no backup, or is cut short.
    """
    with _opened(source) as tar:
        return _manifest(source, tar)


def unpack(source: Path, folder: Path, newest: int) -> Manifest:
    """Write the files of a backup into the empty `folder`, complete and checked; see also `inspect`.

    Raises:
        NotFound, UsageError: as `read_manifest`. StoreTooNew: it has a schema above `newest`.
        StoreFull, StoreError: the files cannot be written.
    """
    with _opened(source) as tar:
        manifest = _manifest(source, tar)
        if manifest.format > FORMAT or manifest.schema > newest:
            raise StoreTooNew(
                f"{source} was made by version {manifest.version} with schema {manifest.schema}, this program"
                f" knows {newest}: restore it with that version, or a newer one"
            )
        missing = set(manifest.files)
        while (entry := tar.next()) is not None:
            part = manifest.files.get(entry.name)
            if part is None or entry.name not in missing or not entry.isreg() or entry.size != part.size:
                raise _damaged(source, f"`{entry.name[:80]}` in it is not what its manifest says")
            content = tar.extractfile(entry)
            assert content is not None
            if _write(content, folder / entry.name, part.size) != part.sha256:
                raise _damaged(source, f"the checksum of `{entry.name}` is wrong")
            missing.discard(entry.name)
        if missing:
            raise _damaged(source, f"it ends before `{min(missing)}`")
    schema, epoch, *_ = inspect(folder / DATABASE)
    if (schema, epoch) != (manifest.schema, manifest.epoch):
        raise _damaged(source, "its database is not what its manifest says")
    return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Return when the names in it would survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(content: IO[bytes], path: Path, size: int) -> str:
    found = hashlib.sha256()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(fd, "wb") as file:
        while size > 0 and (chunk := content.read(min(size, _CHUNK))):
            found.update(chunk)
            file.write(chunk)
            size -= len(chunk)
        file.flush()
        os.fsync(fd)
    return found.hexdigest()


def _entry(name: str, size: int, made_at: float) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, PRIVATE_FILE, int(made_at)
    return entry


def _add(tar: tarfile.TarFile, name: str, data: bytes, made_at: float) -> None:
    tar.addfile(_entry(name, len(data), made_at), io.BytesIO(data))


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    """An archive to be read from its beginning; what is wrong with it, in words."""
    try:
        with tarfile.open(source, mode="r:") as tar:
            yield tar
    except FileNotFoundError as error:
        raise NotFound(f"there is no backup {source}") from error
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(source, f"{error}") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(
                f"no space left to unpack {source}: free some space; nothing was changed"
            ) from error
        raise UsageError(f"{source}: cannot be read ({error.strerror or error}): name a backup") from error


def _manifest(source: Path, tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST:
        raise UsageError(f"{source}: is no backup of Task Messenger")
    content = tar.extractfile(first)
    try:
        manifest = msgspec.json.decode(content.read() if content is not None else b"", type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(source, f"its manifest cannot be read: {error}") from error
    names = set(manifest.files)
    plain = all(_is_plain(name) for name in names)
    small = all(part.size <= MAX_EXTRA for name, part in manifest.files.items() if name != DATABASE)
    if DATABASE not in names or len(names) > MAX_FILES or not plain or not small:
        raise _damaged(source, "its manifest names files that no backup has")
    return manifest


def _is_plain(name: str) -> bool:
    """`NAME` or `FOLDER/NAME`, and nothing that leads elsewhere."""
    parts = name.split("/")
    return len(parts) <= _DEPTH and all(part not in {"", ".", ".."} and part.isprintable() for part in parts)


def _damaged(source: Path, why: str) -> UsageError:
    return UsageError(f"{source}: is damaged or no backup ({why}): use another backup; nothing was changed")


@contextmanager
def _telling(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise Conflict(f"{target} exists already: name another file") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StoreFull(f"no space left for {target}: free some space, or name another disk") from error
        raise StoreError(f"cannot write {target}: {error.strerror or error}; choose another place") from error
