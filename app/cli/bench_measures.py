"""What `taskmessenger bench` measures, on a fleet of real processes with durable settings.

Every measure warms up first, is bounded in count and time, and returns plain numbers; how they are shown is
not its business. Rates count from the first submission to the last result in the submitter's hands.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
import psutil

from ..core.errors import TaskMessengerError, TimedOut
from ..core.lifecycle import TaskState
from ..handle import Group, Outcome
from ..remote import Remote, attach
from ..runtimes.payload import pack
from .connect import dialler
from .demo_fleet import MANAGER, Fleet

SUBMIT_SIZE: Final = 1_000
"""Tasks handed in with one call."""
MEASURE_SECONDS: Final = 300.0
"""No single measure may take longer."""
WARM_UP: Final = 2_000
LARGE: Final = 1024 * 1024
"""Bytes of a large payload."""
LARGE_IN_FLIGHT: Final = 12
HEAD: Final = 64
"""Bytes by which results are looked up that are then compared as a whole."""
BENCH_KIND: Final = "echo"
CAPACITY: Final = 4
"""Slots of each worker, unless a measure wants others."""


class WrongResult(TaskMessengerError):
    """A task failed, or brought something else than it should: no figure is worth having then."""

    code = "wrong_result"


class Results:
    """Compares results with what is due as they come, and lets a measure wait for a number of them."""

    def __init__(self) -> None:
        self.count = 0
        self._wrong = ""
        self._due: dict[bytes, list[bytes]] = {}
        """By their first bytes: a whole mebibyte takes long to look up. Those that begin alike are alike."""
        self._wanted = 0
        self._reached = anyio.Event()

    def expect(self, results: Sequence[bytes]) -> None:
        """These are to come, in any order and each as often as it is named."""
        due = self._due
        for result in results:
            due.setdefault(result[:HEAD], []).append(result)

    def take(self, outcomes: list[Outcome]) -> None:
        """Outcomes have arrived; `Remote.on_outcomes`."""
        self.count += len(outcomes)
        due = self._due
        for one in outcomes:
            result = one.result
            if result is None:
                why = f": {one.error.message}" if one.error else " without a result"
                self._wrong = f"task {one.id} ended as {TaskState(one.state).name.lower()}{why}"
                continue
            same = due.get(result[:HEAD])
            if not same or same[-1] != result:
                self._wrong = f"task {one.id} brought {len(result)} bytes that nobody waits for"
                continue
            same.pop()
            if not same:
                del due[result[:HEAD]]
        if self.count >= self._wanted or self._wrong:
            self._reached.set()

    async def until(self, count: int) -> None:
        """Wait until so many have arrived in all.

        Raises:
            WrongResult: one of them is not what was due. TimedOut: they do not come.
        """
        self._wanted, self._reached = count, anyio.Event()
        with anyio.move_on_after(MEASURE_SECONDS):
            if self.count < count and not self._wrong:
                await self._reached.wait()
            if self._wrong:
                raise WrongResult(self._wrong)
            return
        raise TimedOut(f"only {self.count} of {count} results came within {MEASURE_SECONDS:g} s")


@asynccontextmanager
async def fleet(
    fleet: Fleet, workers: int, capacity: int = CAPACITY
) -> AsyncIterator[tuple[Remote, Results]]:
    """A manager with so many workers, a session with it, and its results."""
    await fleet.start_manager()
    async with attach(dialler(fleet.paths)) as remote:
        if workers:
            made = await remote.make_invite(workers, 600.0)
            for number in range(workers):
                words = ["--capacity", str(capacity)]
                fleet.start_worker(f"w{number}", made.text, words)
            await _connected(fleet, remote, workers)
        results = Results()
        remote.on_outcomes = results.take
        yield remote, results


async def _connected(fleet: Fleet, remote: Remote, workers: int) -> None:
    with anyio.fail_after(60):
        while (await remote.status()).workers < workers:
            fleet.check()
            await anyio.sleep(0.02)


async def trivial(remote: Remote, results: Results, tasks: int) -> float:
    """Tasks per second of a function that returns its integer argument."""
    await _echo(remote, results, WARM_UP)
    start = time.perf_counter()
    await _echo(remote, results, tasks)
    return tasks / (time.perf_counter() - start)


async def _echo(remote: Remote, results: Results, tasks: int) -> None:
    target = results.count + tasks
    for first in range(0, tasks, SUBMIT_SIZE):
        payloads = [pack(number) for number in range(first, min(first + SUBMIT_SIZE, tasks))]
        results.expect(payloads)
        await remote.submit([Group(BENCH_KIND, payloads)], watch=True)
    await results.until(target)


async def round_trip(remote: Remote, results: Results, count: int) -> dict[str, float]:
    """Milliseconds from submit to result of one task at a time."""
    payload = pack(1)
    times: list[float] = []
    for number in range(count + 50):
        results.expect([payload])
        start = time.perf_counter()
        target = results.count + 1
        await remote.submit([Group(BENCH_KIND, [payload])], watch=True)
        await results.until(target)
        if number >= 50:  # noqa: PLR2004 - those before were the warm-up
            times.append(time.perf_counter() - start)
    return {
        "round_trip_p50_ms": percentile(times, 50) * 1e3,
        "round_trip_p99_ms": percentile(times, 99) * 1e3,
    }


async def waits(remote: Remote, results: Results, tasks: int) -> float:
    """Tasks per second that each wait 10 ms."""
    target = results.count + tasks
    payloads = [pack(0.01)] * tasks
    results.expect(payloads)
    start = time.perf_counter()
    await remote.submit([Group("wait", payloads)], watch=True)
    await results.until(target)
    return tasks / (time.perf_counter() - start)


async def large(remote: Remote, results: Results, count: int) -> float:
    """MB/s in each direction of 1 MiB payloads that come back as results."""
    payloads = [pack(os.urandom(LARGE)) for _ in range(8)]
    await _flow(remote, results, payloads, 16)
    start = time.perf_counter()
    await _flow(remote, results, payloads, count)
    return count * LARGE / 1e6 / (time.perf_counter() - start)


async def _flow(remote: Remote, results: Results, payloads: Sequence[bytes], count: int) -> None:
    before = results.count
    for number in range(count):
        await results.until(before + number - LARGE_IN_FLIGHT + 1)
        payload = payloads[number % len(payloads)]
        results.expect([payload])
        await remote.submit([Group(BENCH_KIND, [payload])], watch=True)
    await results.until(before + count)


async def queued_bytes(fleet: Fleet, remote: Remote, tasks: int) -> float:
    """Memory of the manager for one queued task, in bytes."""
    await remote.command("pause", scope="all")
    manager = psutil.Process(fleet.pid(MANAGER))
    await queue(remote, 1_000)
    before = manager.memory_info().rss
    await queue(remote, tasks)
    await anyio.sleep(1.0)
    return float(manager.memory_info().rss - before) / tasks


async def queue(remote: Remote, tasks: int) -> None:
    """Hand in so many tasks that nobody waits for."""
    for first in range(0, tasks, SUBMIT_SIZE):
        payloads = [pack(number) for number in range(first, first + min(SUBMIT_SIZE, tasks - first))]
        await remote.submit([Group(BENCH_KIND, payloads)])


async def idle(fleet: Fleet, names: Sequence[str], seconds: float) -> float:
    """Share of one core that these processes use while nothing happens, in percent."""
    processes = [psutil.Process(fleet.pid(name)) for name in names]
    await anyio.sleep(2.0)
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    await anyio.sleep(seconds)
    return 100 * (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / seconds


async def first_result(fleet: Fleet) -> dict[str, float]:
    """Seconds from nothing to the first result, and to a manager that answers."""
    start = time.perf_counter()
    await fleet.start_manager()
    ready = time.perf_counter() - start
    async with attach(dialler(fleet.paths)) as remote:
        results = Results()
        remote.on_outcomes = results.take
        made = await remote.make_invite(1, 600.0)
        fleet.start_worker("w0", made.text)
        results.expect([pack(1)])
        await remote.submit([Group(BENCH_KIND, [pack(1)])], watch=True)
        await results.until(1)
    return {"manager_ready_s": ready, "first_result_s": time.perf_counter() - start}


async def many_sessions(fleet: Fleet, sessions: int, tasks: int) -> float:
    """Trivial tasks per second when so many worker sessions share them."""
    await fleet.start_manager()
    async with attach(dialler(fleet.paths)) as remote:
        made = await remote.make_invite(sessions, 600.0)
        with _swarm(made.text, sessions):
            with anyio.fail_after(MEASURE_SECONDS):
                while (await remote.status()).workers < sessions:
                    await anyio.sleep(0.1)
            results = Results()
            remote.on_outcomes = results.take
            return await trivial(remote, results, tasks)


@contextmanager
def _swarm(invite: str, sessions: int) -> Iterator[None]:
    """A process with so many sessions, for as long as the block lasts."""
    words = [sys.executable, "-m", "taskmessenger.cli.bench_swarm", str(sessions)]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        try:
            assert child.stdin is not None
            child.stdin.write(invite.encode() + b"\n")
            child.stdin.flush()
            yield
        finally:
            child.kill()


def version_ms() -> float:
    """Milliseconds of `taskmessenger --version`: the best of five, since others may be busy."""
    times: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "taskmessenger", "--version"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]
