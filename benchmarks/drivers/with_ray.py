"""Drives Ray: a local node with so many CPUs, `ray.get` of a list of remote calls."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import measure

STORE_BYTES = 200_000_000
"""Of shared memory; the results are small and do not go there."""


def same(number: int) -> int:
    return number


class Fleet(measure.OneByOne):
    def __init__(self, ray: Any) -> None:
        self._ray, self._same = ray, ray.remote(same)

    def run(self, first: int, count: int) -> None:
        numbers = range(first, first + count)
        call = self._same.remote
        measure.expect(self._ray.get([call(number) for number in numbers]), list(numbers))

    def one(self, number: int) -> None:
        measure.expect(self._ray.get(self._same.remote(number)), number)


@contextlib.contextmanager
def fleet(workers: int, folder: Path) -> Iterator[Fleet]:
    import ray

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=STORE_BYTES,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder),
    )
    try:
        yield Fleet(ray)
    finally:
        ray.shutdown()


def peer() -> measure.Peer:
    return measure.Peer(
        name="ray",
        title="Ray",
        versions={"ray": version("ray")},
        durability="none: the queue is in the client's memory",
        batching="one call a task, sent to the workers without the server on the way",
        transport="gRPC over TCP, and shared memory; no authentication",
        result="values",
        fleet=fleet,
    )


if __name__ == "__main__":
    measure.report(peer, measure.arguments())
