"""What consoles cost a manager, and how soon they show what happens there: real processes and sessions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import psutil
from taskmessenger.attached import Attached, attached
from taskmessenger.cli import bench_measures as measures
from taskmessenger.cli.demo_fleet import MANAGER
from taskmessenger.cli.demo_fleet import Fleet as Machines
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.handle import Group, TaskQuery
from taskmessenger.net.client import connect_locally
from taskmessenger.runtimes.payload import pack
from taskmessenger.screens.tasks_pager import STALE, STALE_COUNT
from taskmessenger.screens.views.tasks import COUNT_EVERY, MAX_REST, REST
from taskmessenger.screens.widgets.paging import PAGE

from tests.bench.camera import Operator
from tests.bench.console_hands import percentile
from tests.support.processes import COMMAND, Fleet, environment
from tests.support.terminal import Terminal

BEAT = 0.25
RATE = 300
"""Tasks a second of the load: submitted, leased, started and settled, more than 1,000 events a second."""


async def seen(op: Operator, count: int) -> list[float]:
    """Seconds from handing in a task to its row on the screen."""
    await op.console.go("tasks")
    await op.settled(1.0)
    times = []
    for number in range(count):
        await asyncio.sleep(0.3 + 0.037 * (number % 13))  # at any moment between two frames
        before = op.grid.table.rows[0].id

        def wanted(before: int = before) -> str | None:
            rows = op.grid.table.rows
            return rf"▸[ *]\s*{rows[0].id}\b" if rows and rows[0].id > before else None

        def submit() -> None:
            op.console.run_worker(op.console.node.submit([Group("echo", [pack(1)])]), group="commands")

        times.append(await op.until_seen(submit, wanted))
    return times


def filters(node: Any) -> Callable[[Operator], Any]:
    """Seconds from a filter to its first page, at the node and painted, for filters of all sorts."""

    async def play(op: Operator) -> dict[str, float]:
        await op.console.go("tasks")
        await op.settled(0.5)
        view: Any = op.console.view
        found = {}
        for text in ("kind:hash", "state:failed", "-state:succeeded", "worker:w-0007", "submitted<10m",
                     'run>1.5s "w-00"', '"no such column"', "kind:train state:timed_out"):  # fmt: skip
            times = []
            for _ in range(3):
                view.load("state:cancelled")
                await op.settled()
                times.append(await op.moved(lambda text=text: view.load(text)))
                await op.settled()
            found[text] = sorted(times)[1]
        return found

    return play


# ---- load on a manager ------------------------------------------------------------------------------------


class Load:
    """A worker and somebody who keeps it busy, in processes of their own."""

    def __init__(self, fleet: Fleet) -> None:
        fleet.worker("busy", "--capacity", "8")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.console_fleet", "load"], env=environment(fleet.home)
        )

    def end(self) -> None:
        """No more."""
        self.popen.kill()
        self.popen.wait()


async def _load() -> None:
    from taskmessenger.paths import find

    async with attached(lambda: connect_locally(find().socket)) as handle:
        kinds = ("echo", "upper", "reverse")
        start, number = time.monotonic(), 0
        while True:
            kind = kinds[number % 3]
            await handle.submit([Group(kind, [pack("word")] * (RATE // 20))])
            number += 1
            await anyio.sleep(max(start + number / 20 - time.monotonic(), 0.0))


# ---- consoles as a manager sees them ----------------------------------------------------------------------


async def watch(count: int, home: Path) -> None:
    """So many consoles that show the table of tasks: what they ask, as often as they ask it; no painting."""
    from taskmessenger.paths import under

    paths = under(home)

    async def one(number: int) -> None:
        await anyio.sleep(number * 0.07)
        async with attached(lambda: connect_locally(paths.socket)) as handle:
            await _look(handle)

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)


async def _look(handle: Attached) -> None:
    frame, due = 0, 0.0
    while True:
        handle.snapshot()
        with suppress(TaskMessengerError):
            if (start := time.monotonic()) >= due:  # as the table does: it rests, and longer when it is slow
                await handle.tasks(TaskQuery(limit=PAGE, stale=STALE))
                due = time.monotonic() + min((time.monotonic() - start) * REST, MAX_REST)
            if frame % round(COUNT_EVERY / BEAT) == 0:
                await handle.count(TaskQuery(stale=STALE_COUNT))
        frame += 1
        await anyio.sleep(BEAT)


async def throughput(
    home: Path, consoles: int, rounds: int, tasks: int
) -> dict[int, list[tuple[float, float, float]]]:
    """Without and with consoles: tasks a second, CPU of the manager for each (us), of the consoles."""
    found: dict[int, list[tuple[float, float, float]]] = {0: [], consoles: []}
    with Machines(home) as machines:
        async with measures.fleet(machines, 1) as (remote, results):
            await measures.trivial(remote, results, tasks)
            manager = psutil.Process(machines.pid(MANAGER))
            for number in range(2 * rounds):
                count = consoles * (number % 2)
                watchers = subprocess.Popen(
                    [sys.executable, "-m", "tests.bench.console_fleet", str(count), str(home / MANAGER)]
                )
                try:
                    await anyio.sleep(3.0)
                    used = sum(manager.cpu_times()[:2])
                    start, own = time.perf_counter(), _cpu(watchers.pid)
                    rate = await measures.trivial(remote, results, tasks)
                    used = sum(manager.cpu_times()[:2]) - used
                    own = (_cpu(watchers.pid) - own) / (time.perf_counter() - start)
                finally:
                    watchers.kill()
                    watchers.wait()
                found[count].append((rate, used / (tasks + measures.WARM_UP) * 1e6, own))
    return found


def _cpu(pid: int) -> float:
    try:
        return sum(psutil.Process(pid).cpu_times()[:2])
    except psutil.NoSuchProcess:  # none were wanted
        return 0.0


# ---- a console as a process of its own --------------------------------------------------------------------


def first_paint(words: list[str], home: Path, wanted: str, rounds: int) -> list[float]:
    """Seconds from the start of the process until its first screen stands."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        with Terminal([*COMMAND, *words], environment(home), (160, 50)) as terminal:
            terminal.until(wanted)
            times.append(time.perf_counter() - start)
            terminal.press("q")
            terminal.read(0.3)
    return times


def resting(words: list[str], home: Path, seconds: float) -> tuple[float, float]:
    """Share of a core that a console process takes, and its memory in MB, after a while."""
    with Terminal([*COMMAND, *words], environment(home), (160, 50)) as terminal:
        terminal.until("Overview")
        terminal.press("3")
        _drain(terminal, 4.0)
        process = psutil.Process(terminal.popen.pid)
        used, start = sum(process.cpu_times()[:2]), time.perf_counter()
        _drain(terminal, seconds)
        used = sum(process.cpu_times()[:2]) - used
        return used / (time.perf_counter() - start), process.memory_info().rss / 1e6


def _drain(terminal: Terminal, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        terminal.read(0.2)


def command(words: list[str], home: Path, rounds: int) -> float:
    """Milliseconds that a command takes, the median."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "taskmessenger", *words],
            env=environment(home),
            capture_output=True,
            check=True,
        )
        times.append(time.perf_counter() - start)
    return percentile(times, 0.5)


if __name__ == "__main__":
    if sys.argv[1] == "load":
        anyio.run(_load)
    else:
        anyio.run(watch, int(sys.argv[1]), Path(sys.argv[2]))
