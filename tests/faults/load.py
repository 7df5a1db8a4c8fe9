"""Too much of everything: more tasks than a fleet can do (F46), all failing (F48), all cancelled (F49)."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import anyio
import psutil
from taskmessenger.core.errors import Overloaded
from taskmessenger.core.lifecycle import TaskState

from tests.support.chaos import Client, Run, by_number, marks, once_each, pack, percentile, town, until

MIB = 1 << 20
CANCEL_PART = 10_000
RSS_GROWTH_MIB = 64
SHORT = {"ttl": 10.0, "heartbeat": 0.5, "dead_after": 5.0}
"""Leases that the overload outlasts: one that it delays all the time is one that is lost."""


# ---- F46 ------------------------------------------------------------------------------------------------


async def overload(run: Run) -> None:
    """Several submitters hand in tasks as fast as they can, far beyond what the fleet does."""
    bound = run.size["max_pending"]
    async with town(run) as place:
        place.configure(leases=SHORT, tasks={"max_pending": bound})
        manager = await place.manager()
        await place.worker("w0")
        async with place.client() as client:
            await client.all(await client.marks(0, 200, 0.005))
            usage = psutil.Process(manager.pid)
            before = usage.memory_info().rss
            sizes = [before]
            tally: Counter[str] = Counter()
            with anyio.move_on_after(run.size["seconds"]):
                async with anyio.create_task_group() as group:
                    for place_ in range(4):
                        group.start_soon(_flood, client, 1_000_000 * (place_ + 1), tally)
                    while True:
                        sizes.append(usage.memory_info().rss)
                        await anyio.sleep(0.1)
            start = time.monotonic()
            await until(lambda: _taken(client), "a task is accepted again", 120)
            recovered = time.monotonic() - start
            await client.all()
            endings = await client.endings()
            status = await client.all_well()
        run.must(tally["refused"] > 0, "nothing was refused, so there was no overload")
        run.must(set(endings) <= {"released"}, f"attempts ended as {endings}: a lease was lost to load")
        run.figures |= {
            "submitted": tally["submitted"], "refused": tally["refused"], "accepted": status.accepted,
            "times_capacity": round(tally["submitted"] / max(1, status.accepted - 200), 1),
        }  # fmt: skip
        growth = (max(sizes) - before) / MIB
        run.figures["rss_growth_mib"] = f"{growth:.3g} (at most {RSS_GROWTH_MIB})"
        run.must(growth <= RSS_GROWTH_MIB, f"the manager grew by {growth:.0f} MiB")
        run.within("recovered_s", recovered, 30)
        await place.audit(manager)


async def _flood(client: Client, first: int, tally: Counter[str]) -> None:
    while True:
        tally["submitted"] += 100
        try:
            await client.marks(first, 100, 0.005)
        except Overloaded:
            tally["refused"] += 100
            await anyio.sleep(0.005)
        first += 100


async def _taken(client: Client) -> bool:
    number = 900_000_000 + int(time.monotonic() * 1000)
    try:
        await client.marks(number, 1, 0.0)
    except Overloaded:
        return False
    return True


# ---- F48 ------------------------------------------------------------------------------------------------


async def retry_storm(run: Run) -> None:
    """All tasks fail at once, again and again: the waits before the next attempts spread them."""
    tasks, attempts, jitter, first = run.size["tasks"], 3, 0.5, 1.0
    backoff = {"first": first, "factor": 1.0, "ceiling": first, "jitter": jitter}
    async with town(run) as place:
        place.configure(tasks={"backoff": backoff})
        manager = await place.manager()
        await place.workers(["w0", "w1"], 32)
        async with place.client() as client:
            await client.all(await client.marks(0, tasks, 0.0, "raise", max_attempts=attempts))
            ended = Counter((one.state, one.attempt) for one in client.outcomes.values())
            run.must(ended == {(TaskState.FAILED, attempts): tasks}, f"the tasks ended as {ended}")
        began = marks(place.marks)
        once_each(run, began)
        waits = [
            later.moment - earlier.moment
            for each in by_number(began).values()
            for earlier, later in pairwise(each)
        ]
        seconds = sorted(mark.moment for mark in began if mark.attempt == 2)
        slots = Counter(int((moment - seconds[0]) / 0.1) for moment in seconds)
        run.must(
            min(waits) >= first * (1 - jitter) - 0.01, f"an attempt came {min(waits):.3f} s after the last"
        )
        spread = percentile(waits, 95) - percentile(waits, 5)
        run.must(spread >= first * jitter, f"the waits lie within {spread:.2f} s of each other")
        run.figures |= {
            "tasks": tasks, "executions": len(began), "wait_min_s": round(min(waits), 2),
            "wait_p50_s": round(percentile(waits, 50), 2), "wait_p99_s": round(percentile(waits, 99), 2),
            "most_second_attempts_in_100_ms": max(slots.values()),
        }  # fmt: skip
        await place.audit(manager)


# ---- F49 ------------------------------------------------------------------------------------------------


async def cancel_storm(run: Run) -> None:
    """Everything is cancelled while it waits and runs."""
    tasks = run.size["tasks"]
    async with town(run) as place:
        place.configure()
        manager = await place.manager()
        await place.workers(["w0", "w1"])
        async with place.client() as client:
            ids = [i for n in range(0, tasks, 1_000) for i in await client.submit(
                "mark", *([number, 0.02, ""] for number in range(n, n + 1_000)))]  # fmt: skip
            await until(lambda: len(client.outcomes) > 100, "some have ended")
            start = time.monotonic()
            cancelled: list[int] = []
            for part in range(0, tasks, CANCEL_PART):
                cancelled += await client.remote.command("cancel", ids=ids[part : part + CANCEL_PART])
            acknowledged = time.monotonic()
            await client.all(ids)
            await client.all(await client.marks(10_000_000, 50, 0.0))
            status = await client.remote.status()
        began = marks(place.marks)
        after = [
            mark.moment - acknowledged for mark in began if mark.moment > acknowledged and mark.number < tasks
        ]
        states = Counter(client.outcomes[i].state for i in ids)
        wrong = [i for i in cancelled if client.outcomes[i].state != TaskState.CANCELLED]
        run.must(not wrong, f"{len(wrong)} tasks were cancelled and ended otherwise")
        run.must(set(states) <= {TaskState.CANCELLED, TaskState.SUCCEEDED}, f"the tasks ended as {states}")
        run.must(
            states[TaskState.SUCCEEDED] + len(cancelled) == tasks, f"{states}, {len(cancelled)} cancelled"
        )
        run.must(all(client.outcomes[i].result == pack(n) for n, i in enumerate(ids)
                     if client.outcomes[i].state == TaskState.SUCCEEDED), "a wrong result")  # fmt: skip
        run.figures |= {
            "tasks": tasks, "cancelled": len(cancelled), "succeeded_before": states[TaskState.SUCCEEDED],
            "began_after_acknowledgement": len(after), "late": status.late,
        }  # fmt: skip
        run.within("last_began_after_s", max(after, default=0.0), 2 * 0.25)
        run.within("acknowledged_s", acknowledged - start, max(2.0, 10 * tasks / 100_000))
        once_each(run, began)
        await place.audit(manager)
