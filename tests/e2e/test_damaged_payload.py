"""A payload that the disk has lost costs its own task, and nothing else."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgpack
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group, Outcome

from tests.support.processes import fleet

SIZE = 300_000


async def _submit(remote, seen: dict[int, Outcome]) -> list[int]:
    remote.on_outcomes = lambda outcomes: seen.update({one.id: one for one in outcomes})
    payloads = [msgpack.packb(bytes([number]) * SIZE) for number in range(4)]
    return (await remote.submit([Group("hash", payloads)], watch=True)).ids


def test_a_damaged_payload_fails_its_task_and_leaves_the_others_alone(tmp_path: Path) -> None:
    with fleet(tmp_path) as here:
        manager = here.manager()
        ids = here.ask(lambda remote: _submit(remote, {}))
        (segment,) = (here.paths.database.parent / "tasks.db.values").glob("*.seg")
        data = bytearray(segment.read_bytes())
        at = data.index(b"\x01" * 1000)
        data[at + 50] ^= 0xFF
        segment.write_bytes(data)
        here.worker("w1")
        seen: dict[int, Outcome] = {}

        async def wait(remote) -> None:
            remote.on_outcomes = lambda outcomes: seen.update({one.id: one for one in outcomes})
            with anyio.fail_after(60):
                await remote.wait(ids)

        here.ask(wait)
        assert manager.running
    states = [seen[task_id].state for task_id in ids]
    assert states == [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SUCCEEDED, TaskState.SUCCEEDED]
    error = seen[ids[1]].error
    assert error is not None
    assert error.code == "damaged"
