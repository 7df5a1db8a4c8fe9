"""Bare streams between two processes, over TCP and over ZeroTier: traffic both ways, its gaps, an idle node.

Started by `taskmessenger bench --transport zerotier` inside its namespace, as the end that echoes and as the
one that measures. There is no TLS and no session here: what they cost is in the figures of tasks.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from ..core.errors import TimedOut, Unreachable
from ..net.address import Address
from ..net.transport import transport_for
from ..net.zerotier import identity as identities
from ..net.zerotier.library import load
from ..net.zerotier.network import private_network
from ..net.zerotier.node import NodeSettings, ensure
from ..net.zerotier.roots import own_roots
from ..paths import private_directory
from .namespace import HERE, library

PORT: Final = 7721
NODE_PORT: Final = 7722
WRITES: Final = {"1k": 1_000, "64k": 64 * 1024}
"""Sizes of the writes that are measured, by the name of their rows."""
PIECE: Final = 1 << 20
START_SECONDS: Final = 60.0
DIAL_TRIES: Final = 3
"""The first packets between two new nodes may be lost."""
Figures: TypeAlias = dict[str, float]


async def measure(folder: Path, transport: str, seconds: float, idle: float) -> Figures:
    """All rows of one transport. The ends are processes of their own, so that a node is alone in its process.

    Raises:
        TimedOut: they do not come up, or do not come to an end.
    """
    limit = START_SECONDS + len(WRITES) * (seconds + START_SECONDS) + idle
    with _end("serve", str(folder), transport) as server:
        try:
            with anyio.fail_after(START_SECONDS):
                there = await anyio.to_thread.run_sync(_line, server, abandon_on_cancel=True)
            with _end("measure", str(folder), there, str(seconds), str(idle)) as client:
                try:
                    with anyio.fail_after(limit):
                        found = await anyio.to_thread.run_sync(_line, client, abandon_on_cancel=True)
                finally:
                    client.kill()
        except TimeoutError as error:
            raise TimedOut("the ends of the streams do not answer") from error
        finally:
            server.kill()
    figures: Figures = json.loads(found)
    return figures


def _end(*words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", __name__, *words]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise TimedOut(f"an end of the streams ended with {process.wait()}")
    return line.strip()


# The ends


async def _node(folder: Path, name: str, manager: str) -> str:
    """Have the node of this name run, in the network of the manager's; answers with its public identity."""
    loaded = await anyio.to_thread.run_sync(load, library())
    own = await anyio.to_thread.run_sync(identities.ensure, folder / f"{name}-identity", loaded.library)
    root = manager or own.public
    settings = NodeSettings(
        home=private_directory(folder / f"{name}-libzt"),
        identity=own,
        network=private_network(root.partition(":")[0]),
        roots=own_roots([(root, [f"{HERE}/{NODE_PORT}"])]),
        port=0 if manager else NODE_PORT,
    )
    await ensure(settings, loaded)
    return own.public


async def serve(folder: Path, transport: str) -> None:
    """Say where, then echo until standard input ends."""
    text, public = f"tcp://127.0.0.1:{PORT}", ""
    if transport != "tcp":
        public = await _node(folder, "server", "")
        node = public.partition(":")[0]
        text = f"zt://{private_network(node)}/{node}:{PORT}"
    address = Address.parse(text)
    listener = await transport_for(address).listen(address)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, _echo)
        print(f"{address} {public}", flush=True)  # noqa: T201  for the process that started this one
        await anyio.to_thread.run_sync(sys.stdin.read)
        tasks.cancel_scope.cancel()


async def _echo(stream: ByteStream) -> None:
    async with stream:
        while True:
            try:
                await stream.send(await stream.receive(PIECE))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


async def figures(folder: Path, there: str, seconds: float, idle: float) -> Figures:
    """Measure from the other end of `there`."""
    text, _, public = there.partition(" ")
    address = Address.parse(text)
    if public:
        await _node(folder, "client", public)
    found: Figures = {}
    for name, size in WRITES.items():
        async with await _dial(address) as stream:
            rate, gap = await flow(stream, size, seconds)
        found |= {f"stream_{name}_mb_per_s": rate, f"stream_{name}_gap_ms": gap * 1e3}
    async with await _dial(address):
        await anyio.sleep(2.0)  # what has just ended is put away
        before, began = _cpu(), time.perf_counter()
        await anyio.sleep(idle)
        found["idle_node_cpu_percent"] = 100 * (_cpu() - before) / (time.perf_counter() - began)
    return found


async def _dial(address: Address) -> ByteStream:
    for _ in range(DIAL_TRIES - 1):
        try:
            return await transport_for(address).dial(address)
        except Unreachable:
            continue
    return await transport_for(address).dial(address)


async def flow(stream: ByteStream, size: int, seconds: float) -> tuple[float, float]:
    """MB a second each way, and the longest time in which nothing came back."""
    data = os.urandom(size)
    began = last = time.perf_counter()
    got, longest = 0, 0.0

    async def send() -> None:
        while time.perf_counter() - began < seconds:
            await stream.send(data)
        await stream.send_eof()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        while True:
            try:
                piece = await stream.receive(PIECE)
            except anyio.EndOfStream:
                break
            now = time.perf_counter()
            longest, last, got = max(longest, now - last), now, got + len(piece)
    return got / 1e6 / (last - began), longest


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _main(what: str, folder: Path, words: list[str]) -> None:
    if what == "serve":
        await serve(folder, words[0])
        return
    found: Any = await figures(folder, words[0], float(words[1]), float(words[2]))
    print(json.dumps(found), flush=True)  # noqa: T201  for the process that started this one
    sys.stdin.read()


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
