"""Many at the door: a whole fleet that comes back at once (F25), and strangers that never finish (F27)."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.client import Connected, connect, join
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.invites import Invite, decode

from tests.support.chaos import Run, in_thread, percentile, town, until

JOINING = 16
"""Joins side by side."""
HANDSHAKE_SECONDS = 3.0
STATUS_SECONDS = 1.0
HELLO = bytes.fromhex("16030100c8010000c40303")
"""A TLS handshake begins like this."""


# ---- F25 ------------------------------------------------------------------------------------------------


async def reconnect_storm(run: Run) -> None:
    """The manager is killed and started again; all workers come back at once."""
    count = run.size["sessions"]
    async with town(run) as place:
        place.configure(leases={"ttl": 30, "heartbeat": 5, "dead_after": 15},
                        limits={"sessions": count + 50})  # fmt: skip
        manager = await place.manager()
        async with place.client() as client, anyio.create_task_group() as group:
            made = await client.remote.make_invite(count, 900.0)
            start = time.monotonic()
            members = await _enrol(decode(made.text, time.time()), run.folder / "members", count)
            run.figures["joins_per_s"] = round(count / (time.monotonic() - start))
            crowd = Crowd(run.rng, group)
            for identity in members:
                group.start_soon(crowd.keep, identity)
            first = await until(lambda: crowd.connected == count, "all are connected", 120)
            run.figures["first_connected_s"] = round(first, 2)
            await in_thread(manager.kill)
            await until(lambda: crowd.connected == 0, "all know that it is gone")
            manager = await place.manager()
            start, answers = time.monotonic(), []
            while crowd.connected < count:
                run.must(time.monotonic() - start < 180, f"only {crowd.connected} of {count} came back")
                asked = time.monotonic()
                status = await client.remote.status()
                answers.append(time.monotonic() - asked)
                await anyio.sleep(0.02)
            back = time.monotonic() - start
            status = await client.remote.status()
            run.must(status.workers == count, f"the manager knows {status.workers} of {count}")
            group.cancel_scope.cancel()
        run.figures |= {
            "sessions": count, "dials": crowd.dials,
        }  # fmt: skip
        # Both ends share two processors, and one process plays all the workers: an upper bound.
        run.within("status_answer_p99_s", percentile(answers, 99), STATUS_SECONDS)
        run.within("all_back_s", back, max(5.0, 120 * count / 10_000))


class Crowd:
    """Workers that do nothing but keep a session, with the waits of real ones."""

    def __init__(self, rng: random.Random, tasks: TaskGroup) -> None:
        self.rng, self.tasks = rng, tasks
        self.connected = self.dials = 0

    async def keep(self, identity: Identity) -> None:
        failures, fresh = 0, True
        while True:
            self.dials += 1
            try:
                connected = await connect(identity, _endpoints(identity.endpoints), fresh=fresh)
            except TaskMessengerError:
                failures += 1
                wait = min(30.0, 0.5 * 2.0 ** min(failures - 1, 16))
                await anyio.sleep(wait * (0.5 + self.rng.random()))
                continue
            failures, fresh = 0, False
            await self._serve(connected)
            await anyio.sleep(self.rng.random() * 0.5)

    async def _serve(self, connected: Connected) -> None:
        session = connected.session
        session.send(m.Holding([], []))
        self.connected += 1
        try:
            await session.run(_ignore)
        except TaskMessengerError:
            pass
        finally:
            self.connected -= 1
            with anyio.CancelScope(shield=True):
                await session.aclose()


async def _ignore(messages: list[m.Message]) -> None:
    """What a manager says to a worker without slots."""


async def _enrol(invite: Invite, folder: Path, count: int) -> list[Identity]:
    found: list[Identity] = []
    places = anyio.Semaphore(JOINING)
    folder.mkdir(mode=0o700)

    async def one(number: int) -> None:
        async with places:
            found.append(await join(invite, f"m{number}", folder / f"m{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return found


def _endpoints(texts: Sequence[str]) -> list[Address]:
    return [Address.parse(text) for text in texts]


# ---- F27 ------------------------------------------------------------------------------------------------


async def slow_strangers(run: Run) -> None:
    """Strangers send a byte now and then, and never finish; an honest worker joins meanwhile."""
    count, more = run.size["sockets"], 20
    async with town(run) as place:
        place.configure(limits={"handshake_seconds": HANDSHAKE_SECONDS})
        manager = await place.manager()
        async with place.client() as client:
            status = await client.remote.status()
            address = Address.parse(status.listening[0])
            made = await client.remote.make_invite(run.size["joins"], 900.0)
            invite = decode(made.text, time.time())
            held: list[float] = []
            async with anyio.create_task_group() as group:
                for number in range(count):
                    group.start_soon(_loiter, address, f"127.0.1.{1 + number // 60}", held)
                await anyio.sleep(0.5)
                crowded: list[float] = []
                for _ in range(64 + more):
                    group.start_soon(_loiter, address, "127.0.2.1", crowded)
                joins = [run.folder / f"h{number}" for number in range(run.size["joins"])]
                times = [await _timed(lambda f=folder: _honest(invite, f)) for folder in joins]
        at_once = sum(seconds < HANDSHAKE_SECONDS * 0.8 for seconds in crowded)
        run.must(len(held) == count, f"only {len(held)} of {count} were cut off")
        run.must(at_once >= more, f"{at_once} of {more} too many from one address were cut off at once")
        run.must("Traceback" not in manager.said(), "a traceback was written")
        run.figures |= {"sockets": count + 64 + more, "cut_at_once": at_once, "honest_joins": len(times)}
        run.within("cut_max_s", max(held), HANDSHAKE_SECONDS + 1)
        run.within("honest_join_max_s", max(times), 2.0)


async def _loiter(address: Address, source: str, held: list[float]) -> None:
    """Send a byte now and then until the other side hangs up; note after how many seconds it did."""
    stranger = socket.socket()
    stranger.setblocking(False)
    stranger.bind((source, 0))
    start = time.monotonic()
    try:
        await _dial(stranger, address)
        async with (
            await anyio.abc.SocketStream.from_socket(stranger) as stream,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_drip, stream)
            try:
                while await stream.receive():
                    pass
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            tasks.cancel_scope.cancel()
    finally:
        held.append(time.monotonic() - start)
        stranger.close()


async def _dial(stranger: socket.socket, address: Address) -> None:
    try:
        stranger.connect((address.host, address.port))
    except BlockingIOError:
        await anyio.wait_writable(stranger)


async def _drip(stream: anyio.abc.SocketStream) -> None:
    for byte in HELLO * 100:
        try:
            await stream.send(bytes([byte]))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        await anyio.sleep(1.0)


async def _honest(invite: Invite, folder: Path) -> None:
    identity = await join(invite, "honest", folder)
    connected = await connect(identity, _endpoints(identity.endpoints))
    await connected.session.aclose()


async def _timed(what: Callable[[], Awaitable[None]]) -> float:
    start = time.monotonic()
    await what()
    return time.monotonic() - start
