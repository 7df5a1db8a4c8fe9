"""Drives Dask: one scheduler and its workers as processes, `client.map` and `gather`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import machine
import measure

START_SECONDS = 60.0
SATURATION = {"default": None, "saturated": "inf"}
TITLES = {"default": "Dask, default", "saturated": "Dask, `worker-saturation: inf`"}


def same(number: int) -> int:
    return number


class Fleet(measure.OneByOne):
    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, first: int, count: int) -> None:
        numbers = range(first, first + count)
        measure.expect(self._client.gather(self._client.map(same, numbers)), list(numbers))

    def one(self, number: int) -> None:
        measure.expect(self._client.submit(same, number).result(), number)


def peer(variant: str) -> measure.Peer:
    @contextlib.contextmanager
    def fleet(workers: int, folder: Path) -> Iterator[Fleet]:
        from distributed import Client

        env = {"DASK_TEMPORARY_DIRECTORY": str(folder)}
        if wanted := SATURATION[variant]:
            env["DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION"] = wanted
        where = folder / "scheduler.json"
        scheduler = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0"]
        scheduler += ["--no-dashboard", "--no-jupyter", "--scheduler-file", str(where)]
        worker = [sys.executable, "-m", "dask", "worker", "--scheduler-file", str(where)]
        worker += [
            "--host",
            "127.0.0.1",
            "--nworkers",
            "1",
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
        ]
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(machine.process(scheduler, folder / "scheduler.log", env=env))]
            machine.until(where.exists, START_SECONDS, "Dask's scheduler starts", *children)
            for number in range(workers):
                log = folder / f"worker-{number}.log"
                children.append(stack.enter_context(machine.process(worker, log, env=env)))
            client = stack.enter_context(Client(scheduler_file=str(where), timeout=START_SECONDS))
            client.wait_for_workers(workers, timeout=START_SECONDS)
            yield Fleet(client)

    return measure.Peer(
        name="dask" if variant == "default" else f"dask-{variant}",
        title=TITLES[variant],
        versions={"distributed": version("distributed")},
        durability="none: tasks and results are in memory",
        batching="client sends the whole `map` at once; messages are coalesced for 2 to 10 ms",
        transport="TCP, no authentication",
        result="values",
        fleet=fleet,
    )


if __name__ == "__main__":
    options = measure.arguments(tuple(SATURATION))
    measure.report(lambda: peer(options.variant), options)
