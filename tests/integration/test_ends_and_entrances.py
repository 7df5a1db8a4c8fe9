"""What stays to be seen of a worker that has ended, and in which order a manager opens its doors."""

from __future__ import annotations

from contextlib import suppress

import anyio
from taskmessenger.core.errors import Unreachable
from taskmessenger.net.address import Address
from taskmessenger.paths import under
from taskmessenger.roles import entrances
from taskmessenger.roles.checkup import Checkup
from taskmessenger.roles.worker_handle import WorkerHandle

from tests.support.fleet import a_fleet

OVERLAY = Address("zt", host="1111111111", port=7711, network="8056c2e21c000001")
LOCAL = Address.parse("tcp://127.0.0.1:0")


async def test_what_a_worker_ended_with_stays_to_be_seen_though_nobody_looked(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        handle = WorkerHandle(node.worker, {}, Checkup(under(tmp_path / "w"), lambda: None))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handle.keep)
            await anyio.wait_all_tasks_blocked()
            before = handle._feed.newest
            assert before.worker is not None
            assert before.worker.capacity == 2
            node.worker.slots.capacity = 7
            tasks.cancel_scope.cancel()
        after = handle._feed.newest
        assert after.worker is not None
        assert after.worker.capacity == 7


async def test_an_overlay_that_is_not_ready_keeps_no_local_door_closed() -> None:
    """Connections wait at the local ones meanwhile."""
    opened: list[str] = []
    waiting = anyio.Event()

    class SlowOverlay:
        async def before_listening(self, address: Address, patience: float = 1e9) -> Address:
            if address.scheme == "zt":
                waiting.set()
                with suppress(TimeoutError), anyio.fail_after(min(patience, 0.2)):
                    await anyio.sleep_forever()
                raise Unreachable("its network has not let it in")
            opened.append(address.scheme)
            return address

    told: list[list[str]] = []
    ways = entrances.Entrances(
        SlowOverlay(),  # type: ignore[arg-type]
        lambda addresses: told.append([one.scheme for one in addresses]),
    )
    async with ways, anyio.create_task_group() as tasks:
        tasks.start_soon(ways.open, [OVERLAY, LOCAL])
        with anyio.fail_after(30):
            await waiting.wait()
        assert opened == ["tcp"], "the local one is open before anybody waits for the overlay"
        with anyio.fail_after(30):
            while not told:
                await anyio.sleep(0.01)
    assert told[0] == ["tcp"]
