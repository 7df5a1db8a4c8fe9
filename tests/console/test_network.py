"""The network: how the manager is reached, what its links are like, and what to do about what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from taskmessenger.handle import NetworkInfo, NetworkRow, SessionRow, Snapshot
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.views.network import _facts

from tests.support.console import LARGE, SMALL, a_console, opened, passed, press, settle, text
from tests.support.pictures import after_a_while


async def test_it_shows_transports_addresses_links_and_findings() -> None:
    async with opened(view="network", size=SMALL) as (_pilot, console, _node):
        painted = text(console)
        assert "tcp://0.0.0.0:7711" in painted
        assert "zerotier (4 links)" in painted
        assert "2 direct, 2 relayed" in painted
        assert "4 things looked at   1 to do" in painted


async def test_what_to_do_stands_below_in_full() -> None:
    async with opened(view="network", size=SMALL) as (pilot, console, _node):
        await press(pilot, "end")
        assert "→ open UDP port 9993 at one of the ends" in text(console)


async def test_it_looks_again_by_itself_and_on_demand() -> None:
    class Changing(FakeNode):
        async def network(self) -> NetworkInfo:
            return NetworkInfo(("tcp",), ("tcp://a:1",), (NetworkRow("looked", f"at {self.now:.0f}"),))

    async with opened(Changing(), view="network") as (pilot, console, node):
        for _ in range(2):
            await passed(pilot, 1)
        await settle(pilot)
        assert f"at {node.now:.0f}" in text(console)
        node.advance(100)
        await press(pilot, "ctrl+r")
        await settle(pilot)
        assert f"at {node.now:.0f}" in text(console)


async def test_an_address_is_copied() -> None:
    async with opened(view="network") as (pilot, console, _node):
        await press(pilot, "a", "down", "enter")
        assert console.clipboard == "zt://[fd00:7f3:99::1]:7711"


async def test_findings_are_searched_and_sorted_worst_first() -> None:
    async with opened(view="network") as (_pilot, console, _node):
        await console.registry.find("row.sort", console.view).run(console.view, "state")
        assert console.view.current() is not None
        assert [row.state for row in console.view.grid.table.rows] == ["warn", "ok", "ok", "ok"]


async def test_what_strangers_wrote_is_escaped() -> None:
    class Hostile(FakeNode):
        async def network(self) -> NetworkInfo:
            row = NetworkRow("peer \x1b[2J[b]", "\x1b]0;x\x07", "bad", "[link]\u202e")
            return NetworkInfo(("tcp\x1b",), ("tcp://\x1b[1m",), (row,))

    async with opened(Hostile(), view="network") as (_pilot, console, _node):
        assert "\x1b" not in text(console)
        assert "\u202e" not in text(console)
        assert "[link]" in text(console)


def test_nothing_is_said_of_what_is_not_known() -> None:
    facts = dict(_facts(NetworkInfo(), Snapshot(0.0, "manager")))
    assert facts["links"] == "0 now   "
    assert facts["round trip"] == ""
    ended = SessionRow(id=1, peer="p", role="worker", rtt=1.0, state="ended")
    assert dict(_facts(NetworkInfo(), Snapshot(0.0, "manager", sessions=(ended,))))["round trip"] == ""


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
async def test_a_worker_sees_its_way_to_the_manager_and_its_own_node(size: tuple[int, int]) -> None:
    async with opened(FakeWorker(), view="network", size=size) as (pilot, console, _node):
        await passed(pilot, 1)
        seen = text(console)
        for word in (
            "manager",
            "lab at tcp://203.0.113.7:7711",
            "zerotier node",
            "peer 7f3a91c04d",
            "1 to do",
        ):
            assert word in seen
        assert "transports" not in seen
        await press(pilot, "D", "y")
        await passed(pilot, 2)
        assert "disconnected by its operator" in text(console)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_picture_of_a_worker_s_network(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    steps = after_a_while("network")
    assert snap_compare(a_console(FakeWorker()), terminal_size=size, run_before=steps)
