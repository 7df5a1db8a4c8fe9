"""The network: how the manager is reached, what its links are like, and what to do about what is wrong."""

from __future__ import annotations

from taskmessenger.handle import NetworkInfo, NetworkRow, SessionRow
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.views.network import _facts

from tests.support.console import SMALL, opened, passed, press, settle, text


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
    facts = dict(_facts(NetworkInfo(), []))
    assert facts["links"] == "0 now   "
    assert facts["round trip"] == ""
    ended = SessionRow(id=1, peer="p", role="worker", rtt=1.0, state="ended")
    assert dict(_facts(NetworkInfo(), [ended]))["round trip"] == ""
