"""Real nodes behind a `NodeHandle`: a manager and a worker, each on a thread of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from msgspec.structs import replace
from taskmessenger import hosted
from taskmessenger.config.model import Drain, ManagerConfig, Transport, WorkerConfig
from taskmessenger.handle.guest import Guest
from taskmessenger.net.client import connect_locally
from taskmessenger.paths import Paths, under

BOUND = 30.0
"""Seconds after which a test has failed; nothing takes so long when it works."""


@dataclass
class Nodes:
    """A fleet of one manager and one worker."""

    manager: Guest
    worker: Guest
    paths: Paths


def manager_config() -> ManagerConfig:
    return replace(
        ManagerConfig(),
        name="lab",
        transport=Transport(listen=("tcp://127.0.0.1:0",)),
        drain=Drain(deadline=0.2),
    )


@contextmanager
def a_manager(home: Path) -> Iterator[tuple[Guest, Paths]]:
    """A manager on its own thread, until the block ends."""
    paths = under(home / "manager")
    with hosted.manager(manager_config(), paths, {"name": "command line"}) as manager:
        yield manager, paths


@contextmanager
def a_fleet(home: Path) -> Iterator[Nodes]:
    """A manager and a worker that has joined it."""
    with a_manager(home) as (manager, paths):
        text = anyio.run(manager.make_invite, 1, 60.0, "worker")[0]
        config = replace(WorkerConfig(), name="w-one", capacity=4)
        with hosted.worker(config, under(home / "worker"), text, {}) as worker:
            anyio.run(until, lambda: manager.snapshot().workers and manager.snapshot().fleet.workers)
            yield Nodes(manager, worker, paths)


def from_elsewhere(paths: Paths, *, read_only: bool = False) -> hosted.Hosted:
    """The same manager through its local socket."""
    return hosted.remote(lambda: connect_locally(paths.socket), read_only=read_only)


async def until(condition: Callable[[], object], bound: float = BOUND) -> None:
    """Wait for something that can be seen."""
    with anyio.fail_after(bound):
        while not condition():
            await anyio.sleep(0.02)


async def until_so(condition: Callable[[], Awaitable[object]], bound: float = BOUND) -> None:
    """The same, for what has to be asked."""
    with anyio.fail_after(bound):
        while not await condition():
            await anyio.sleep(0.02)
