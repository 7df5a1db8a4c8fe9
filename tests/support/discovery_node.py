"""A manager's node with a beacon, as a process of its own; for use inside a namespace only.

It says `ready` once it announces itself, and ends when its standard input does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from taskmessenger.net.discovery.beacon import Beacon
from taskmessenger.net.discovery.overlay import OverlayCarrier
from taskmessenger.net.discovery.registry import Registry
from taskmessenger.net.discovery.sealed import Signer, Verifier
from taskmessenger.net.discovery.voice import Voice
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.zerotier.library import load
from taskmessenger.net.zerotier.node import ensure

from tests.support.discovery import facts
from tests.support.zerotier_nodes import ROOT_PORT, settings

END_SECONDS = 20.0


@contextmanager
def manager_process(home: Path, authority: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A manager of that fleet, root of the private network of the first identity. See `end`."""
    popen = subprocess.Popen(
        [sys.executable, "-m", "tests.support.discovery_node", str(home), str(authority), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert popen.stdout is not None
    try:
        assert popen.stdout.readline() == "ready\n"
        yield popen
    finally:
        end(popen)


def end(popen: subprocess.Popen[str]) -> None:
    """In good order, if it still runs: it says goodbye."""
    assert popen.stdin is not None
    assert popen.stdout is not None
    popen.stdin.close()
    try:
        popen.wait(END_SECONDS)
    finally:
        popen.kill()
        popen.stdout.close()


async def _main(home: Path, folder: Path, port: int) -> None:
    authority = Authority.load_or_create(folder, "lab", time.time())
    node = await ensure(settings(home, 0, port=ROOT_PORT), load())
    signer = Signer.load(authority.issue_manager(time.time()), authority.ca_der)
    about = facts(endpoints=[f"zt://{node.settings.network}/{node.id}:7711"], offers={"hash": ["w-1"]})
    registry = Registry(Verifier(authority.ca_der))
    beacon = Beacon(Voice(lambda: signer, "north"), registry, [OverlayCarrier(port)], about)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beacon.run)
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        tasks.cancel_scope.cancel()
    await node.stop()


if __name__ == "__main__":
    anyio.run(_main, Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
