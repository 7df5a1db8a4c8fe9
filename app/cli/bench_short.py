"""Short tasks in processes of their own, beside the same work in a `ProcessPoolExecutor`, taking turns.

What is measured is what comes on top of the work: wall time against the pool's, and the CPU of manager and
workers for each task, without that of the children that do the work. Both are warm when the clock starts.
"""

from __future__ import annotations

import inspect
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from typing import Final

import anyio.to_thread
import psutil

from ..handle import Group
from ..paths import under
from ..remote import Remote
from ..runtimes.payload import pack
from .bench_measures import Results, fleet
from .demo_fleet import MANAGER, Fleet

WORKERS: Final = 2
"""Of one slot each, against as many processes of the pool."""
SECONDS: Final = 0.007
"""Of CPU, for each task, on a machine that has nothing else to do; about."""
CALIBRATION: Final = 200_000
"""Steps that are timed to find out how many make so many seconds."""
WARM_UP: Final = 20
KIND_NAME: Final = "bench_short"


def handle(payload: Sequence[int]) -> int:
    """Arithmetic: a start, and how many steps to go from there."""
    value, steps = payload
    for _ in range(steps):
        value = (value * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return value


KIND: Final = f'''"""Arithmetic that takes about {SECONDS * 1e3:g} ms."""

from collections.abc import Sequence

RUNTIME = "process"
DESCRIPTION = "takes steps from a number, and returns where they lead"
EXAMPLE = [1, 1000]


{inspect.getsource(handle)}'''


async def short_tasks(home: Fleet, tasks: int, rounds: int) -> dict[str, float]:
    """Wall time against the pool's, and milliseconds of CPU beside each task: medians of so many rounds."""
    steps = _steps()
    names = [f"w{number}" for number in range(WORKERS)]
    for name in names:
        _plant(home, name)
    ratios: list[float] = []
    beside: list[float] = []
    context = multiprocessing.get_context("spawn")  # this process has threads, which a fork would not bear
    with closing(_Pool(ProcessPoolExecutor(WORKERS, mp_context=context))) as pool:
        async with fleet(home, WORKERS, capacity=1) as (remote, results):
            processes = [psutil.Process(home.pid(name)) for name in (MANAGER, *names)]
            for number in range(rounds + 1):
                count = tasks if number else WARM_UP
                work = [(number * tasks + task, steps) for task in range(count)]
                theirs, due = await anyio.to_thread.run_sync(pool.run, work)
                before = _cpu(processes)
                ours = await _run(remote, results, work, due)
                if number:
                    ratios.append(ours / theirs)
                    beside.append((_cpu(processes) - before) / count * 1e3)
    return {
        "short_tasks_wall_of_pool": statistics.median(ratios),
        "short_tasks_cpu_beside_ms": statistics.median(beside),
    }


class _Pool:
    """The other side."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def run(self, work: Sequence[tuple[int, int]]) -> tuple[float, list[int]]:
        """Seconds, and the results in order."""
        start = time.perf_counter()
        results = list(self._executor.map(handle, work))
        return time.perf_counter() - start, results

    def close(self) -> None:
        """End its processes."""
        self._executor.shutdown()


async def _run(
    remote: Remote, results: Results, work: Sequence[tuple[int, int]], due: Sequence[int]
) -> float:
    """Seconds."""
    target = results.count + len(work)
    results.expect([pack(value) for value in due])
    start = time.perf_counter()
    await remote.submit([Group(KIND_NAME, [pack(list(one)) for one in work])], watch=True)
    await results.until(target)
    return time.perf_counter() - start


def _steps() -> int:
    """How many steps take about as long as a task is to take: the best of five, since others may be busy."""
    times: list[float] = []
    for number in range(5):
        start = time.thread_time()
        handle((number, CALIBRATION))
        times.append(time.thread_time() - start)
    return max(1, int(CALIBRATION * SECONDS / min(times)))


def _plant(home: Fleet, name: str) -> None:
    """Let a worker that has not been started find the kind."""
    place = home.home / name
    place.mkdir(mode=0o700, exist_ok=True)
    kinds = under(place).kinds
    kinds.mkdir(mode=0o700, parents=True)
    (kinds / f"{KIND_NAME}.py").write_text(KIND, encoding="utf-8")


def _cpu(processes: Sequence[psutil.Process]) -> float:
    """Seconds of these processes, without their children."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))
