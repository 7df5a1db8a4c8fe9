"""The database at every moment at which the machine may die: around every commit (F2), at every sync (F3).

The store works on a file layer that knows what was synced. At each moment an image of the disk is made as the
fault would leave it, and a new store is opened on the image: it must hold the state after some number of
commits exactly, large values included, and no commit that was acknowledged may be missing.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
from taskmessenger.core.commit import Commit
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.store.disk import Disk as SystemDisk

from tests.support.chaos import Run
from tests.support.stores import a_grant, a_store, attempt, reopened, settled, submitted

NAME = "power-loss"
SECTOR = 512
"""Bytes that a disk writes all or not at all."""
PAGES = 8
"""Of the log, after which it is copied into the database: often, so that this is interrupted too."""
VERDICT_SECONDS = 60.0
LARGE, LARGE_MANY = 40_000, 5
"""Bytes of a value that is kept in a file of its own kind, and how many of them make that worth it."""
STEP = "step"
"""The setting that says which commit was the last."""


class Disk(apsw.VFS):
    """Remembers of each file what would be there after a power cut, and what was written since."""

    def __init__(self) -> None:
        self.durable: dict[str, bytearray] = {}
        self.pending: dict[str, list[tuple[int, bytes | None]]] = {}
        """Writes in order: where and what; None for a truncation."""
        self.unnamed: set[str] = set()
        """Files whose names a power cut could take away."""
        self.before_sync: Any = None
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.durable.pop(Path(filename).name, None)
        self.pending.pop(Path(filename).name, None)

    def cut(self) -> None:
        """Something is about to be synced."""
        if self.before_sync is not None:
            self.before_sync()

    def synced(self, name: str) -> None:
        """What was written to this file stays."""
        for offset, data in self.pending[name]:
            if data is None:
                del self.durable[name][offset:]
            else:
                _put(self.durable[name], offset, data)
        self.pending[name] = []

    def image(self, rng: random.Random | None, share: float) -> dict[str, bytes]:
        """The files with this share of the sectors that were written and not synced."""
        found = {}
        for name, durable in self.durable.items():
            if name in self.unnamed and (rng is None or rng.random() >= share) and share < 1.0:
                continue
            content = bytearray(durable)
            for offset, data in self.pending[name]:
                if data is None:
                    if rng is None or rng.random() < share:
                        del content[offset:]
                    continue
                for start in range(0, len(data), SECTOR):
                    if share == 1.0 or (rng is not None and rng.random() < share):
                        _put(content, offset + start, data[start : start + SECTOR])
            found[name] = bytes(content)
        return found


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = Path((name.filename() if isinstance(name, apsw.URIFilename) else name) or "")
        self._disk, self._name = disk, path.name
        if self._name not in disk.durable:
            disk.durable[self._name] = bytearray(path.read_bytes() if path.exists() else b"")
            disk.pending[self._name] = []

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._disk.pending[self._name].append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._disk.pending[self._name].append((size, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.cut()
        super().xSync(flags)
        self._disk.synced(self._name)


class Segments(SystemDisk):
    """The same for the files of large values. A name may be lost until its directory is synced."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        fd = super().create(path)
        name = self._names[fd] = f"{path.parent.name}/{path.name}"
        self._disk.durable[name], self._disk.pending[name] = bytearray(), []
        self._disk.unnamed.add(name)
        return fd

    def write(self, fd: int, data: Sequence[bytes | memoryview], start: int) -> int:
        written = super().write(fd, data, start)
        self._disk.pending[self._names[fd]].append((start, b"".join(bytes(d) for d in data)[:written]))
        return written

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self._disk.pending[self._names[fd]].append((size, None))

    def sync(self, fd: int) -> None:
        self._disk.cut()
        super().sync(fd)
        self._disk.synced(self._names[fd])

    def sync_directory(self, path: Path) -> None:
        self._disk.cut()
        super().sync_directory(path)
        self._disk.unnamed = {n for n in self._disk.unnamed if not n.startswith(f"{path.name}/")}

    def remove(self, path: Path) -> None:
        super().remove(path)
        name = f"{path.parent.name}/{path.name}"
        for known in (self._disk.durable, self._disk.pending):
            known.pop(name, None)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Script:
    """Commits that a pool might make, and what a store holds after each of them."""

    def __init__(self, rng: random.Random, large: float) -> None:
        self.rng, self.large, self.next, self.seq = rng, large, 1, 0
        self.sizes: dict[int, int] = {}
        self.open: dict[int, tuple[int, int, int]] = {}
        self.ended: dict[int, tuple[int, int, bytes | None]] = {}
        self.grants: set[int] = set()
        self.states: list[tuple[Any, ...]] = [self._state()]

    def payload(self, task: int) -> bytes:
        """What this task was submitted with."""
        return random.Random(task).randbytes(self.sizes[task])

    def _state(self) -> tuple[Any, ...]:
        return dict(self.open), dict(self.ended), set(self.grants)

    def commit(self) -> Commit:
        """The next one, with its number among the settings."""
        rng, made = self.rng, Commit(settings={STEP: str(len(self.states))})
        large = rng.random() < self.large
        for _ in range(LARGE_MANY if large else rng.randint(0, 4)):
            self.sizes[self.next] = LARGE if large else rng.choice([9, 900])
            made.submitted.append(submitted(self.next, key=f"k{self.next}", payload=self.payload(self.next)))
            self.open[self.next] = (0, 0, 0)
            self.next += 1
        large = rng.random() < self.large
        ends = LARGE_MANY if large else rng.randint(0, 3)
        for task in rng.sample(sorted(self.open), min(len(self.open), ends)):
            number, spent, crashes = self.open[task]
            number += 1
            if not large and rng.random() < 0.4:
                self.open[task] = number, spent + 1, crashes
                made.reopened.append(reopened(task, number, spent=spent + 1, crashes=crashes))
                made.attempts.append(attempt(task, number))
            else:
                del self.open[task]
                state = TaskState.SUCCEEDED if large else rng.choice([TaskState.FAILED, TaskState.CANCELLED])
                result = random.Random(-task).randbytes(LARGE) if large else None
                self.ended[task] = state.value, number, result
                made.settled.append(settled(task, state, attempt=number, result=result))
        if self.open:
            self.seq += 1
            self.grants.add(self.seq)
            made.granted.append(a_grant(self.seq, (rng.choice(sorted(self.open)), 1)))
        if len(self.grants) > 3:
            self.grants.discard(gone := min(self.grants))
            made.grants_ended.append(gone)
        self.states.append(self._state())
        return made


