"""A manager without memory serves, or ends with a sentence: it never lives on and answers nobody."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync as in_thread
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.handle import Group
from taskmessenger.remote import attach

from tests.support.processes import Fleet, dialler, fleet

MIB = 1 << 20
LARGE = 60 * MIB
SECONDS = 60.0


async def hand_in(place: Fleet, keys: list[int]) -> None:
    """A large payload, as if somebody tried once."""
    payload = b"\xc6" + LARGE.to_bytes(4, "big") + bytes(LARGE)
    try:
        with anyio.move_on_after(20):
            async with attach(dialler(place.paths)) as remote:
                keys += (await remote.submit([Group("nobody", [payload])])).ids
    except TaskMessengerError:
        pass


@pytest.mark.parametrize("mebibytes", [500, 700])
async def test_a_manager_without_memory_serves_or_ends(tmp_path: Path, mebibytes: int) -> None:
    with fleet(tmp_path / "f") as place:
        place.limits = f"ulimit -v {mebibytes * 1024}"
        manager = await in_thread(place.manager)
        kept: list[int] = []
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(hand_in, place, kept)
        answers = False
        with anyio.move_on_after(SECONDS):
            while manager.running and not (answers := await in_thread(place.answers)):
                await anyio.sleep(0.2)
        print(mebibytes, "answers" if answers else manager.popen.poll(), len(kept))
        if not answers:
            assert manager.wait() not in {0, None}
            assert "memory" in manager.said()
        else:
            await in_thread(manager.kill)
        place.limits = ""
        await in_thread(place.manager)
        assert (await in_thread(place.ask, _accepted)) >= len(kept)


async def _accepted(remote) -> int:
    return (await remote.status()).accepted
