"""Measures the console: `python -m tests.bench.console [--quick] [--page]`; prints a table.

With a simulated fleet in this process (the time that the simulation takes for itself is left out) and with a
real manager in another, over 1,000,000 tasks and 2,000 workers, while more than 1,000 events a second happen.
`--page` writes the table into docs/console.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # before Textual is imported: it reads this once

import anyio
import psutil
from taskmessenger import hosted
from taskmessenger.net.client import connect_locally

from tests.bench import console_fleet as fleets
from tests.bench import console_hands as hands
from tests.bench.big_fleet import big_fleet
from tests.bench.camera import Operator, Simulation
from tests.support.processes import Fleet

PAGE = Path(__file__).parents[2] / "docs" / "console.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TASKS, FEW, WORKERS, EVENTS = 1_000_000, 5_000, 2_000, 1_000.0
Row = tuple[str, str, str]


def _simulated(tasks: int) -> Simulation:
    return Simulation(tasks=tasks, workers=WORKERS, rate=EVENTS / 3, events=EVENTS, clock=time.time)


def _ms(times: list[float]) -> str:
    return f"{hands.percentile(times, 0.5):.0f} / {hands.percentile(times, 0.95):.0f} ms"


def of_the_fake(count: int) -> Iterator[Row]:
    """Keys and sizes, over the simulated fleet; the two sizes take turns."""
    found: dict[int, hands.Times] = {TASKS: {}, FEW: {}}
    for tasks in (TASKS, FEW, FEW, TASKS):
        times = hands.run(_simulated(tasks), lambda op: hands.tour(op, count))
        for name, some in times.items():
            found[tasks].setdefault(name, []).extend(some)
        gc.collect()
    for name, times in found[TASKS].items():
        yield f"simulated: {name}, p50 / p95", _ms(times), "p95 <= 50 ms"
    ratios = [
        f"{name} {statistics.median(times) / statistics.median(found[FEW][name]):.2f}"
        for name, times in found[TASKS].items()
    ]
    yield f"simulated: p50 at {TASKS:,} tasks / at {FEW:,}", ", ".join(ratios), "0.8 - 1.2"
    yield "simulated: memory, and its growth", _hours(300 if count < 40 else 3_000), "<= 150 MB"


def _hours(beats: int) -> str:
    """Memory of a console before and after so many frames of a thousand events, as fast as they go."""
    node = Simulation(tasks=TASKS, workers=WORKERS, rate=EVENTS / 3, events=EVENTS)
    me = psutil.Process()

    async def play(op: Operator) -> tuple[float, float]:
        await op.console.go("tasks")
        sizes = []
        for number in range(beats):
            node.advance(0.25)
            op.console.beat()
            await op.settled()
            if number in {beats // 4, beats - 1}:
                sizes.append(me.memory_info().rss / 1e6)
        return sizes[0], sizes[1]

    first, last = hands.run(node, play)
    return f"{last:.0f} MB with the simulation; {last - first:+.1f} MB over {beats * 0.75 / 4 / 60:.0f} min"


def of_the_real(fleet: Fleet, count: int) -> Iterator[Row]:
    """The same over a real manager, under load, and what only a real one can show."""
    home = fleet.home
    load, memory = fleets.resting(["--attach"], home, 3.0 + count / 5)
    yield "console process, nothing happens: CPU", f"{load:.1%} of a core", "<= 2 %"
    yield "console process, nothing happens: memory", f"{memory:.0f} MB", "<= 150 MB"
    with hosted.remote(lambda: connect_locally(fleet.paths.socket)) as node:
        for text, seconds in hands.run(node, fleets.filters(node)).items():
            yield f"real: first page of `{text}`", f"{seconds * 1e3:.0f} ms", "<= 200 ms"
        work = fleets.Load(fleet)
        try:
            time.sleep(3.0)
            for name, times in hands.run(node, lambda op: hands.tour(op, count)).items():
                yield f"real, under load: {name}, p50 / p95", _ms(times), "p95 <= 50 ms"
            load, memory = fleets.resting(["--attach"], home, 3.0 + count / 5)
            yield "console process, under load: CPU", f"{load:.1%} of a core", ""
            yield "console process, under load: memory", f"{memory:.0f} MB", "<= 150 MB"
        finally:
            work.end()
        time.sleep(2.0)
        times = hands.run(node, lambda op: fleets.seen(op, count))
        yield "real: submitted to visible, p50 / p95", _ms(times), "p95 <= 500 ms"


def of_the_commands(home: Path, count: int) -> Iterator[Row]:
    """How soon there is something to see."""
    rounds = 3 if count < 40 else 7
    for name, words, wanted in (("--demo", ["--demo"], "Overview"), ("--attach", ["--attach"], "Overview")):
        times = fleets.first_paint(words, home, wanted, rounds)
        yield f"first paint, `{name}`", f"{statistics.median(times):.2f} s", "<= 1 s"
    yield "`--version`", f"{fleets.command(['--version'], home, rounds):.0f} ms", "<= 150 ms"
    yield "`task ls --json`", f"{fleets.command(['task', 'ls', '--json'], home, rounds):.0f} ms", "<= 400 ms"


def of_the_throughput(root: Path, count: int) -> Iterator[Row]:
    """What ten consoles cost a manager that is as busy as it can be."""
    quick = count < 40
    found = anyio.run(fleets.throughput, root, 10, 2 if quick else 5, 20_000 if quick else 60_000)
    middle = {
        n: [statistics.median(column) for column in zip(*runs, strict=True)] for n, runs in found.items()
    }
    (rate, used, _), (watched, used_more, own) = middle[0], middle[10]
    yield (
        "tasks/s without and with ten consoles",
        (f"{rate:,.0f} and {watched:,.0f} ({watched / rate - 1:+.1%})"),
        ">= -5 %",
    )
    yield "CPU of the ten consoles meanwhile", f"{own:.0%} of a core", ""
    yield (
        "CPU of the manager for a task, likewise",
        (f"{used:.1f} and {used_more:.1f} us ({used_more / used - 1:+.1%})"),
        "",
    )


def main() -> None:
    """All measures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer of each")
    parser.add_argument("--page", action="store_true", help="write the table into docs/console.md")
    parser.add_argument("--tasks", type=int, default=TASKS, help="in the real manager's database")
    given = parser.parse_args()
    count = 20 if given.quick else 60
    rows: list[Row] = []
    load = os.getloadavg()[0]

    def take(some: Iterator[Row]) -> None:
        for row in some:
            rows.append(row)
            print(f"{row[0]:55s} {row[1]:45s} {row[2]}", flush=True)

    with tempfile.TemporaryDirectory(prefix="tm-", ignore_cleanup_errors=True) as folder:
        with big_fleet(Path(folder) / "big", given.tasks, WORKERS) as fleet:
            take(of_the_commands(fleet.home, count))
            take(of_the_real(fleet, count))
        machines = Path(folder) / "many"
        machines.mkdir(mode=0o700)
        take(of_the_throughput(machines, count))
    take(of_the_fake(count))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}"
    busy = f"load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    told = f"{datetime.now(UTC):%Y-%m-%d}, {machine}; {busy}"
    print(told)
    if given.page:
        table = [
            "| measure | figure | to reach |",
            "|---|---|---|",
            *(f"| {a} | {b} | {c} |" for a, b, c in rows),
        ]
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(
            f"{before}{BEGIN}\n{told}.\n\n" + "\n".join(table) + f"\n{END}{after}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
