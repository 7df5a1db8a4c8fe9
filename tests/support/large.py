"""Large values for tests, the files that hold them, and a disk that waits in the middle of reading one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from taskmessenger.store.disk import Disk
from taskmessenger.store.sqlite import SqliteStore

from tests.support.stores import a_store

MIB = 1 << 20
_WHOLE = os.urandom(MIB)


def big(number: int, size: int = MIB) -> bytes:
    """A value that no other number has."""
    return number.to_bytes(8, "big") + _WHOLE[: size - 8]


def segments(folder: Path) -> dict[str, int]:
    """The files of large values, and their sizes."""
    found = folder / "tasks.db.values"
    return {path.name: path.stat().st_size for path in sorted(found.iterdir())} if found.exists() else {}


async def started_again(store: SqliteStore, folder: Path) -> SqliteStore:
    """The store of the next process."""
    await store.close()
    again = a_store(folder)
    await again.open()
    return again


class Gate:
    """Holds a thread until it is opened."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def open(self) -> None:
        os.close(self._write)

    def wait(self) -> None:
        os.read(self._read, 1)
        os.close(self._read)


class SlowDisk(Disk):
    """Says that a value is being read, and goes on when the gate is opened."""

    def __init__(self, began: Callable[[], object], gate: Gate) -> None:
        self._began, self._gate = began, gate

    def read(self, path: Path, size: int, start: int) -> bytes:
        self._began()
        self._gate.wait()
        return super().read(path, size, start)
