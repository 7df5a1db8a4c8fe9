"""Measures ZeroTier streams between two processes, and TCP beside: `python -m tests.bench.zerotier_streams`.

Both nodes are in one fresh network namespace. Traffic is echoed, so each figure is that of both directions at
once: bytes per second each way, the longest time in which nothing came back, round trips one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteStream
from taskmessenger.cli.bench_streams import flow
from taskmessenger.net.address import Address
from taskmessenger.net.transport import transport_for

from tests.support.namespaces import inside, wrapped
from tests.support.streams import echo
from tests.support.zerotier_nodes import ROOT_PORT, settings

MIB = 1 << 20
PORT = 7711
ROUND_TRIPS = 3000
TCP_SECONDS = 3.0
"""TCP is only the measure to compare with."""


async def start_node(folder: Path, number: int) -> str:
    """The node with this identity in the network of the first; where the first listens."""
    from taskmessenger.net.zerotier.library import load
    from taskmessenger.net.zerotier.node import ensure

    wanted = settings(folder / str(number), number, port=0 if number else ROOT_PORT)
    await ensure(wanted, load())
    network = wanted.network
    return f"zt://{network}/{f'{network.number:016x}'[:10]}:{PORT}"


async def serve(folder: Path) -> None:
    """The other process: echoes on both transports until its input ends."""
    await start_node(folder, 0)
    async with anyio.create_task_group() as group:
        for text in (f"zt://:{PORT}", f"tcp://127.0.0.1:{PORT}"):
            address = Address.parse(text)
            listener = await transport_for(address).listen(address)
            group.start_soon(listener.serve, echo)
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)
        group.cancel_scope.cancel()


async def trips(stream: ByteStream) -> dict[str, float]:
    """Round trips of 64 bytes, one at a time."""
    times = []
    for _ in range(ROUND_TRIPS):
        began = time.perf_counter()
        await stream.send(bytes(64))
        left = 64
        while left:
            left -= len(await stream.receive(left))
        times.append(time.perf_counter() - began)
    cuts = statistics.quantiles(times[100:], n=100)
    return {"p50 us": round(cuts[49] * 1e6), "p99 us": round(cuts[98] * 1e6)}


async def measure(there: str, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for scheme, text in (("tcp", f"tcp://127.0.0.1:{PORT}"), ("zt", there)):
        address = Address.parse(text)
        began = time.perf_counter()
        stream = await transport_for(address).dial(address)
        found[f"{scheme} dial ms"] = round((time.perf_counter() - began) * 1e3, 1)
        found[f"{scheme} round trip"] = await trips(stream)
        await stream.aclose()
        for write in (1000, 64 * 1024, MIB):
            async with await transport_for(address).dial(address) as stream:
                length = min(seconds, TCP_SECONDS) if scheme == "tcp" else seconds
                speed, gap = await flow(stream, write, length)
                found[f"{scheme} writes of {write}"] = {
                    "MB/s each way": round(speed, 1),
                    "longest gap ms": round(gap * 1e3, 1),
                }
    used = resource.getrusage(resource.RUSAGE_SELF)
    began_cpu, began = used.ru_utime + used.ru_stime, time.perf_counter()
    address = Address.parse(there)
    async with await transport_for(address).dial(address):
        await anyio.sleep(5)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime - began_cpu
    found["idle % of a core"] = round(100 * spent / (time.perf_counter() - began), 2)
    found["RSS MB"] = round(used.ru_maxrss / 1024)
    return found


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [sys.executable, "-m", __spec__.name, "--serve", str(folder), *sys.argv[1:]]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            assert other.stdout.readline() == b"ready\n"
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            there = await start_node(folder, 1)
            found = {"RSS MB before the node": round(rss / 1024)} | await measure(there, seconds)
            print(json.dumps(found, indent=1))
            other.stdin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of traffic for each size")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    options = {"use_uvloop": chosen.uvloop}
    if not inside():
        os.environ.setdefault("TM_TEST_IDENTITIES", tempfile.mkdtemp(prefix="tm-identities-"))
        ran = wrapped([sys.executable, "-m", __spec__.name, *sys.argv[1:]])
        sys.exit(subprocess.run(ran, check=False).returncode)
    if chosen.serve:
        anyio.run(serve, Path(chosen.serve), backend_options=options)
    else:
        anyio.run(main, chosen.seconds, backend_options=options)
