"""Turns: who waits for one can go away, be called off or be let down, and none is ever lost."""

import asyncio

import pytest
from taskmessenger.runtimes import turns as module
from taskmessenger.runtimes.base import CANCELLED, FAILED, Job
from taskmessenger.runtimes.turns import Turns


@pytest.fixture
def anyio_backend():
    return "asyncio"


def job(task):
    return Job(task, 1, "kind", b"\xc0")


async def waiting(turns, *tasks):
    """Those tasks wait for a turn."""
    found = [asyncio.create_task(turns.take(job(task))) for task in tasks]
    await asyncio.sleep(0)
    return found


async def test_turns_go_round_in_order():
    turns = Turns(1)
    assert turns.take_now()
    one, two = await waiting(turns, 1, 2)
    turns.give_back()
    assert await one is None
    assert not two.done()
    turns.give_back()
    assert await two is None
    assert turns.taken == 1
    turns.give_back()
    assert turns.taken == 0


async def test_one_that_goes_away_while_it_waits_is_passed_over():
    turns = Turns(1)
    turns.take_now()
    one, two = await waiting(turns, 1, 2)
    one.cancel()
    await asyncio.wait([one])
    turns.give_back()
    assert await two is None
    turns.give_back()
    assert turns.take_now()


async def test_one_that_goes_away_in_the_moment_of_its_turn_gives_it_on():
    turns = Turns(1)
    turns.take_now()
    one, two = await waiting(turns, 1, 2)
    turns.give_back()
    one.cancel()
    await asyncio.wait([one])
    assert one.cancelled()
    assert await two is None
    turns.give_back()
    assert turns.take_now()
    assert not turns.take_now()


async def test_one_that_is_called_off_while_it_waits_gets_none():
    turns = Turns(1)
    turns.take_now()
    one, two = await waiting(turns, 1, 2)
    assert turns.cancel(1)
    assert (await one).status == CANCELLED
    assert not turns.cancel(1)
    turns.give_back()
    assert await two is None


async def test_one_that_is_called_off_in_the_moment_of_its_turn_gives_it_on():
    turns = Turns(1)
    turns.take_now()
    one, two = await waiting(turns, 1, 2)
    turns.give_back()
    assert turns.cancel(1)
    assert (await one).status == CANCELLED
    assert await two is None


async def test_at_the_end_nobody_waits_and_nobody_gets_a_turn():
    turns = Turns(2)
    turns.take_now()
    turns.take_now()
    first, second, third = await waiting(turns, 1, 2, 3)
    turns.give_back()  # the first one has it, and does not know yet
    turns.close()
    for one in (first, second, third):
        assert (await one).status == CANCELLED
    assert turns.taken == 1
    assert not turns.take_now()
    assert (await turns.take(job(4))).status == CANCELLED


async def test_more_than_may_wait_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    turns = Turns(1)
    turns.take_now()
    those = await waiting(turns, 1, 2, 3)
    refused = await turns.take(job(4))
    assert (refused.status, refused.error.code) == (FAILED, "overloaded")
    assert "3 jobs in line already for a slot" in refused.error.message
    for one in those:
        turns.give_back()
        assert await one is None
