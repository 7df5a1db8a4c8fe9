"""Streams over ZeroTier: the promises of every transport, and what is special here. Nodes in two processes.

What needs no node of its own runs together, in one process for each file and event loop.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import Conflict, Unreachable
from taskmessenger.net.zerotier import link as links
from taskmessenger.net.zerotier.node import running
from taskmessenger.net.zerotier.transport import ZeroTierTransport

from tests.support.namespaces import PLUGINS, REPORTS
from tests.support.streams import echo, read_all, read_exactly
from tests.support.zerotier_ends import BOUND, Ends, both_ends, until
from tests.support.zerotier_places import own_sockets

SECONDS = 240
CONTRACT = "tests/contract/test_transport.py"
STREAMS = "tests/zerotier/streams.py"
BACKENDS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
"""What managers and workers run on; that nothing depends on them is tried with other transports."""
pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(SECONDS + 60)]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async with both_ends() as made:
        yield made


def run_together(*words: str) -> None:
    """A pytest of its own in this namespace; what it says is what is said when it fails."""
    environment = {key: value for key, value in os.environ.items() if key not in {REPORTS, "PYTEST_ADDOPTS"}}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGINS, "--timeout=100", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_zerotier_keeps_the_promises_of_a_transport(backend: str) -> None:
    run_together(CONTRACT, "-k", f"zerotier and {backend}")


def test_streams_do_not_leak_stall_or_let_others_do_harm() -> None:
    run_together(STREAMS)


async def test_a_peer_that_was_killed_is_silent_and_its_stream_can_be_closed_all_the_same(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "LINGER_SECONDS", 1.0)
    here = own_sockets()
    _, far = await ends.connected()
    os.kill(ends.pid, signal.SIGKILL)
    with anyio.move_on_after(1.0) as scope:
        await far.receive()
    assert scope.cancelled_caught, "it says nothing: heartbeats are for the session"
    with anyio.move_on_after(0.5) as scope:
        while True:
            await far.send(bytes(4096))
    assert scope.cancelled_caught, "what it does not take is not sent"
    with anyio.fail_after(1.0):
        await far.aclose()
    await until(lambda: own_sockets() == here)


async def test_last_words_arrive_though_the_node_stops_at_once(ends: Ends) -> None:
    near, far = await ends.connected()
    words = os.urandom(64 * 1024)
    await near.send(words)
    await near.aclose()
    await ends.there.stop_node()
    assert await read_all(far) == words


async def test_a_node_that_stops_breaks_its_streams_and_takes_its_listeners_away(ends: Ends) -> None:
    _, far = await ends.connected()
    seen: list[type[BaseException]] = []

    async def outcome(of: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await of()
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            seen.append(type(error))

    node = running()
    assert node is not None
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(outcome, far.receive)
            group.start_soon(outcome, lambda: ends.listener.serve(echo, group))
            await anyio.wait_all_tasks_blocked()
            await node.stop()
    assert seen == [anyio.BrokenResourceError] * 2
    with pytest.raises(Conflict, match="no ZeroTier node"):
        await ZeroTierTransport().listen(ends.new_address())
    await far.aclose()


async def test_after_a_restart_of_the_node_there_is_a_fresh_start(ends: Ends) -> None:
    node = running()
    assert node is not None
    await node.restart()
    await ends.listener.aclose()
    ends.listener = await ends.there.listen(ends.address)
    with anyio.fail_after(BOUND):
        while True:  # the other node has to find this one again
            try:
                near, far = await ends.connected()
                break
            except Unreachable:
                continue
    await near.send(b"again")
    assert await read_exactly(far, 5) == b"again"
