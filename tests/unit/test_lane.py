"""A lane: one thread, one order, so many places, and nothing that ends it before its time."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import pytest
from taskmessenger.store import lane as lanes
from taskmessenger.store.lane import Lane


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    made = Lane("test lane")
    made.start()
    yield made
    await made.stop()
    assert not made._thread.is_alive()


async def test_what_is_posted_is_done_after_what_was_asked_before(lane: Lane) -> None:
    done: list[int] = []
    assert lane.post(lambda: done.append(1))
    await lane.call(lambda: done.append(2))
    assert done == [1, 2]


async def test_a_full_lane_takes_nothing_that_is_posted_and_has_room_again_later(monkeypatch) -> None:
    monkeypatch.setattr(lanes, "MAX_WAITING", 3)
    lane, gate, done = Lane("small lane"), threading.Event(), []
    lane.start()
    assert lane.post(lambda: gate.wait(30) and None)
    assert [lane.post(lambda: done.append(1)) for _ in range(4)] == [True, True, False, False]
    gate.set()
    await lane.call(lambda: None)
    assert done == [1, 1]
    assert lane.post(lambda: done.append(2))
    await lane.stop()
    assert done == [1, 1, 2]


async def test_a_bug_between_two_calls_does_not_end_the_thread(lane: Lane, monkeypatch, caplog) -> None:
    deliver = Lane._deliver
    broken: list[object] = []

    def fails_once(self: Lane, tickets: list[lanes.Ticket[object]]) -> None:
        if not broken:
            broken.append(tickets)
            raise ZeroDivisionError
        deliver(self, tickets)

    monkeypatch.setattr(Lane, "_deliver", fails_once)
    lane.post(lambda: None)
    assert await lane.call(lambda: 7) == 7
    assert [record.getMessage() for record in caplog.records] == ["test lane failed between two calls"]
    caplog.clear()


async def test_whatever_a_call_raises_is_raised_at_its_caller_alone(lane: Lane) -> None:
    def leave() -> None:
        raise SystemExit("no")

    with pytest.raises(SystemExit):
        await lane.call(leave)
    assert await lane.call(lambda: 7) == 7
