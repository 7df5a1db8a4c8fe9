"""`taskmessenger bench`: how fast this program is here, in numbers that anyone can reproduce."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from .. import __version__
from ..core.errors import UsageError
from ..core.text import count
from . import output
from .namespace import LISTEN, in_a_namespace
from .options import Duration, as_json

IDLE_SECONDS: Final = 20.0
QUICK_TASKS: Final = 5_000
TASKS: Final = 20_000
STREAM_SECONDS: Final = 60.0
QUICK_STREAM_SECONDS: Final = 5.0
LEAST_STREAM: Final = 1.0
MOST_STREAM: Final = 3_600.0
COMPARED: Final = (1, 2)
"""Fleets of so many workers are always measured: what goals are about."""
GOALS: Final = {
    "trivial_2_workers_tasks_per_s": ">= 15000",
    "round_trip_p50_ms": "<= 2",
    "round_trip_p99_ms": "<= 6",
    "large_echo_mb_per_s": ">= 100",
    "short_tasks_wall_of_pool": "<= 1.1",
    "short_tasks_cpu_beside_ms": "<= 0.6",
    "queued_bytes_per_task": "<= 1000",
    "idle_cpu_percent": "<= 2",
    "manager_ready_s": "<= 1",
    "version_ms": "<= 150",
    "many_sessions_tasks_per_s": ">= 80 % of 2 workers",
    "deep_submit_p99_ms": "<= 3x empty",
    "deep_lease_p99_ms": "<= 3x empty",
    "deep_manager_mib": "<= 1024",
    "deep_restart_s": "<= 15",
}
"""What figures are to be; many are to be nothing in particular."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    tasks: int
    many: int
    workers: int
    quick: bool
    deep: int
    sessions: int
    stream_seconds: float


@click.command()
@click.option("--tasks", type=click.IntRange(100, 1_000_000), metavar="N",
              help=f"Trivial tasks of one measure.  [default: {TASKS}, quick: {QUICK_TASKS}]")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True, metavar="W",
              help="Also measure with W workers; 1 and 2 are always measured.")  # fmt: skip
@click.option("--transport", type=click.Choice(sorted(LISTEN)), default="tcp", show_default=True,
              help="Between manager and workers; zerotier: both, in a network namespace.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Fewer and shorter measures, for a first impression.")
@click.option("--deep", type=click.IntRange(0, 10_000_000), default=0, metavar="N",
              help="Also measure with N queued tasks.")  # fmt: skip
@click.option("--sessions", type=click.IntRange(0, 2_000), default=0, metavar="N",
              help="Also measure with N worker sessions.")  # fmt: skip
@click.option("--stream-seconds", type=Duration(LEAST_STREAM, MOST_STREAM), metavar="TIME",
              help="Of traffic for each kind of stream.  [default: 60s, quick: 5s]")  # fmt: skip
@as_json
def bench(
    *,
    transport: str,
    as_json: bool,
    tasks: int | None,
    quick: bool,
    stream_seconds: float | None,
    **given: int,
) -> None:
    """Measure throughput, latency, memory and idle load on this machine.

    Manager and workers are processes of their own, connected by TLS on loopback; every submission and outcome
    is on disk before it is acknowledged. What else the machine does is measured too: see `load_before`.

    \b
    Examples:
      taskmessenger bench --quick
      taskmessenger bench --json > figures.json
      taskmessenger bench --deep 1000000
      taskmessenger bench --transport zerotier
    """  # noqa: D301  \b keeps click from filling the examples
    from .connect import run

    plan = _plan(tasks=tasks, quick=quick, stream_seconds=stream_seconds, **given)
    if transport != "tcp":
        if plan.deep or plan.sessions:
            raise UsageError("--deep and --sessions are measured over tcp only: leave them out")
        from .bench_overlay import compare

        in_a_namespace()
        compare(plan, in_fleet, as_json=as_json)
        return
    figures = run(_measure, plan)
    machine = {
        "version": __version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "transport": transport,
        "tasks": plan.tasks,
    }
    if as_json:
        output.block(machine | figures)
        return
    output.pairs([*machine.items(), ("load_before", f"{figures.pop('load_before'):.2f}")])
    table = output.Table(["measure", "figure", "to reach"])
    table.add([(name, f"{figure:,.2f}", GOALS.get(name, "")) for name, figure in figures.items()])


