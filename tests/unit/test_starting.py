"""A command that needs a manager, while one is just starting."""

from __future__ import annotations

import anyio
import pytest
from taskmessenger.cli.connect import dialler
from taskmessenger.core.errors import Unreachable
from taskmessenger.locks import Starting, is_starting
from taskmessenger.paths import find, private_directory

pytestmark = pytest.mark.anyio


async def test_a_manager_on_its_way_is_waited_for_until_it_gives_up() -> None:
    paths = find()
    private_directory(paths.starting.parent)
    ended = anyio.Event()
    error: list[Unreachable] = []

    async def ask() -> None:
        try:
            await dialler(paths)()
        except Unreachable as found:
            error.append(found)
        ended.set()

    with Starting(paths.starting) as starting:
        assert is_starting(paths.starting)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.3)
            assert not ended.is_set()
            starting.over()
            with anyio.fail_after(10.0):
                await ended.wait()
    assert "no manager of yours runs here" in str(error[0])
    assert not is_starting(paths.starting)


async def test_without_one_nobody_is_waited_for() -> None:
    with anyio.fail_after(10.0), pytest.raises(Unreachable):
        await dialler(find())()
    assert not is_starting(find().starting)
