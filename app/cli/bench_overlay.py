"""`taskmessenger bench --transport zerotier`: the same measures over TCP and over ZeroTier, side by side.

Both run in the same network namespace and the same minutes, so that their ratio means something even where a
machine is shared. Figures of two runs are never compared.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import psutil

from .. import __version__
from ..core.errors import TaskMessengerError, TimedOut
from ..handle import Group
from ..remote import Remote, attach
from ..runtimes.payload import pack
from . import bench_measures as measures
from . import output
from .connect import dialler, run
from .demo_fleet import MANAGER, Fleet

if TYPE_CHECKING:
    from .bench import Plan

BOTH: Final = ("tcp", "zerotier")
SESSIONS: Final = 300
IDLE_SECONDS: Final = 20.0
BACK_SECONDS: Final = 120.0
"""For workers to come back; a figure that long is a failure of its own."""
HELD_TASKS: Final = 400
WAIT_SECONDS: Final = 0.05
"""Of each task that is on its way when the manager is killed."""
MB: Final = 1e6
GOALS: Final = {
    "trivial_tasks_per_s": ">= 0.5 of tcp",
    "round_trip_p50_ms": "<= 2 of tcp",
    "round_trip_p99_ms": "",
    "large_echo_mb_per_s": ">= 25",
    "first_result_s": "<= 8",
    "reconnect_s": "<= 3",
    "reconnect_after_kill_s": "",
    "lost_tasks": "0",
    "sessions": f">= {SESSIONS}",
    "sessions_tasks_per_s": "",
    "worker_rss_mb": "<= tcp + 30",
    "manager_rss_mb": "<= tcp + 30",
    "idle_cpu_percent": "<= tcp + 1.0",
}
"""Every figure in the order in which it is shown, and what it is to be over ZeroTier."""
Figures = dict[str, float]
InFleet = Callable[[str, Callable[[Any], Awaitable[Figures]], str], Awaitable[Figures]]


def compare(plan: Plan, in_fleet: InFleet, *, as_json: bool) -> None:
    """Measure both, and print one table or one object."""
    load = os.getloadavg()[0]
    found: dict[str, Figures] = run(_measure, plan, in_fleet)
    machine = {
        "version": __version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "tasks": plan.tasks,
        "load_before": round(load, 2),
    }
    if as_json:
        output.block(machine | found)
        return
    output.pairs(machine.items())
    table = output.Table(["measure", *BOTH, "ratio", "to reach"])
    table.add(_row(name, goal, found) for name, goal in GOALS.items() if name in found[BOTH[0]])


def _row(name: str, goal: str, found: dict[str, Figures]) -> tuple[str, ...]:
    tcp, overlay = (found[transport][name] for transport in BOTH)
    ratio = f"{overlay / tcp:.2f}" if tcp else ""
    return name, f"{tcp:,.2f}", f"{overlay:,.2f}", ratio, goal


async def _measure(plan: Plan, in_fleet: InFleet) -> dict[str, Figures]:
    """Measure by measure, so that the two transports of each are close in time."""
    found: dict[str, Figures] = {transport: {} for transport in BOTH}
    steps: list[tuple[str, Callable[[Fleet], Awaitable[Figures]]]] = [
        ("first result", _first),
        ("throughput", partial(_rates, plan=plan)),
        ("reconnect", partial(_reconnect, plan=plan)),
        ("memory and idle", partial(_quiet, plan=plan)),
        ("sessions", partial(_sessions, plan=plan)),
    ]
    for what, step in steps:
        for transport in BOTH:
            try:
                found[transport] |= await in_fleet(f"{what}, {transport}", step, transport)
            except (TaskMessengerError, TimeoutError) as error:
                output.note(f"{what}, {transport}: {error}")
    for transport in BOTH:
        found[transport] |= {name: float("nan") for name in GOALS if name not in found[transport]}
    return found


async def _first(fleet: Fleet) -> Figures:
    """From nothing to a manager, a worker that has joined, and the first result."""
    return {"first_result_s": (await measures.first_result(fleet))["first_result_s"]}


async def _rates(fleet: Fleet, plan: Plan) -> Figures:
    async with measures.fleet(fleet, plan.workers) as (remote, results):
        found = {"trivial_tasks_per_s": await measures.trivial(remote, results, plan.tasks)}
        found |= await measures.round_trip(remote, results, 200 if plan.quick else 1_000)
        found["large_echo_mb_per_s"] = await measures.large(remote, results, 64 if plan.quick else 400)
    return found


async def _reconnect(fleet: Fleet, plan: Plan) -> Figures:
    """From a manager that answers again after kill -9 to the moment when all its workers are back."""
    async with measures.fleet(fleet, plan.workers) as (remote, _):
        status = await remote.status()
        fleet.listens_at(status.listening[0])
        tasks = await remote.submit([Group("wait", [pack(WAIT_SECONDS)] * HELD_TASKS)])
        await _some_ended(remote)
    killed = time.perf_counter()
    fleet.kill(MANAGER)
    await fleet.start_manager()
    ready = time.perf_counter()
    async with attach(dialler(fleet.paths)) as remote:
        with anyio.fail_after(BACK_SECONDS):
            while (await remote.status()).workers < plan.workers:
                await anyio.sleep(0.02)
        back = time.perf_counter()
        with anyio.fail_after(BACK_SECONDS):
            await remote.wait(tasks.ids)
        succeeded = (await remote.status()).totals.get("succeeded", 0)
    return {
        "reconnect_s": back - ready,
        "reconnect_after_kill_s": back - killed,
        "lost_tasks": float(HELD_TASKS - succeeded),
    }


async def _some_ended(remote: Remote) -> None:
    """Workers are at it."""
    with anyio.fail_after(BACK_SECONDS):
        while not (await remote.status()).totals.get("succeeded", 0):
            await anyio.sleep(0.02)


async def _quiet(fleet: Fleet, plan: Plan) -> Figures:
    async with measures.fleet(fleet, 1) as (remote, results):
        await measures.trivial(remote, results, 1_000)
        names = [MANAGER, "w0"]
        cpu = await measures.idle(fleet, names, 5.0 if plan.quick else IDLE_SECONDS)
        manager, worker = (psutil.Process(fleet.pid(name)).memory_info().rss / MB for name in names)
    return {"manager_rss_mb": manager, "worker_rss_mb": worker, "idle_cpu_percent": cpu}


async def _sessions(fleet: Fleet, plan: Plan) -> Figures:
    """So many worker sessions of one process, over one node."""
    rate = await measures.many_sessions(fleet, SESSIONS, plan.tasks)
    if not rate:
        raise TimedOut(f"{SESSIONS} sessions did no work")
    return {"sessions": float(SESSIONS), "sessions_tasks_per_s": rate}
