"""Drives HyperQueue: one job of so many Python functions, or of so many `true`."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import machine
import measure

START_SECONDS = 60.0
VARIANTS = ("functions", "true")
LOOK_SECONDS = 0.001
"""How often is asked whether a job is done: at first, and later every hundredth of the time it has taken."""
LOOK_CEILING = 0.02


def same(number: int) -> int:
    return number


class _Looked(Exception):
    """Leaves HyperQueue's own waiting, which looks only once a second."""


class Fleet(measure.OneByOne):
    def __init__(self, where: Path, variant: str) -> None:
        from hyperqueue import Client
        from hyperqueue.task.function import PythonEnv

        self._client = Client(where, python_env=PythonEnv(python_bin=sys.executable))
        self._functions = variant == "functions"

    def run(self, first: int, count: int) -> None:
        from hyperqueue import Job

        job = Job()
        for number in range(first, first + count):
            if self._functions:
                job.function(same, args=(number,), stdout=None, stderr=None)
            else:
                job.program(["true"], stdout=None, stderr=None)
        submitted = self._client.submit(job)
        measure.expect(self._finished(submitted.id), count)
        self._client.forget(submitted)

    def _finished(self, job: int) -> int:
        """Wait for the end of a job; how many of its tasks succeeded."""
        found: dict[str, int] = {}

        def look(jobs: dict[int, dict[str, int]]) -> None:
            found.update(jobs[job])
            raise _Looked

        start = time.monotonic()
        while not found.get("completed"):
            with contextlib.suppress(_Looked):
                self._client.connection.wait_for_jobs([job], look)
            time.sleep(min(LOOK_CEILING, max(LOOK_SECONDS, (time.monotonic() - start) / 100)))
        return found["finished"]

    def one(self, number: int) -> None:
        self.run(number, 1)


def peer(variant: str) -> measure.Peer:
    # No bar of its own in the log.
    os.environ["TQDM_DISABLE"] = "1"

    @contextlib.contextmanager
    def fleet(workers: int, folder: Path) -> Iterator[Fleet]:
        host = [
            sys.executable,
            str(Path(__file__).with_name("hyperqueue_host.py")),
            str(folder),
            str(workers),
        ]
        with machine.process(host, folder / "host.log") as child:
            machine.until((folder / "ready").exists, START_SECONDS, "HyperQueue starts", child)
            yield Fleet(folder, variant)

    functions = variant == "functions"
    return measure.Peer(
        name=f"hyperqueue-{variant}",
        title="HyperQueue, Python functions" if functions else "HyperQueue, `true`",
        versions={"hyperqueue": version("hyperqueue")},
        durability="none: no journal (its Python package cannot start one)",
        batching="client submits one job with all tasks; a process, "
        + ("and a Python interpreter, " if functions else "")
        + "for each task",
        transport="TCP, encrypted with shared keys",
        result="success only: HyperQueue brings no values back",
        fleet=fleet,
    )


if __name__ == "__main__":
    options = measure.arguments(VARIANTS)
    measure.report(lambda: peer(options.variant), options)
