"""A queue far longer than what a manager keeps in memory (F47), over kill -9."""

from __future__ import annotations

import time
from typing import Final

import psutil
from taskmessenger.handle import Group
from taskmessenger.remote import Remote

from tests.support.chaos import Run, in_thread, marks, once_each, pack, percentile, town, until
from tests.support.processes import Process

MIB: Final = 1 << 20
GROWTH_MIB: Final = 300
"""What a manager may take beside its start, however long the queue is."""
GROUP: Final = 1_000
SINGLES: Final = 100
URGENT: Final = 50
READY_GOAL: Final = 15.0
DONE: Final = 200
IN_FLIGHT: Final = 64
"""Tasks that a worker of four slots may have beyond those that it has done."""


async def long_queue(run: Run) -> None:
    """Nobody works on it; the manager is killed; then a worker comes, and urgent tasks overtake the queue."""
    tasks = run.size["tasks"]
    async with town(run) as place:
        place.configure(tasks={"max_pending": tasks + 10 * GROUP})
        manager = await place.manager()
        empty = _rss(manager)
        async with place.client() as client:
            before = await _singles(client.remote, tasks)
            for first in range(0, tasks, GROUP):
                payloads = [pack([n, 0.0, ""]) for n in range(first, min(first + GROUP, tasks))]
                await client.remote.submit([Group("mark", payloads)])
            after = await _singles(client.remote, tasks + SINGLES)
            full = _rss(manager)
            await in_thread(manager.kill)
            start = time.monotonic()
            manager = await place.manager()
            ready = time.monotonic() - start
            again = _rss(manager)
            status = await client.remote.status()
            queued = tasks + 2 * SINGLES
            run.must(status.totals["queued"] == queued, f"of {queued} tasks the new manager knows {status}")
            await place.worker("w0")
            await client.all(await client.marks(2 * tasks, URGENT, 0.0, priority=50))
            await until(lambda: len(marks(place.marks)) >= DONE + URGENT, "the queue is worked on", 120)
            began = marks(place.marks)
            status = await client.remote.status()
        usual = [mark.number for mark in began if mark.number < tasks]
        run.must(max(usual) < len(usual) + IN_FLIGHT, f"G10: of the oldest tasks began {sorted(usual)}")
        once_each(run, began)
        run.must(sum(status.totals.values()) == status.accepted, f"the totals do not add up: {status}")
        for name, rss in (("full", full), ("restarted", again)):
            growth = (rss - empty) / MIB
            run.figures[f"{name}_growth_mib"] = f"{growth:.0f} (at most {GROWTH_MIB})"
            run.must(growth <= GROWTH_MIB, f"the {name} manager has grown by {growth:.0f} MiB")
        run.must(again <= full, f"a restart takes {again / MIB:.0f} MiB, before it were {full / MIB:.0f}")
        run.figures |= {
            "tasks": tasks,
            "submit_p99_ms_empty": round(before * 1e3, 1), "submit_p99_ms_full": round(after * 1e3, 1),
        }  # fmt: skip
        run.within("ready_s", ready, READY_GOAL)
        await place.audit(manager)


async def _singles(remote: Remote, first: int) -> float:
    """Tasks that are handed in one by one, last in the queue; p99 of the time that takes, in seconds."""
    seconds = []
    for number in range(first, first + SINGLES):
        start = time.monotonic()
        await remote.submit([Group("mark", [pack([number, 0.0, ""])], priority=-1)])
        seconds.append(time.monotonic() - start)
    return percentile(seconds, 99)


def _rss(process: Process) -> int:
    return psutil.Process(process.pid).memory_info().rss
