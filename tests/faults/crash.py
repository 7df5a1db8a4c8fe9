"""Processes that die: the manager (F1), workers (F4), processes of tasks (F5), and tasks that kill (F6)."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import anyio
import psutil
from taskmessenger.core.lifecycle import TaskState

from tests.support.chaos import (
    QUICK,
    Client,
    Run,
    Town,
    by_number,
    in_thread,
    marks,
    once_each,
    percentile,
    town,
    until,
)
from tests.support.processes import Process

READY_GOAL = 5.0
SLOTS = 4
"""Of each worker that is killed."""
SAMPLES = Path(__file__).parents[1] / "support" / "kinds"
MOST_OUTPUT = 64 * 1024
"""Characters of a task's output that are kept, however much it says."""
QUICK_RETRY = {"first": 0.05, "factor": 1.0, "ceiling": 0.05, "jitter": 0.0}


# ---- F1 -------------------------------------------------------------------------------------------------


async def killed_managers(run: Run) -> None:
    """kill -9 of the manager at random moments, some of them while it starts."""
    kills, tasks = run.size["kills"], run.size["tasks"]
    async with town(run) as place:
        place.configure(leases={"ttl": 30, "heartbeat": 0.5, "dead_after": 2})
        manager = await place.manager()
        await place.workers([f"w{n}" for n in range(run.size["workers"])])
        async with place.client() as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.marks, 0, tasks)
                moments = sorted(run.rng.sample(range(2 * tasks - tasks // 20), kills))
                manager, ready = await _kill_at(place, client, manager, moments)
            await client.all()
            status = await client.all_well()
            run.must(status.accepted == tasks, f"{status.accepted} tasks were accepted instead of {tasks}")
            await client.same_again()
        began = once_each(run, marks(place.marks))
        run.figures |= {
            "kills": kills, "accepted": status.accepted, "succeeded": status.totals["succeeded"],
            "executions": began.total(), "late": status.late, "ready_p50_s": round(percentile(ready, 50), 2),
        }  # fmt: skip
        run.must(len(began) == tasks, "a task has a result and never ran")
        run.within("ready_max_s", max(ready), READY_GOAL)
        found = await place.audit(manager)
        run.must(found["ended"] == tasks, f"the file knows {found}")


async def _kill_at(
    place: Town, client: Client, manager: Process, moments: list[int]
) -> tuple[Process, list[float]]:
    """Kill whenever so many tasks were accepted and ended together; every fifth time the next one too."""
    rng, ready = place.run.rng, []
    for moment in moments:
        await until(lambda m=moment: client.progress >= m, f"{moment} tasks accepted and ended", 120)
        await anyio.sleep(rng.random() * 0.1)
        await in_thread(manager.kill)
        if rng.random() < 0.2:
            starting = place.fleet._start("manager", place.fleet.home, ["--listen", place.fleet._listen])
            await anyio.sleep(rng.random() * 0.6)
            await in_thread(starting.kill)
        start = time.monotonic()
        manager = await place.manager()
        ready.append(time.monotonic() - start)
    return manager, ready


# ---- F4 -------------------------------------------------------------------------------------------------


ALONE_SECONDS = 0.2
"""What the tasks of one death may take until each has begun alone."""


async def killed_workers(run: Run) -> None:
    """kill -9 of workers at random moments; each is started again."""
    kills, tasks, workers = run.size["kills"], run.size["tasks"], run.size["workers"]
    async with town(run) as place:
        # An innocent task may be in a worker that is killed more often than a poisonous one ever is.
        place.configure(leases=QUICK, tasks={"max_crashes": 50, "backoff": QUICK_RETRY})
        manager = await place.manager()
        names = [f"w{n}" for n in range(workers)]
        running = dict(zip(names, await place.workers(names, SLOTS), strict=True))
        async with place.client() as client:
            done, killed = anyio.Event(), {}
            async with anyio.create_task_group() as group:
                group.start_soon(_keep_busy, client, tasks, done)
                await _kill_workers(place, running, kills, killed)
                _, for_good = running.popitem()  # nobody starts it again: its leases have to run out
                for_good.kill()
                killed[for_good.pid] = time.monotonic()
                done.set()
            await client.all()
            status = await client.all_well()
            endings = await client.endings()
        began = marks(place.marks)
        executions = once_each(run, began)
        again = [
            second.moment - killed[first.pid]
            for attempts in by_number(began).values()
            for first, second in pairwise(attempts)
            if first.pid in killed and first.moment <= killed[first.pid]
        ]
        more = executions.total() - status.accepted
        run.figures |= {
            "kills": kills, "workers": workers, "accepted": status.accepted,
            "succeeded": status.totals["succeeded"], "attempts_ended": dict(endings),
            "reassigned_p99_s": round(percentile(again, 99), 2),
        }  # fmt: skip
        run.figures["executions_more"] = f"{more} (at most {(kills + 1) * SLOTS})"
        # With one that nobody starts again, whose slots count as well.
        run.must(more <= (kills + 1) * SLOTS, f"{more} executions more than tasks")
        # What died together runs alone, one at a time on a worker, while workers go on dying.
        run.within("reassigned_max_s", max(again, default=0.0), QUICK["ttl"] + 5.0 + kills * ALONE_SECONDS)
        await place.audit(manager)


async def _keep_busy(client: Client, tasks: int, done: anyio.Event) -> None:
    """At least so many tasks of 5 to 20 ms, and more until `done`."""
    rng, first = client.run.rng, 0
    while first < tasks or not done.is_set():
        await until(lambda: len(client.ids) - len(client.outcomes) < 600, "tasks end", 120)
        await client.marks(first, 100, lambda: 0.005 + 0.015 * rng.random(), max_attempts=100)
        first += 100


async def _kill_workers(
    place: Town, running: dict[str, Process], kills: int, killed: dict[int, float]
) -> None:
    """One after the other; each comes back while the next one is looked for."""
    rng = place.run.rng

    async def again(name: str) -> None:
        running[name] = await place.worker(name, SLOTS)

    async with anyio.create_task_group() as group:
        for _ in range(kills):
            await until(lambda: running, "a worker runs")
            await anyio.sleep(0.02 + 0.2 * rng.random())
            name = rng.choice(sorted(running))
            process = running.pop(name)
            process.popen.kill()
            killed[process.pid] = time.monotonic()
            await in_thread(process.popen.wait)
            group.start_soon(again, name)


# ---- F5 -------------------------------------------------------------------------------------------------


async def killed_tasks(run: Run) -> None:
    """kill -9 of the process that a task runs in: a crash of the task, and nothing to the worker."""
    kills = run.size["kills"]
    async with town(run) as place:
        place.configure(tasks={"backoff": QUICK_RETRY})
        await place.manager()
        worker = await place.worker("w0", capacity=1)
        async with place.client() as client:
            ids = await client.submit("victim", *range(kills))
            idle = [await _kill_child(place, kills, n) for n in range(kills)]
            await client.all(ids)
            ended = Counter(client.outcomes[i].state for i in ids)
            run.must(ended == {TaskState.SUCCEEDED: kills}, f"the tasks ended as {ended}")
            details = [await client.remote.detail(i) for i in ids]
        hows, signals = Counter[str](), set()
        for detail in details:
            # What waits behind others may be given back before it has begun; that is nobody's end.
            (one,) = (attempt for attempt in detail.attempts if attempt.how != "released")
            hows[one.how] += 1
            signals.add(one.error.evidence.get("signal"))
        run.must(hows == {"crashed": kills}, f"the attempts that had begun first ended as {hows}")
        run.must(signals == {"SIGKILL"}, f"the evidence names {signals}")
        run.must(worker.running, "the worker is gone")
        run.figures |= {"kills": kills, "crashed": hows["crashed"], "succeeded": kills}
        # On a slot of its own, a new process has to come up before the next task can begin.
        run.within("slot_idle_p99_s", percentile(idle, 99), 1.0)


async def _kill_child(place: Town, kills: int, number: int) -> float:
    """Kill one that has begun for the first time; seconds until any attempt begins in its slot."""
    folder = place.marks

    def begun() -> list[Path]:
        return [path for path in folder.glob("*.[0-9]*") if path.suffix != ".part"]

    fresh: list[Path] = []

    def look() -> bool:
        fresh[:] = [path for path in begun() if path.stem not in _dead(place)]
        return bool(fresh)

    await until(look, f"victim {number} of {kills} begins")
    before = len(begun())
    pid = int(fresh[0].read_text().split()[0])
    _dead(place).add(fresh[0].stem)
    start = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: len(begun()) > before, "the next attempt begins")
    return time.monotonic() - start


def _dead(place: Town) -> set[str]:
    """The numbers of those that were killed."""
    return place.run.__dict__.setdefault("dead", set())


# ---- F6 -------------------------------------------------------------------------------------------------

POISON = {
    "segfault": ("crash", int(signal.SIGSEGV), {}),
    "abort": ("crash", int(signal.SIGABRT), {}),
    "exit 0 without a result": ("leave", 0, {}),
    "endless output": ("flood", None, {"timeout": 1.0, "max_attempts": 2}),
    "memory hog": ("allocate", 1 << 40, {"max_attempts": 2}),
    "fork bomb": ("breed", None, {"timeout": 1.0, "max_attempts": 1}),
}


async def poison(run: Run) -> None:
    """Tasks that take their process with them, among good ones."""
    each, good = run.size["each"], run.size["good"]
    async with town(run) as place:
        place.configure(tasks={"backoff": QUICK_RETRY})
        await place.manager()
        settings = {"kinds": {"paths": [str(SAMPLES)]}, "limits": {"memory_mb": 1024}}
        workers = await place.workers(["w0", "w1"], 2, **settings)
        async with place.client() as client:
            bad: dict[str, list[int]] = {name: [] for name in POISON}
            for part in range(each):
                await client.marks(part * good // each, good // each, 0.002)
                for name, (kind, payload, options) in POISON.items():
                    bad[name] += await client.submit(kind, payload, **options)
            await client.all([*client.ids, *(i for ids in bad.values() for i in ids)])
            status = await client.all_well()
            for name, ids in bad.items():
                run.figures[name] = await _how(run, client, name, ids)
        run.figures |= {
            "good_tasks": len(client.ids),
            "good_dead": 0,
            "succeeded": status.totals["succeeded"],
        }
        run.must(all(worker.running for worker in workers), "a worker is gone")
        executions = once_each(run, marks(place.marks))
        run.must(executions.total() == len(client.ids), "a good task was run again because of a bad one")
        await until(lambda: not _breeding(), "the fork bomb's processes are gone", 30)


async def _how(run: Run, client: Client, name: str, ids: list[int]) -> str:
    """How the attempts of one sort of poison ended; none may have had more than three crashes."""
    hows: Counter[str] = Counter()
    for task in ids:
        one = client.outcomes[task]
        run.must(one.state in {TaskState.FAILED, TaskState.TIMED_OUT}, f"{name} ended as {one}")
        detail = await client.remote.detail(task)
        mine = Counter(attempt.how for attempt in detail.attempts)
        run.must(mine["crashed"] <= 3, f"{name} crashed {mine['crashed']} times")
        hows += mine
        for error in (one.error, *(attempt.error for attempt in detail.attempts)):
            said = len(str(error.evidence.get("output", ""))) if error is not None else 0
            run.must(said <= MOST_OUTPUT, f"{name} left {said} characters of output")
    return ", ".join(f"{count} {how}" for how, count in sorted(hows.items()))


def _breeding() -> bool:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TM_KIND") == "breed":
                return True
    return False
