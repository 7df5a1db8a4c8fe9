"""The network as consoles of a real fleet over ZeroTier show it: nodes, peers and links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from taskmessenger import hosted
from taskmessenger.config.model import WorkerConfig
from taskmessenger.paths import under

from tests.support.consoles import console_of, shows
from tests.support.nodes import from_elsewhere
from tests.support.processes import Fleet
from tests.support.processes import fleet as running_fleet
from tests.support.zerotier_fleet import over_zerotier

pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(120)]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        over_zerotier(one)
        yield one


def node_of(home: Path, role: str) -> str:
    return (under(home).node(role) / "identity.public").read_text().partition(":")[0]  # type: ignore[arg-type]


async def test_manager_and_worker_show_their_nodes_each_other_and_how_the_link_goes(fleet: Fleet) -> None:
    await anyio.to_thread.run_sync(fleet.manager)
    invite = await anyio.to_thread.run_sync(fleet.invite)
    config = replace(WorkerConfig(), name="w-one", capacity=2)
    with (
        from_elsewhere(fleet.paths) as manager,
        hosted.worker(config, under(fleet.root / "w"), invite, {}) as w,
    ):
        own, other = node_of(fleet.home, "manager"), node_of(fleet.root / "w", "worker")
        async with console_of(manager) as pilot:
            await pilot.press("8")
            await shows(pilot, "zerotier node", own, "ready", "(private)", f"peer {other}", "direct", "roots")
            await shows(pilot, "disk", "clock", "nothing is wrong")
            await pilot.press("2")
            await shows(pilot, "w-one", "zerotier", "direct")
        async with console_of(w) as pilot:
            await pilot.press("8")
            await shows(pilot, "zerotier node", other, f"peer {own}", "direct", "worker certificate", "zt://")