async def power_loss(run: Run) -> None:
    """At every sync: nothing, some and all of what was not synced has reached the disk."""
    variants = [(None, 0.0), (run.rng, 0.5), (run.rng, 0.9)]
    with registered() as disk:
        play = _Play(run, disk)

        def cut() -> None:
            for number, (rng, share) in enumerate(variants):
                play.look(disk.image(rng, share), f"sync {play.cuts}, variant {number}")

        disk.before_sync = lambda: play.armed and cut()
        await play.all({})
    run.figures |= {"cuts": play.cuts, "images_opened": play.images, "acknowledged_lost": 0}


async def killed_at_commits(run: Run) -> None:
    """Before and after every COMMIT of a script the process dies; what it wrote stays."""
    with registered() as disk:
        play = _Play(run, disk)

        def die(number: int) -> None:
            if play.armed:
                play.look(disk.image(None, 1.0), f"commit {number}")

        await play.all({"before_commit": die, "after_commit": die})
    run.figures |= {"commit_points": play.images, "acknowledged_lost": 0}


class _Play:
    """Runs the script, and opens images of the disk while it does."""

    def __init__(self, run: Run, disk: Disk) -> None:
        self.run, self.disk = run, disk
        self.script = Script(run.rng, run.size["large"])
        self.told = self.cuts = self.images = 0
        self.armed = False
        self._loop = asyncio.get_running_loop()
        self.failure: BaseException | None = None

    async def all(self, hooks: dict[str, Any]) -> None:
        with patch("taskmessenger.store.writer.CHECKPOINT_PAGES", PAGES):
            store = a_store(self.run.folder / "live", vfs=NAME, **hooks)
            store._access.segments.disk = Segments(self.disk)
            await store.open()
            self.armed = True
            for step in range(1, self.run.size["steps"] + 1):
                await store.commit(self.script.commit())
                self.told = step
                if self.failure is not None:
                    break
            self.armed = False
            await store.close()
        if self.failure is not None:
            raise self.failure
        self.run.must(self.images > self.run.size["steps"], "the file layer was not asked")
        large = sum(size == LARGE for size in self.script.sizes.values())
        self.run.must(
            large > 0 and any("/" in name for name in self.disk.durable), "no large value was stored"
        )
        self.run.figures |= {"steps": self.run.size["steps"], "large_payloads": large}

    def look(self, image: dict[str, bytes], what: str) -> None:
        """Called on the store's thread, which waits for the verdict; a bad one is raised by `all`."""
        if self.failure is None:
            verdict = asyncio.run_coroutine_threadsafe(self._verify(image, what), self._loop)
            self.failure = verdict.exception(VERDICT_SECONDS)

    async def _verify(self, image: dict[str, bytes], what: str) -> None:
        self.cuts += what.endswith("variant 0")
        self.images += 1
        with image_files(self.run.folder / "image", image) as folder:
            connection = apsw.Connection(str(folder / "tasks.db"))
            whole = connection.pragma("integrity_check")
            grants = (
                {seq for (seq,) in connection.execute("SELECT seq FROM lease_grant")}
                if whole == "ok"
                else set()
            )
            connection.close()
            self.run.must(whole == "ok", f"{what}: the database is damaged: {whole}")
            await self._compare(folder, what, grants)

    async def _compare(self, folder: Path, what: str, leases: set[int]) -> None:
        store = a_store(folder)
        found = await store.open()
        step = int(found.settings.get(STEP, "0"))
        self.run.must(step >= self.told, f"{what}: commit {self.told} was acknowledged, the disk has {step}")
        opened, ended, grants = self.script.states[step]
        self.run.must(
            {row[0]: tuple(row[13:16]) for row in found.tasks} == opened, f"{what}: other open tasks"
        )
        self.run.must(leases == grants, f"{what}: other leases")
        outcomes = await store.outcomes(range(1, self.script.next))
        there = {one.id: (one.state, one.attempt, one.result) for one in outcomes}
        self.run.must(there == ended, f"{what}: other outcomes")
        payloads = await store.payloads(sorted(opened))
        self.run.must(payloads == {i: self.script.payload(i) for i in opened}, f"{what}: other payloads")
        await store.close()


@contextmanager
def image_files(folder: Path, image: dict[str, bytes]) -> Iterator[Path]:
    """An image as files, for the block."""
    folder.mkdir(mode=0o700)
    try:
        for name, content in image.items():
            (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
            (folder / name).write_bytes(content)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def registered() -> Iterator[Disk]:
    """A disk that SQLite knows by `NAME`, for the block."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.before_sync = None
        disk.unregister()
