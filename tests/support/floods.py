"""Floods of one member, in a process of its own, against a real manager; and what that does meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil
from anyio.to_thread import run_sync as in_thread
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.client import join
from taskmessenger.net.framing import FrameWriter
from taskmessenger.net.security.identity import Identity, load
from taskmessenger.net.security.invites import decode
from taskmessenger.remote import attach
from taskmessenger.runtimes.payload import pack

from tests.support.hostile import Peer, a_guest
from tests.support.processes import Fleet, Process, dialler

MIB = 1 << 20
TASKS = 240
SLOTS = 8
TASK_SECONDS = 0.02
BEGUN = b"begun\n"
SAMPLE_SECONDS = 0.05
QUESTIONED = 100_000
"""Ids in one message of a client: less than it may name."""
ROOT = Path(__file__).parents[2]


@dataclass
class Place:
    """A manager with an honest worker, and who attacks it."""

    fleet: Fleet
    manager: Process
    folder: Path
    address: Address
    answers: list[float] = field(default_factory=list)
    """Seconds that `pool status` took at the local socket, during `watched`."""
    rss: list[int] = field(default_factory=list)

    async def member(self, role: str, name: str) -> Identity:
        text = await in_thread(self.fleet.invite, role)
        return await join(decode(text, time.time()), name, self.folder / name)

    def rss_now(self) -> int:
        return int(psutil.Process(self.manager.pid).memory_info().rss)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask the manager and look at its memory all the time."""
        self.answers, self.rss = [], [self.rss_now()]

        async def ask() -> None:
            async with attach(dialler(self.fleet.paths), patience=30.0) as remote:
                while True:
                    start = time.monotonic()
                    await remote.status()
                    self.answers.append(time.monotonic() - start)
                    await anyio.sleep(SAMPLE_SECONDS)

        async def weigh() -> None:
            while True:
                self.rss.append(self.rss_now())
                await anyio.sleep(SAMPLE_SECONDS)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            group.start_soon(weigh)
            yield
            group.cancel_scope.cancel()

    async def work(self, tasks: int = TASKS) -> float:
        """So many honest tasks that take their time and no processor, all of them done; tasks per second."""
        async with attach(dialler(self.fleet.paths), patience=30.0) as remote:
            start = time.monotonic()
            ids = (await remote.submit([Group("wait", [pack(TASK_SECONDS)] * tasks)])).ids
            await remote.wait(ids)
            seconds = time.monotonic() - start
            assert {one.state for one in await remote.outcomes(ids)} == {TaskState.SUCCEEDED}
        return tasks / seconds

    @asynccontextmanager
    async def flood(self, what: str, identity: Identity, **how: Any) -> AsyncIterator[None]:
        """A process that does this to the manager, for the block; it has begun when that is entered.

        It takes what processor the fleet leaves: an attacker has a machine of its own.
        """
        order = {"what": what, "folder": str(identity.folder), "role": identity.role,
                 "address": str(self.address), "how": how}  # fmt: skip
        command = ["nice", "-n", "19", sys.executable, "-m", "tests.support.floods", json.dumps(order)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert await in_thread(process.stdout.readline) == BEGUN
                yield
                assert process.poll() is None, "the flood has ended by itself"
            finally:
                process.kill()


async def a_place(fleet: Fleet, folder: Path) -> Place:
    manager = await in_thread(fleet.manager)
    await in_thread(fleet.worker, "fern", "--capacity", str(SLOTS))
    folder.mkdir(exist_ok=True)
    listening = await in_thread(fleet.ask, _listening)
    return Place(fleet, manager, folder, Address.parse(listening))


async def _listening(remote) -> str:
    return (await remote.status()).listening[0]


# ---- what they send -------------------------------------------------------------------------------------


def columns(kind: str, rows: int) -> bytes:
    """A message of a worker with endless columns."""
    match kind:
        case "Holding":
            return m.pack(m.Holding([5] * rows, [1] * rows))
        case "Started":
            return m.pack(m.Started([5] * rows, [1] * rows))
        case "Broke":
            return b"\x92\x18\xdd" + rows.to_bytes(4, "big") + b"\x95\x05\x01\x01\x01\xc0" * rows
        case "Finished":
            head = rows.to_bytes(4, "big")
            return b"\x95\x17" + b"".join(
                b"\xdd" + head + one * rows for one in (b"\x05", b"\x01", b"\xc4\x00", b"\x01")
            )
        case _:
            return msgspec.msgpack.encode([40, 1, [["echo", [b""] * rows]]])


def unfinished(size: int) -> bytes:
    """A message that lacks its end."""
    writer, parts = FrameWriter(), []
    writer.put(m.pack(m.Submit(1, [Group("echo", [bytes(size)])])))
    while part := writer.take(MIB):
        parts.append(part)
    return b"".join(parts)[: -64 * 1024]


# ---- the one who sends it, in a process of its own ------------------------------------------------------


class Flooder:
    """One member, without any manners."""

    def __init__(self, address: Address, identity: Identity) -> None:
        self.address, self.identity = address, identity
        self.begun = False

    async def again(self, say: Callable[[Peer], Awaitable[None]], pause: float = 0.01) -> None:
        """Connect and say it, again and again, however it ends."""
        while True:
            with suppress(TaskMessengerError, AssertionError, anyio.BrokenResourceError, TimeoutError):
                async with a_guest(self, self.identity) as peer:  # type: ignore[arg-type]
                    if not self.begun:
                        self.begun = True
                        print(BEGUN.decode(), end="", flush=True)
                    await say(peer)
            await anyio.sleep(pause)

    async def columns(self, kind: str) -> None:
        """Endless columns of numbers."""
        body = columns(kind, 15_000_000 if kind == "Submit" else 3_000_000)

        async def say(peer: Peer) -> None:
            writer = FrameWriter()
            writer.put(body)
            while part := writer.take(MIB // 4):
                await peer.stream.send(part)
            await peer.closed()

        await self.again(say)

    async def unfinished(self, sessions: int) -> None:
        """Begin large messages in many sessions, and give signs of life for ever."""
        data = unfinished(60 * MIB)

        async def say(peer: Peer) -> None:
            for start in range(0, len(data), MIB // 4):
                await peer.stream.send(data[start : start + MIB // 4])
            await _live(peer)

        async with anyio.create_task_group() as group:
            for _ in range(sessions):
                group.start_soon(self.again, say, 0.2)

    async def unread(self, ids: list[int], sessions: int) -> None:
        """Ask for large results in many sessions, and read nothing."""

        async def say(peer: Peer) -> None:
            await peer.say(*(m.GetOutcomes(n, ids) for n in range(1, 50)))
            await _live(peer)

        async with anyio.create_task_group() as group:
            for _ in range(sessions):
                group.start_soon(self.again, say, 0.2)

    async def chatter(self) -> None:
        """Small messages, as many as go."""
        writer, data = FrameWriter(), b""
        for number in range(5_000):
            writer.put(m.pack(m.Steered(number)))
        while part := writer.take(MIB):
            data += part

        async def say(peer: Peer) -> None:
            while True:
                await peer.stream.send(data)

        await self.again(say)

    async def questions(self) -> None:
        """Watch, ask for and cancel as many tasks as one message may name, most of which there are not."""
        ids, none = list(range(1, QUESTIONED)), list(range(1 << 40, (1 << 40) + QUESTIONED))
        about = [m.pack(m.Watch(1, ids)), m.pack(m.GetOutcomes(2, ids)), m.pack(m.Command(3, "cancel", none))]

        async def say(peer: Peer) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(peer.closed, 3_600.0)
                for number in range(1_000):
                    await peer.say_bodies(about[number % len(about)])
                    await anyio.sleep(0.02)

        await self.again(say)


async def _live(peer: Peer) -> None:
    """Beat for as long as the manager listens."""
    while True:
        await peer.stream.send(BEAT)
        await anyio.sleep(0.5)


BEAT = b"\0\0\0\x04\1\0\0\0\x93\x01\x01\x00"


def main() -> None:
    """What to send, by whom, to whom: in the arguments, as JSON."""
    order = json.loads(sys.argv[1])
    identity = load(Path(order["folder"]), order["role"])
    flooder = Flooder(Address.parse(order["address"]), identity)
    anyio.run(partial(getattr(flooder, order["what"]), **order["how"]))


if __name__ == "__main__":
    main()
