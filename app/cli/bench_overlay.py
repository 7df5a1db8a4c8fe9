"""`taskmessenger bench --transport zerotier`: the same measures over TCP and over ZeroTier, side by side.

Both run in the same network namespace and the same minutes, so that their ratio means something even where a
machine is shared. Figures of two runs are never compared.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any, Final

import anyio
import psutil

from .. import __version__
from ..core.errors import TaskMessengerError, TimedOut
from ..handle import Group
from ..remote import Remote, attach
from ..runtimes.payload import pack
from . import bench_measures as measures
from . import bench_streams as streams
from . import output
from .connect import dialler, run
from .demo_fleet import MANAGER, Fleet

if TYPE_CHECKING:
    from .bench import Plan

BOTH: Final = ("tcp", "zerotier")
SESSIONS: Final = 300
IDLE_SECONDS: Final = 20.0
TCP_SECONDS: Final = 5.0
BACK_SECONDS: Final = 120.0
"""For workers to come back; a figure that long is a failure of its own."""
HELD_TASKS: Final = 400
WAIT_SECONDS: Final = 0.05
"""Of each task that is on its way when the manager is killed."""
MB: Final = 1e6
Figures = dict[str, float]
InFleet = Callable[[str, Callable[[Any], Awaitable[Figures]], str], Awaitable[Figures]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to be over ZeroTier, beside that of TCP in the same run; nothing by default."""

    text: str = ""
    met: Callable[[float, float], bool] | None = None
    """Given the figures of TCP and of ZeroTier."""

    def verdict(self, found: Mapping[str, float]) -> bool | None:
        """Whether it is met; None where nothing is asked."""
        return None if self.met is None else self.met(*(found[transport] for transport in BOTH))


def at_least(value: float) -> Goal:
    """Over ZeroTier, whatever TCP does."""
    return Goal(f">= {value:g}", lambda _, overlay: overlay >= value)


def at_most(value: float) -> Goal:
    """Over ZeroTier, whatever TCP does."""
    return Goal(f"<= {value:g}", lambda _, overlay: overlay <= value)


def more_than_tcp(value: float) -> Goal:
    """At most by so much."""
    return Goal(f"<= tcp + {value:g}", lambda tcp, overlay: overlay <= tcp + value)


GOALS: Final = {
    "trivial_tasks_per_s": Goal(">= 0.5 of tcp", lambda tcp, overlay: overlay >= tcp / 2),
    "round_trip_p50_ms": Goal("<= 2 of tcp", lambda tcp, overlay: overlay <= tcp * 2),
    "round_trip_p99_ms": Goal(),
    "large_echo_mb_per_s": at_least(25),
    "stream_1k_mb_per_s": Goal(),
    "stream_1k_gap_ms": at_most(200),
    "stream_64k_mb_per_s": Goal(),
    "stream_64k_gap_ms": at_most(200),
    "first_result_s": at_most(8),
    "reconnect_s": at_most(3),
    "reconnect_after_kill_s": Goal(),
    "lost_tasks": at_most(0),
    "sessions": at_least(SESSIONS),
    "sessions_tasks_per_s": Goal(),
    "worker_rss_mb": more_than_tcp(30),
    "manager_rss_mb": more_than_tcp(30),
    "idle_node_cpu_percent": at_most(0.5),
    "idle_cpu_percent": Goal(),
}
"""Every figure in the order in which it is shown. `idle_node`: a node with one connection and nothing else in
its process; `idle`: a manager and a worker together, with their sessions."""


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
        plain = {transport: _plain(figures) for transport, figures in found.items()}
        output.block(machine | plain | {"met": {name: _goal_of(name, found) for name in GOALS}})
        return
    output.pairs(machine.items())
    table = output.Table(["measure", *BOTH, "ratio", "to reach", "met"])
    table.add(_row(name, found) for name in GOALS)


def _plain(figures: Figures) -> dict[str, float | None]:
    """As JSON has it, which knows no figure that is none."""
    return {name: None if isnan(figure) else figure for name, figure in figures.items()}


def _row(name: str, found: dict[str, Figures]) -> tuple[str, ...]:
    tcp, overlay = (found[transport][name] for transport in BOTH)
    ratio = f"{overlay / tcp:.2f}" if tcp else ""
    met = {True: "yes", False: "NO", None: ""}[_goal_of(name, found)]
    return name, f"{tcp:,.2f}", f"{overlay:,.2f}", ratio, GOALS[name].text, met


def _goal_of(name: str, found: dict[str, Figures]) -> bool | None:
    """A figure that could not be measured meets no goal."""
    return GOALS[name].verdict({transport: found[transport][name] for transport in BOTH})


async def _measure(plan: Plan, in_fleet: InFleet) -> dict[str, Figures]:
    """Measure by measure, so that the two transports of each are close in time."""
    found: dict[str, Figures] = {transport: {} for transport in BOTH}
    steps: list[tuple[str, Callable[[Fleet], Awaitable[Figures]]]] = [
        ("first result", _first),
        ("throughput", partial(_rates, plan=plan)),
        ("streams and idle node", partial(_streams, plan=plan)),
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


async def _streams(fleet: Fleet, plan: Plan) -> Figures:
    """No fleet at all, but two processes with a stream between them, in the place that a fleet would have."""
    # TCP is only the measure to compare with.
    seconds = min(plan.stream_seconds, TCP_SECONDS) if fleet.transport == "tcp" else plan.stream_seconds
    return await streams.measure(fleet.home, fleet.transport, seconds, 5.0 if plan.quick else IDLE_SECONDS)


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
