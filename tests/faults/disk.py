"""A disk without space under a manager (F7), and two managers on one database (F11)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from taskmessenger.core.errors import StoreFull
from taskmessenger.core.lifecycle import TaskState

from tests.support.chaos import Client, Missed, Run, Skipped, in_thread, marks, once_each, town, until

MIB = 1 << 20
RESULT = 65_536
RESUME_GOAL = 10.0


# ---- F7 -------------------------------------------------------------------------------------------------


async def full_disk(run: Run) -> None:
    """Results fill the manager's disk while tasks run; later there is space again."""
    disk, free = run.size["disk_mib"] * MIB, run.size["free_mib"] * MIB
    tasks = (free + 8 * MIB) // RESULT * 2
    async with town(run) as place:
        with _small_disk(place.fleet.home, disk):
            try:
                place.configure(store={"ballast": 2 * MIB, "low_water_mb": 4})
                manager = await place.manager()
                await place.worker("w0")
                async with place.client() as client:
                    filler = _fill(place.fleet.home, free)
                    ids = await _results(client, tasks)
                    run.figures["refused_first_after_s"] = round(await _refused(client), 2)
                    await until(lambda: _degraded(client), "the disk is full", 120)
                    run.must(len(client.outcomes) < tasks, "all results fitted, so the disk was not full")
                    ended = len(client.outcomes)
                    await anyio.sleep(run.size["full_s"])
                    run.must(manager.running, "the manager has ended")
                    start = time.monotonic()
                    filler.unlink()
                    ids += await _accepted_again(client)
                    resumed = time.monotonic() - start
                    await client.all([*ids, *client.ids])
                    await client.all_well()
                run.figures |= {"ended_when_full": ended, "accepted": len(ids) + len(client.ids)}
                wrong = [
                    i for i in ids
                    if client.outcomes[i].state != TaskState.SUCCEEDED
                    or len(client.outcomes[i].result or b"") < RESULT
                ]  # fmt: skip
                run.must(not wrong, f"{len(wrong)} acknowledged tasks have no result: {wrong[:5]}")
                executions = once_each(run, marks(place.marks))
                run.figures["executions"] = executions.total()
                run.must("Logging error" not in manager.said(), "the log complained of itself")
                run.must("Traceback" not in manager.said(), "a traceback was written")
                run.within("resumed_s", resumed, RESUME_GOAL)
                await place.audit(manager)
            finally:
                place.fleet.end()


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", os.fspath(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        raise Skipped("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True)


def _fill(folder: Path, free: int) -> Path:
    """Leave only so many bytes free."""
    found = os.statvfs(folder)
    path = folder / "filler"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - free)
    return path


async def _results(client: Client, tasks: int) -> list[int]:
    ids: list[int] = []
    for first in range(0, tasks, 100):
        numbers = range(first, min(first + 100, tasks))
        ids += await client.submit("mark", *([n, 0.002, str(RESULT)] for n in numbers))
    return ids


async def _refused(client: Client) -> float:
    """Until submissions are refused for want of space; seconds."""
    extra = 1_000_000

    async def try_one() -> bool:
        nonlocal extra
        extra += 1
        try:
            task = await client.submit("mark", [extra, 0, ""])
        except StoreFull:
            return True
        client.ids[task[0]] = extra
        return False

    return await until(try_one, "a submission is refused", 120)


async def _degraded(client: Client) -> bool:
    return bool((await client.remote.status()).degraded)


async def _accepted_again(client: Client) -> list[int]:
    """The task that is accepted first when there is space again."""
    for _ in range(600):
        try:
            return await client.submit("mark", [2_000_000, 0, str(RESULT)])
        except StoreFull:
            await anyio.sleep(0.1)
    raise Missed("submissions are still refused a minute after space came back")


# ---- F11 ------------------------------------------------------------------------------------------------


async def second_manager(run: Run) -> None:
    """A second manager is started on the database of one that runs."""
    async with town(run) as place:
        place.configure()
        first = await place.manager()
        words = ("--role", "manager", "--no-ui", "--listen", "tcp://127.0.0.1:0")
        times = []
        for _ in range(run.size["times"]):
            start = time.monotonic()
            done = await in_thread(place.fleet.run, *words)
            times.append(time.monotonic() - start)
            run.must(done.returncode == 7, f"the second manager ended with {done.returncode}: {done.stderr}")
            run.must(str(first.pid) in done.stderr, f"it does not say who has it: {done.stderr}")
        run.must(first.running and await in_thread(place.fleet.answers), "the first manager was disturbed")
        run.figures["refused"] = len(times)
        run.within("refused_max_s", max(times), 1.0)
        await place.audit(first)
