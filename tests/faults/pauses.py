"""Time stands still or jumps: wall clock (F40), stopped processes (F41, F42); leaving under load (F43)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
from taskmessenger.core.lifecycle import TaskState

from tests.support.chaos import Client, Run, Town, in_thread, marks, once_each, town, until
from tests.support.fleet import FAST, a_fleet, results, running, submit
from tests.support.processes import Process

ROOT = Path(__file__).parents[2]
HEARTBEATS = {"heartbeat": 0.4, "dead_after": 1.2}
FENCE_SHARE = 0.8
"""Of a lease, after which a worker that is cut off gives it up: what is stopped for less repeats nothing."""


# ---- F40 ------------------------------------------------------------------------------------------------


async def jumping_wall(run: Run) -> None:
    """The manager's wall clock jumps by hours and days while tasks run and wait."""
    jumps = run.size["jumps"]
    offset = 0.0
    async with a_fleet(run.folder / "f") as fleet:
        fleet.manager.writer._wall = lambda: time.time() + offset
        node = await fleet.worker()
        async with fleet.operator() as remote:
            (held,) = await submit(remote, "hold", "x")
            await running(fleet, held)
            for _ in range(jumps):
                start = time.monotonic()
                (late,) = await submit(remote, "echo", "y", delay=0.3)
                offset = run.rng.choice([-86_400.0, -3_600.0, 3_600.0, 86_400.0])
                found = await results(remote, [late])
                run.must(found[late].attempt == 1, "a delayed task was tried twice")
                run.must(time.monotonic() - start >= 0.28, "a delayed task began too early")
            await anyio.sleep(2 * FAST.ttl)  # a lease that is measured on the wrong clock ends in this time
            node.puppet.finish(held)
            one = (await results(remote, [held]))[held]
            run.must((one.state, one.attempt) == (TaskState.SUCCEEDED, 1), f"the running task ended as {one}")
            run.must((await remote.status()).late == 0, "a lease was lost")
    run.figures |= {"jumps": jumps, "leases_lost": 0}
    seeds = run.size["seeds"]
    command = [
        sys.executable,
        "-m",
        "tests.simulation.simulate",
        "--seeds",
        str(seeds),
        "--first",
        str(run.seed),
    ]
    done = await anyio.run_process(command, check=False, cwd=ROOT, stderr=subprocess.STDOUT)
    run.must(done.returncode == 0, done.stdout.decode()[-500:])
    run.figures["simulated_fleets_with_jumps"] = seeds


# ---- F41, F42 -------------------------------------------------------------------------------------------


async def stopped(run: Run) -> None:
    """Manager and worker are stopped with SIGSTOP, for less and for more than a lease."""
    ttl = run.size["lease"]
    async with town(run) as place:
        place.configure(
            leases={"ttl": ttl} | HEARTBEATS,
            tasks={"backoff": {"first": 0.05, "factor": 1.0, "ceiling": 0.05}},
        )
        manager = await place.manager()
        first, _ = await place.workers(["w0", "w1"])
        async with place.client() as client:
            for step, stop in enumerate(run.size["stops"].split(", ")):
                name, seconds = stop.split()
                process = manager if name == "manager" else first
                again = await _stop(place, client, process, float(seconds), step * 1_000)
                run.figures[f"{name} {seconds} s, more executions"] = again
                kept = float(seconds) < FENCE_SHARE * ttl
                run.must(again == 0 or not kept, f"{again} attempts were repeated after {stop} s")
                # At most what it ran at that moment: eight slots of the fleet, or four of the worker.
                run.must(again <= 8, f"{again} attempts were repeated after {stop} s")
            status = await client.all_well()
            run.figures |= {
                "late": status.late,
                "accepted": status.accepted,
                "ended": dict(await client.endings()),
            }
        once_each(run, marks(place.marks))
        await place.audit(manager)


async def _stop(place: Town, client: Client, process: Process, seconds: float, first: int) -> int:
    """Stop it while eight tasks run and others wait; executions beyond one for each task."""
    before = len(marks(place.marks))
    ids = await client.marks(first, 8, max(2.5, seconds - 1))
    await until(lambda: len(marks(place.marks)) == before + 8, "eight tasks run")
    process.popen.send_signal(signal.SIGSTOP)
    try:
        await anyio.sleep(seconds)
    finally:
        process.popen.send_signal(signal.SIGCONT)
    ids += await client.marks(first + 8, 100, 0.01)
    await client.all(ids)
    return len(marks(place.marks)) - before - len(ids)


async def blocked_manager(run: Run) -> None:
    """The manager does nothing for five seconds: no worker is taken for lost, by nobody."""
    async with town(run) as place:
        place.configure(leases={"ttl": 8.0, "heartbeat": 1.0, "dead_after": 7.9})
        manager = await place.manager()
        workers = await place.workers(["w0", "w1"])
        async with place.client() as client:
            again = 0
            for number in range(run.size["times"]):
                again += await _stop(place, client, manager, run.size["seconds"], 1_000 * number)
            status = await client.all_well()
        lost = sum("is lost" in worker.said() for worker in workers)
        run.must(again == 0, f"{again} attempts were repeated")
        run.must(lost == 0, f"{lost} workers gave the link up")
        run.figures |= {"workers_lost": lost, "more_executions": again, "late": status.late}
        await place.audit(manager)


# ---- F43 ------------------------------------------------------------------------------------------------


async def drained(run: Run) -> None:
    """SIGTERM for every worker of a busy fleet at once; another one does what they left."""
    count, tasks = run.size["workers"], run.size["tasks"]
    deadline = 10.0
    async with town(run) as place:
        place.configure()
        manager = await place.manager()
        workers = await place.workers([f"w{n}" for n in range(count)], 2, drain={"deadline": deadline})
        async with place.client() as client:
            await client.marks(0, tasks, 0.01 * count)  # so that any number of workers is at it for as long
            await until(lambda: len(client.outcomes) > tasks // 10, "the fleet is busy")
            start = time.monotonic()
            for worker in workers:
                worker.popen.send_signal(signal.SIGTERM)
            codes = [await in_thread(worker.wait) for worker in workers]
            left = time.monotonic() - start
            run.must(codes == [0] * count, f"the workers ended with {codes}")
            run.must(len(client.outcomes) < tasks, "nothing was left to do, so nobody left under load")
            run.figures["ended_when_they_left"] = len(client.outcomes)
            await place.workers(["late0", "late1"], 32)
            await client.all()
            status = await client.all_well()
            endings = await client.endings()
        executions = once_each(run, marks(place.marks))
        run.must(set(endings) <= {"released"}, f"attempts ended as {endings}")
        run.must(executions.total() == tasks, f"{executions.total()} executions of {tasks} tasks")
        run.figures |= {"accepted": status.accepted, "executions": executions.total(), "crashed": 0}
        run.within("left_after_s", left, deadline + 2)
        await place.audit(manager)