def _plan(*, tasks: int | None, quick: bool, stream_seconds: float | None, **given: int) -> Plan:
    return Plan(
        tasks=tasks or (QUICK_TASKS if quick else TASKS),
        many=100_000,
        quick=quick,
        stream_seconds=stream_seconds or (QUICK_STREAM_SECONDS if quick else STREAM_SECONDS),
        **given,
    )


async def _measure(plan: Plan) -> dict[str, Any]:
    """All measures of a plan, each on a fleet of its own."""
    from . import bench_measures as measures

    figures: dict[str, Any] = {"load_before": os.getloadavg()[0], "version_ms": measures.version_ms()}
    figures |= await in_fleet("first result", measures.first_result)
    for workers in sorted({*COMPARED, plan.workers}):
        figures |= await in_fleet(
            f"throughput, {count(workers, 'worker')}", partial(_rates, plan=plan, workers=workers)
        )
    figures |= await in_fleet("short tasks beside a process pool", partial(_short, plan=plan))
    figures |= await in_fleet("queue and idle", partial(_quiet, plan=plan))
    if plan.sessions:
        figures |= await in_fleet("many sessions", partial(_many, plan=plan))
    if plan.deep:
        from .bench_deep import deep_queue

        figures |= await in_fleet("deep queue", partial(deep_queue, tasks=plan.deep))
    return figures


async def _rates(fleet: Any, plan: Plan, workers: int) -> dict[str, float]:
    from . import bench_measures as measures

    name = f"{workers}_worker{'s' if workers > 1 else ''}"
    found: dict[str, float] = {}
    async with measures.fleet(fleet, workers) as (remote, results):
        found[f"trivial_{name}_tasks_per_s"] = await measures.trivial(remote, results, plan.tasks)
        if not plan.quick:
            found[f"many_{name}_tasks_per_s"] = await measures.trivial(remote, results, plan.many)
        if workers == plan.workers:
            found |= await measures.round_trip(remote, results, 200 if plan.quick else 1_000)
            found["large_echo_mb_per_s"] = await measures.large(remote, results, 64 if plan.quick else 400)
    return found


async def _short(fleet: Any, plan: Plan) -> dict[str, float]:
    from .bench_short import short_tasks

    return await short_tasks(fleet, *((300, 1) if plan.quick else (1_000, 3)))


async def _many(fleet: Any, plan: Plan) -> dict[str, float]:
    from . import bench_measures as measures

    return {"many_sessions_tasks_per_s": await measures.many_sessions(fleet, plan.sessions, plan.tasks)}


async def _quiet(fleet: Any, plan: Plan) -> dict[str, float]:
    from . import bench_measures as measures

    found: dict[str, float] = {}
    async with measures.fleet(fleet, 1, capacity=100) as (remote, results):
        count = 1_000 if plan.quick else 10_000
        found["wait_10ms_100_slots_tasks_per_s"] = await measures.waits(remote, results, count)
        found["idle_cpu_percent"] = await measures.idle(
            fleet, ["manager", "w0"], 5 if plan.quick else IDLE_SECONDS
        )
        queue = 20_000 if plan.quick else 100_000
        found["queued_bytes_per_task"] = await measures.queued_bytes(fleet, remote, queue)
    return found


async def in_fleet(
    what: str, measure: Callable[[Any], Awaitable[dict[str, float]]], transport: str = "tcp"
) -> dict[str, float]:
    """A throw-away home for one measure."""
    from .demo_fleet import Fleet, temporary

    output.note(f"measuring: {what}")
    home = Path(tempfile.mkdtemp(prefix="tm-bench-", dir=temporary()))
    try:
        with Fleet(home, transport) as fleet:
            return await measure(fleet)
    finally:
        shutil.rmtree(home, ignore_errors=True)
