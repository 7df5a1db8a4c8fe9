"""Who sends much waits until the other side has taken some of it, and learns when nothing leaves any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from taskmessenger.net.protocol import Phase
from taskmessenger.net.session import Session


class Wire(SimpleNamespace):
    """Stands for what waits to be sent."""


def a_session(pending: int, phase: Phase = Phase.OPEN) -> Any:
    return Session(None, Wire(pending=pending, phase=phase))  # type: ignore[arg-type]


@pytest.mark.parametrize(("pending", "waits"), [(0, False), (100, False), (101, True)])
async def test_there_is_room_up_to_the_bound_and_none_above_it(pending: int, waits: bool) -> None:
    session, found = a_session(pending), []

    async def ask() -> None:
        found.append(await session.room(100))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert found == ([] if waits else [True])
        session._tell_sent()  # something has left, and not enough
        await anyio.wait_all_tasks_blocked()
        assert found == ([] if waits else [True])
        session.wire.pending = 100
        session._tell_sent()
    assert found == [True]


async def test_who_waits_for_room_is_told_when_the_link_ends() -> None:
    session, found = a_session(101), []

    async def ask() -> None:
        found.append(await session.room(100))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        session._ended = True
        session._tell_sent()
    assert found == [False]


async def test_a_session_that_says_goodbye_sends_nothing_more() -> None:
    assert await a_session(0, Phase.CLOSING).room(100) is False
