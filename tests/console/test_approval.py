"""Members that wait for approval: seen, compared, approved, rejected, and never by accident."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from taskmessenger.handle import Act
from taskmessenger.screens.acts.invites import _typed
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.fake.fleet import DAY
from taskmessenger.screens.waiting import Waiting
from taskmessenger.screens.widgets.form import Form
from taskmessenger.screens.widgets.words import brief
from textual.pilot import Pilot

from tests.support.console import LARGE, SMALL, a_console, opened, passed, press, settle, text


def a_node(number: int = 2, **given: Any) -> FakeNode:
    node = FakeNode(**given)
    node.knock(number)
    return node


async def waiting(node: Any) -> list[str]:
    return [row.id for row in await node.pending()]


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
async def test_who_waits_is_above_the_invites_with_fingerprint_and_age(size: tuple[int, int]) -> None:
    async with opened(a_node(), view="invites", size=size) as (_pilot, console, node):
        shown = text(console)
        assert "2 members wait for approval" in shown
        for row in await node.pending():
            assert row.id in shown
            assert row.fingerprint in shown
            assert brief(node.now - row.since) in shown
        assert shown.index("FINGERPRINT") < shown.index("ENDS IN")
        assert "A  Approve" in shown


async def test_where_nobody_waits_nothing_of_it_is_seen() -> None:
    async with opened(view="invites") as (pilot, console, _node):
        assert "FINGERPRINT" not in text(console)
        assert "Approve" not in text(console)
        await press(pilot, "A")
        assert console.screen is console.view


async def test_a_asks_first_and_enter_means_no() -> None:
    async with opened(a_node(), view="invites") as (pilot, console, node):
        first, second = await node.pending()
        await press(pilot, "A")
        shown = text(console)
        assert f"Approve member {first.id}?" in shown
        assert first.fingerprint in shown
        assert "Compare it with what" in shown
        assert f"taskmessenger worker approve {first.id}" in shown
        await press(pilot, "enter")
        assert await waiting(node) == [first.id, second.id]
        await press(pilot, "A", "y")
        assert await waiting(node) == [second.id]
        assert "1 member waits for approval" in text(console)


async def test_the_cursor_says_who_and_what_is_marked_goes_together() -> None:
    async with opened(a_node(3), view="invites") as (pilot, console, node):
        first, second, third = await waiting(node)
        console.view.query_one(Waiting).rows.focus()
        await press(pilot, "down")
        assert f"{second}   fingerprint" in text(console), "the row in full"
        assert console.view.noun() == "member"
        await press(pilot, "A", "y")
        assert await waiting(node) == [first, third]
        await press(pilot, "home", "space", "space", "A")
        assert "Approve 2 members?" in text(console)
        await press(pilot, "y")
        assert await waiting(node) == []
        assert "FINGERPRINT" not in text(console)
        assert console.view.noun() == "invite", "the focus is back where something is"
        await press(pilot, "down")
        assert console.view.chosen().keys == ("c41f09aa",)


async def test_tab_leads_from_the_invites_to_who_waits() -> None:
    async with opened(a_node(), view="invites") as (pilot, console, _node):
        assert console.view.noun() == "invite"
        await press(pilot, "tab")
        assert console.view.noun() == "member"


async def test_x_rejects_and_the_members_own_command_is_shown() -> None:
    async with opened(a_node(), view="invites") as (pilot, console, node):
        first, second = await waiting(node)
        await press(pilot, "X")
        assert f"Reject member {first}?" in text(console)
        assert f"taskmessenger worker revoke {first}" in text(console)
        assert "It cannot come back" in text(console)
        await press(pilot, "y")
        assert await waiting(node) == [second]


async def test_one_that_was_approved_elsewhere_meanwhile_is_told() -> None:
    async with opened(a_node(), view="invites") as (pilot, console, node):
        first, _ = await waiting(node)
        await press(pilot, "A")
        await node.act(Act("approve", scope=f"worker:{first}"))
        await press(pilot, "y")
        assert "is approved already" in " ".join(map(str, console.told))


async def test_who_is_not_approved_is_gone_after_a_day() -> None:
    async with opened(a_node(), view="invites") as (pilot, console, _node):
        await passed(pilot, DAY)
        assert "wait for approval" not in text(console)


async def test_a_console_that_changes_nothing_shows_them_and_offers_nothing() -> None:
    node = a_node(read_only=True)
    async with opened(node, view="invites", size=LARGE) as (pilot, console, _):
        assert "2 members wait for approval" in text(console)
        assert "Approve" not in text(console)
        before = await waiting(node)
        await press(pilot, "A", "y", "X", "y")
        assert await waiting(node) == before


async def test_an_alarm_on_the_overview_leads_to_them() -> None:
    async with opened(a_node(1), view="overview", size=LARGE) as (pilot, console, _node):
        assert "1 member waits for approval" in text(console)
        grid = console.view.grid
        grid.go([alarm.code for alarm in grid.table.rows].index("pending"))
        await press(pilot, "enter")
        assert console.view.NAME == "invites"


async def test_an_invite_is_made_that_asks_for_approval() -> None:
    async with opened(view="invites") as (pilot, console, node):
        await press(pilot, "n")
        console.screen.query_one(Form).fill({"approve": "yes", "ephemeral": "yes"})
        await press(pilot, "enter")
        assert "may run tasks, once approved, and is forgotten when it leaves." in text(console)
        row = (await node.invites())[0]
        assert (row.approve, row.ephemeral) == (True, True)


def test_it_is_typed_too() -> None:
    assert _typed("worker 50 2h yes").approve
    assert not _typed("worker 50 2h").approve
    assert _typed("worker 50 2h no yes").ephemeral


async def test_what_a_machine_says_of_itself_is_no_markup() -> None:
    from msgspec.structs import replace

    node = a_node(1)
    ((name, row),) = node._fleet.pending.items()
    node._fleet.pending = {name: replace(row, inventory="[bold red]x\x1b[2J")}
    async with opened(node, view="invites", size=LARGE) as (_pilot, console, _):
        assert "[bold red]x" in text(console)
        assert "\x1b" not in text(console)


async def _chosen(pilot: Pilot[Any]) -> None:
    await settle(pilot)
    await pilot.app.go("invites", "")
    await settle(pilot)
    pilot.app.view.query_one(Waiting).rows.focus()
    await settle(pilot)


async def _asked(pilot: Pilot[Any]) -> None:
    await _chosen(pilot)
    await press(pilot, "A")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize(("name", "steps"), [("waiting", _chosen), ("approve", _asked)])
def test_picture(
    name: str, steps: Callable[..., Any], size: tuple[int, int], snap_compare: Callable[..., bool]
) -> None:
    assert name
    assert snap_compare(a_console(a_node(3)), terminal_size=size, run_before=steps)


def test_without_colours(snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    assert snap_compare(a_console(a_node(3)), terminal_size=SMALL, run_before=_chosen)
