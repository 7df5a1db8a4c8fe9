"""The queue in front of the writer: bounded, in order, and never without a sign of life."""

from __future__ import annotations

import anyio
import pytest
from taskmessenger.core.stimuli import Beat, LinkLost, Tick, Unwatch
from taskmessenger.roles.inbox import MAX_BATCH, UNIT_BYTES, Inbox, weight_of

BOUND = 10.0


def marks(inbox: Inbox) -> list[int]:
    return [one.watch for one in inbox.take() if isinstance(one, Unwatch)]


async def test_what_goes_in_comes_out_in_order() -> None:
    inbox = Inbox()
    for n in range(100):
        await inbox.put(Unwatch(n))
    assert marks(inbox) == list(range(100))
    assert inbox.take() == []


def test_a_batch_is_bounded_but_never_empty_for_its_weight() -> None:
    inbox = Inbox()
    for n in range(6):
        inbox.put_nowait(Unwatch(n), MAX_BATCH // 2)
    inbox.put_nowait(Unwatch(6), 10 * MAX_BATCH)
    inbox.put_nowait(Unwatch(7))
    assert [marks(inbox) for _ in range(5)] == [[0, 1], [2, 3], [4, 5], [6], [7]]


async def test_whoever_brings_too_much_waits_until_there_is_room() -> None:
    inbox = Inbox(max_weight=10)
    await inbox.put(Unwatch(0), 10)
    assert inbox.full
    order: list[int] = []

    async def bring(n: int) -> None:
        await inbox.put(Unwatch(n), 10)
        order.append(n)

    async with anyio.create_task_group() as group:
        for n in (1, 2, 3):
            group.start_soon(bring, n)
        with anyio.fail_after(BOUND):
            seen: list[int] = []
            while len(seen) < 4:
                await anyio.lowlevel.checkpoint()
                assert inbox._weight <= 10
                seen += marks(inbox)
    assert sorted(order) == [1, 2, 3]
    assert not inbox.full


async def test_one_large_thing_fits_when_there_is_any_room() -> None:
    inbox = Inbox(max_weight=10)
    await inbox.put(Unwatch(0), 9)
    with anyio.fail_after(BOUND):
        await inbox.put(Unwatch(1), 1_000)
    assert inbox.full


async def test_workers_wait_later_than_clients() -> None:
    inbox = Inbox(max_weight=10)
    await inbox.put(Unwatch(0), 10)
    with anyio.fail_after(BOUND):
        await inbox.put(Unwatch(1), 30, share=5)
    with anyio.move_on_after(0.01) as scope:
        await inbox.put(Unwatch(2))
    assert scope.cancelled_caught
    with anyio.fail_after(BOUND):
        await inbox.put(Unwatch(3), 10, share=5)
    with anyio.move_on_after(0.01) as scope:
        await inbox.put(Unwatch(4), share=5)
    assert scope.cancelled_caught
    assert marks(inbox) == [0, 1, 3]


async def test_what_must_not_wait_does_not() -> None:
    inbox = Inbox(max_weight=1)
    await inbox.put(Unwatch(0))
    inbox.put_nowait(LinkLost(1))
    assert [type(one) for one in inbox.take()] == [Unwatch, LinkLost]


def test_signs_of_life_come_first_and_once_each() -> None:
    inbox = Inbox()
    inbox.put_nowait(Tick())
    for _ in range(1_000):
        inbox.beat(7)
        inbox.beat(8)
    assert inbox.take() == [Beat(7), Beat(8), Tick()]
    assert inbox._weight == 0
    inbox.beat(7)
    assert inbox.take() == [Beat(7)]


@pytest.mark.parametrize("bring", [lambda inbox: inbox.beat(1), lambda inbox: inbox.put_nowait(Tick())])
async def test_the_writer_wakes_when_something_is_there(bring) -> None:
    inbox = Inbox()
    woken = anyio.Event()

    async def wait() -> None:
        await inbox.wait(BOUND * 10)
        woken.set()

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            bring(inbox)
            await woken.wait()
    with anyio.fail_after(BOUND):
        await inbox.wait(BOUND * 10)
    inbox.take()
    await inbox.wait(0.01)
    assert inbox.take() == []


def test_large_bodies_weigh_more() -> None:
    assert weight_of([]) == 1
    assert weight_of([b""] * 7) == 7
    assert weight_of([b"x" * 10 * UNIT_BYTES]) == 11
    assert weight_of([None, b"x"]) == 2
