"""Drives Task Messenger: a manager and its workers as processes, everything durable, over mutual TLS."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.from_thread
import machine
import measure

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from taskmessenger.handle import Outcome
    from taskmessenger.remote import Remote

START_SECONDS: Final = 60.0
PER_REQUEST: Final = 1_000
"""Tasks that the client hands in at once."""
KIND: Final = "echo"
INVITE_SECONDS: Final = 600.0


class Fleet:
    """The client. It lives in an event loop of another thread; one task's round trip is timed over there."""

    def __init__(self, portal: BlockingPortal, remote: Remote) -> None:
        self._portal, self._remote = portal, remote
        self._ended: dict[int, bytes | None] = {}
        self._before: dict[int, bytes | None] = {}
        self._wanted = 0
        self._complete = anyio.Event()
        remote.on_outcomes = self._take

    def run(self, first: int, count: int) -> None:
        self._portal.call(self._run, first, count)

    def one(self, number: int) -> None:
        self.run(number, 1)

    def round_trips(self, first: int, count: int) -> list[float]:
        return self._portal.call(self._round_trips, first, count)

    async def _round_trips(self, first: int, count: int) -> list[float]:
        clock, took = time.perf_counter, []
        for number in range(first, first + count):
            start = clock()
            await self._run(number, 1)
            took.append(clock() - start)
        return took

    async def _run(self, first: int, count: int) -> None:
        from msgpack import packb, unpackb
        from taskmessenger.handle import Group

        self._before, self._ended, self._wanted = self._ended, {}, count
        self._complete = anyio.Event()
        ids: list[int] = []
        for start in range(first, first + count, PER_REQUEST):
            numbers = range(start, min(first + count, start + PER_REQUEST))
            ids += (await self._remote.submit([Group(KIND, [packb(n) for n in numbers])], watch=True)).ids
        await self._complete.wait()
        results = [self._ended.get(each) for each in ids]
        values = [None if result is None else unpackb(result) for result in results]
        measure.expect(values, list(range(first, first + count)))

    def _take(self, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            # One may be told twice, the second time when the next run has begun.
            if one.id not in self._before:
                self._ended[one.id] = one.result
        if len(self._ended) >= self._wanted:
            self._complete.set()


@contextlib.contextmanager
def fleet(workers: int, folder: Path) -> Iterator[Fleet]:
    from taskmessenger import paths

    home = folder / "manager"
    socket = paths.under(home).socket
    manager = [sys.executable, "-m", "taskmessenger", "--role", "manager", "--no-ui"]
    manager += ["--listen", "tcp://127.0.0.1:0"]
    worker = [sys.executable, "-m", "taskmessenger", "--role", "worker", "--no-ui"]
    worker += ["--capacity", "1", "--join", "-"]
    with contextlib.ExitStack() as stack:
        env = {paths.HOME_VARIABLE: str(home)}
        child = stack.enter_context(machine.process(manager, folder / "manager.log", env=env))
        machine.until(socket.exists, START_SECONDS, "the manager starts", child)
        portal = stack.enter_context(
            anyio.from_thread.start_blocking_portal("asyncio", {"use_uvloop": _has_uvloop()})
        )
        remote = stack.enter_context(_attached(portal, socket))
        invite = portal.call(remote.make_invite, workers, INVITE_SECONDS).text
        children = [child]
        for number in range(workers):
            env = {paths.HOME_VARIABLE: str(folder / f"worker-{number}")}
            argv = [*worker, "--name", f"worker-{number}"]
            log = folder / f"worker-{number}.log"
            children.append(stack.enter_context(machine.process(argv, log, env=env, text=invite + "\n")))

        def all_here() -> bool:
            return portal.call(remote.status).workers == workers

        machine.until(all_here, START_SECONDS, "the workers join", *children)
        yield Fleet(portal, remote)


def _attached(portal: BlockingPortal, socket: Path) -> contextlib.AbstractContextManager[Remote]:
    from taskmessenger.net.client import connect_locally
    from taskmessenger.remote import attach

    return portal.wrap_async_context_manager(attach(lambda: connect_locally(socket)))


def _has_uvloop() -> bool:
    with contextlib.suppress(PackageNotFoundError):
        return bool(version("uvloop"))
    return False


def peer() -> measure.Peer:
    from taskmessenger import __version__

    return measure.Peer(
        name="taskmessenger",
        title="Task Messenger",
        versions={"task-messenger": __version__, **({"uvloop": version("uvloop")} if _has_uvloop() else {})},
        durability="submission and outcome are fsynced before they are acknowledged, so they survive "
        "kill -9 of the manager; one fsync covers all that has gathered",
        batching=f"client submits {PER_REQUEST:,} tasks a request; several leases or outcomes share a frame",
        transport="workers: TCP with mutual TLS; client: the manager's local socket",
        result="values",
        fleet=fleet,
    )


if __name__ == "__main__":
    measure.report(peer, measure.arguments())
