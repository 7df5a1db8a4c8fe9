"""Nodes on threads of their own that do not start: too slow, twice, or with a bug."""

from __future__ import annotations

import threading

import anyio
import pytest
from taskmessenger import hosted
from taskmessenger.core.errors import Conflict, TimedOut, Unreachable
from taskmessenger.screens.fake import FakeNode

from tests.support.nodes import until


def test_a_node_that_does_not_start_in_time_is_said_to_be_late(monkeypatch) -> None:
    monkeypatch.setattr(hosted, "START_SECONDS", 0.1)
    release = threading.Event()

    async def never(_began: object) -> None:
        await anyio.to_thread.run_sync(release.wait, 30)

    node = hosted.Hosted(never)
    with pytest.raises(TimedOut, match=r"the node did not start within 0\.1 s: see its log"):
        node.start()
    assert node.running
    release.set()
    assert node.wait(30)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_node_that_fails_with_a_bug_says_so_and_logs_it(begun: bool, caplog) -> None:
    fail = threading.Event()

    async def broken(began) -> None:
        if begun:
            began(FakeNode())
            await anyio.to_thread.run_sync(fail.wait, 30)
        raise ZeroDivisionError("of the node")

    node = hosted.Hosted(broken)
    if begun:
        known = await anyio.to_thread.run_sync(node.start)
        fail.set()
        assert await anyio.to_thread.run_sync(node.wait, 30.0)
        said = known.ended
    else:
        with pytest.raises(Unreachable) as caught:
            await anyio.to_thread.run_sync(node.start)
        said = str(caught.value)
    assert said == "the node has failed: ZeroDivisionError('of the node')"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "the node has failed"
    caplog.clear()


async def test_a_node_is_started_again_when_it_has_ended_and_not_before() -> None:
    starts: list[threading.Event] = []

    async def main(began) -> None:
        over = threading.Event()
        starts.append(over)
        began(FakeNode())
        await anyio.to_thread.run_sync(over.wait, 30)

    node = hosted.Hosted(main, again=True)
    first = await anyio.to_thread.run_sync(node.start)
    hosted_now = hosted.NOW_SECONDS
    try:
        hosted.NOW_SECONDS = 0.05  # type: ignore[misc]
        with pytest.raises(Conflict, match="it has not ended yet"):
            await anyio.to_thread.run_sync(node.again)
    finally:
        hosted.NOW_SECONDS = hosted_now  # type: ignore[misc]
    starts[0].set()
    await until(lambda: not node.running)
    assert first.ended == "this role has ended"
    await anyio.to_thread.run_sync(node.again)
    assert node.running
    assert len(starts) == 2
    assert not first.ended, "whoever looked sees the new one"
    starts[1].set()
    assert await anyio.to_thread.run_sync(node.wait, 30.0)
