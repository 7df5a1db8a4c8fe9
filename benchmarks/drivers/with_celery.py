"""Drives Celery with Redis as broker and result store; solo workers: one process, one thread each."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import celery_tasks
import machine
import measure
from celery import group

START_SECONDS = 60.0
CHUNK = 100
RESULT_SECONDS = 300.0
VARIANTS = ("group", "chunks")
BATCHING = {
    "group": "none: one message a task",
    "chunks": f"by the user: one message, and one unit of work, for {CHUNK} calls",
}


class Fleet(measure.OneByOne):
    def __init__(self, same: Any) -> None:
        self._same = same

    def run(self, first: int, count: int) -> None:
        numbers = range(first, first + count)
        handed_in = group(self._same.s(number) for number in numbers)()
        measure.expect(handed_in.get(timeout=RESULT_SECONDS), list(numbers))

    def one(self, number: int) -> None:
        measure.expect(self._same.delay(number).get(timeout=RESULT_SECONDS), number)


class Chunked(Fleet):
    def run(self, first: int, count: int) -> None:
        numbers = range(first, first + count)
        handed_in = self._same.chunks(zip(numbers, strict=True), CHUNK)()
        results = chain.from_iterable(handed_in.get(timeout=RESULT_SECONDS))
        measure.expect(list(results), list(numbers))


def redis_server() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise machine.Failed("redis-server is missing: install it (Debian: apt-get install redis-server)")
    return found


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis of our own; its address."""
    import redis as client

    port = machine.free_port()
    argv = [redis_server(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    argv += ["--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no"]
    with machine.process(argv, folder / "redis.log") as server:
        asked = client.Redis(port=port)

        def answers() -> bool:
            with contextlib.suppress(client.exceptions.ConnectionError):
                return bool(asked.ping())
            return False

        machine.until(answers, START_SECONDS, "Redis starts", server)
        yield f"redis://127.0.0.1:{port}/0"


def peer(variant: str) -> measure.Peer:
    @contextlib.contextmanager
    def fleet(workers: int, folder: Path) -> Iterator[Fleet]:
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(redis(folder))
            app = celery_tasks.make(address)
            env = {"PYTHONPATH": str(Path(__file__).parent), "BENCH_REDIS": address}
            for number in range(workers):
                argv = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "solo"]
                argv += ["--concurrency", "1", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"]
                argv += ["--hostname", f"worker{number}@localhost"]
                child = machine.process(argv, folder / f"worker-{number}.log", env=env)
                stack.enter_context(child)

            def all_answer() -> bool:
                return len(app.control.ping(timeout=0.5)) == workers

            machine.until(all_answer, START_SECONDS, "Celery's workers start")
            stack.callback(app.close)
            yield (Fleet if variant == "group" else Chunked)(app.tasks["same"])

    shown = subprocess.run([redis_server(), "--version"], capture_output=True, text=True, check=True).stdout
    return measure.Peer(
        name="celery" if variant == "group" else f"celery-{variant}",
        title="Celery + Redis, `group`" if variant == "group" else f"Celery + Redis, `chunks({CHUNK})`",
        versions={"celery": version("celery"), "redis-server": shown.partition("v=")[2].partition(" ")[0]},
        durability="queue and results in Redis' append-only file, fsync every second; a task that a worker "
        "has taken is lost with it",
        batching=BATCHING[variant],
        transport="TCP to Redis, no authentication",
        result="values",
        fleet=fleet,
        round_trips=variant == "group",
    )


if __name__ == "__main__":
    options = measure.arguments(VARIANTS)
    measure.report(lambda: peer(options.variant), options)
