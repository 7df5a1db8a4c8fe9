"""Disks that break when a test says so, and disks that know what would be left of them after a power cut."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw
from taskmessenger.store.disk import Disk


class BreakableDisk(Disk):
    """The system's own, until `breaks` answers a call with an error number."""

    def __init__(self) -> None:
        self.breaks: Callable[[str], int] = lambda _call: 0
        self.short = 0
        """Bytes that a write takes at most; 0 for all."""

    def _check(self, call: str) -> None:
        if number := self.breaks(call):
            raise OSError(number, os.strerror(number))

    def make_directory(self, path: Path) -> None:
        self._check("make_directory")
        super().make_directory(path)

    def create(self, path: Path) -> int:
        self._check("create")
        return super().create(path)

    def write(self, fd: int, data: Sequence[bytes | memoryview], start: int) -> int:
        self._check("write")
        if self.short:
            data = [b"".join(data)[: self.short]]
        return super().write(fd, data, start)

    def sync(self, fd: int) -> None:
        self._check("sync")
        super().sync(fd)

    def sync_directory(self, path: Path) -> None:
        self._check("sync_directory")
        super().sync_directory(path)

    def truncate(self, fd: int, size: int) -> None:
        self._check("truncate")
        super().truncate(fd, size)

    def remove(self, path: Path) -> None:
        self._check("remove")
        super().remove(path)


@dataclass
class Image:
    """The files that a power cut at one moment leaves, by path: what is certain, and what may be."""

    certain: dict[str, bytes] = field(default_factory=dict)
    possible: dict[str, bytes] = field(default_factory=dict)


class PowerDisk(Disk):
    """The system's own; after and before each change it tells `cut`.

    What is cut away or removed is gone at once; what is made or written is there when it was synced.
    """

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._lock = threading.Lock()
        self._paths: dict[int, Path] = {}
        self._synced: dict[Path, bytes] = {}
        """What is certain to be in a file, if the file itself is."""
        self._named: set[Path] = set()
        """Those whose names are certain."""

    def image(self) -> Image:
        """What a power cut leaves now. Of what was never synced, the size may be there, but no bytes."""
        with self._lock:
            possible = {}
            for path, synced in self._synced.items():
                size = path.stat().st_size if path.exists() else len(synced)
                possible[path.name] = synced.ljust(size, b"\0")
            certain = {path.name: self._synced[path] for path in self._named if path in self._synced}
            return Image(certain, possible)

    def create(self, path: Path) -> int:
        self._cut()
        fd = super().create(path)
        with self._lock:
            self._paths[fd] = path
            self._synced[path] = b""
        self._cut()
        return fd

    def write(self, fd: int, data: Sequence[bytes | memoryview], start: int) -> int:
        written = super().write(fd, data, start)
        self._cut()
        return written

    def sync(self, fd: int) -> None:
        super().sync(fd)
        path = self._paths[fd]
        with self._lock:
            self._synced[path] = path.read_bytes()
        self._cut()

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        with self._lock:
            self._named |= {p for p in self._synced if p.parent == path}
        self._cut()

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        path = self._paths[fd]
        with self._lock:
            self._synced[path] = self._synced[path][:size]
        self._cut()

    def remove(self, path: Path) -> None:
        self._cut()
        with self._lock:
            self._synced.pop(path, None)
            self._named.discard(path)
        super().remove(path)
        self._cut()


class PowerVfs(apsw.VFS):
    """SQLite's files the same way: certain is what they held at their last sync."""

    def __init__(self, name: str, cut: Callable[[], None]) -> None:
        self.cut = cut
        self.synced: dict[Path, bytes] = {}
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _PowerFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.synced.pop(Path(filename), None)
        self.cut()

    def image(self) -> Image:
        """What a power cut leaves now."""
        certain = {path.name: data for path, data in self.synced.items()}
        return Image(certain, {path.name: path.read_bytes() for path in self.synced if path.exists()})


class _PowerFile(apsw.VFSFile):
    def __init__(self, vfs: PowerVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs
        self._path = Path((name.filename() if isinstance(name, apsw.URIFilename) else name) or "")

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._vfs.cut()
        super().xSync(flags)
        self._vfs.synced[self._path] = self._path.read_bytes()
        self._vfs.cut()
