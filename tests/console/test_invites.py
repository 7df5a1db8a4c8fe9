"""Invites: made, shown once, copied, read by a camera, counted down, revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import InviteRow
from taskmessenger.screens import qr
from taskmessenger.screens.acts.invites import _typed
from taskmessenger.screens.dialogs.invite import InviteMade, QrCode
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.invite_words import countdown, endpoints, only_here, state
from taskmessenger.screens.widgets.form import Form

from tests.support.console import LARGE, SMALL, opened, passed, press, settle, text, type_text

REAL = InviteRow("7F3KQ9ZD", "worker", b"", 1, 1, 0.0, 900.0)


async def test_it_shows_who_may_still_join_and_counts_down() -> None:
    async with opened(view="invites", size=SMALL) as (pilot, console, _node):
        assert "2 open of 4 invites   8 may still join" in text(console)
        assert "14:30" in text(console)
        await passed(pilot, 31)
        assert "13:59" in text(console)
        await passed(pilot, 900)
        assert "0 open of 4 invites" in text(console)
        assert "expired" in text(console)


async def test_n_makes_an_invite_that_is_shown_once() -> None:
    async with opened(view="invites") as (pilot, console, node):
        await press(pilot, "n")
        assert "Make an invite" in text(console)
        form = console.screen.query_one(Form)
        assert form.texts() == {
            "role": "worker", "uses": "1", "ttl": "15m", "approve": "no", "ephemeral": "no"
        }  # fmt: skip
        form.fill({"uses": "3", "ttl": "2h", "role": "operator"})
        await press(pilot, "enter")
        assert isinstance(console.screen, InviteMade)
        shown = text(console)
        assert "tm1-" in shown
        assert "taskmessenger join -" in shown
        assert "3 machines can join with it" in shown
        row = (await node.invites())[0]
        assert (row.role, row.uses, row.expires_at - row.created_at) == ("operator", 3, 7_200.0)
        await press(pilot, "escape")
        assert "tm1-" not in text(console)
        assert row.id in text(console)


async def test_its_secret_is_nowhere_but_in_the_dialog_and_the_clipboard(tmp_path: Path) -> None:
    async with opened(view="invites") as (pilot, console, node):
        await press(pilot, "n", "enter")
        await press(pilot, "enter")  # Copy
        secret = console.clipboard
        assert secret.startswith("tm1-")
        await press(pilot, "escape")
        kept = [*map(str, console.told), *map(str, console.pulse.events), str(node.snapshot())]
        kept += [str(console.view.known), str(console.view.current()), json.dumps(console.view.current())]
        await press(pilot, "Y")
        kept.append(console.clipboard)
        await console.registry.find("row.export", console.view).run(console.view, str(tmp_path / "all.csv"))
        kept.append((tmp_path / "all.csv").read_text())
        part = secret[-11:]
        assert not [one for one in kept if part in one]
        assert "secret_hash" not in kept[-1]


async def test_what_makes_no_sense_is_said_at_the_field() -> None:
    async with opened(view="invites") as (pilot, console, node):
        before = len(await node.invites())
        await press(pilot, "n")
        console.screen.query_one(Form).fill({"uses": "0"})
        await press(pilot, "enter")
        assert "Uses: 0 is not at least 1" in text(console)
        console.screen.query_one(Form).fill({"uses": "1", "ttl": "soon"})
        await press(pilot, "enter")
        assert "Good for: `soon` is not a length of time" in text(console)
        assert len(await node.invites()) == before


async def test_the_code_fits_a_small_terminal_and_says_so_where_it_does_not() -> None:
    async with opened(view="invites", size=SMALL) as (pilot, console, _node):
        await press(pilot, "n", "enter", "tab", "enter")
        assert isinstance(console.screen, QrCode)
        assert "█▀▀▀▀▀█" in text(console)
        await pilot.resize_terminal(40, 12)
        await settle(pilot)
        assert "too small for the code" in text(console)
        await press(pilot, "escape")
        assert isinstance(console.screen, InviteMade)


async def test_d_revokes_what_is_open_after_a_question() -> None:
    async with opened(view="invites") as (pilot, console, node):
        await press(pilot, "d")
        assert "Revoke invite 8d2e77b0?" in text(console)
        assert "Who has joined with it stays." in text(console)
        await press(pilot, "enter")
        assert "2 open of 4" in text(console)
        await press(pilot, "d", "y")
        assert {row.id: row.revoked_at for row in await node.invites()}["8d2e77b0"] == node.now
        assert "1 open of 4" in text(console)


async def test_of_the_marked_ones_only_open_ones_are_revoked() -> None:
    async with opened(view="invites") as (pilot, console, node):
        await press(pilot, "space", "space", "space", "space", "d")
        assert "Revoke 2 invites?" in text(console)
        await press(pilot, "y")
        assert [row.id for row in await node.invites() if state(row, node.now) == "open"] == []


async def test_invites_are_searched() -> None:
    async with opened(view="invites") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "open worker\r")
        assert [row.id for row in console.view.grid.table.rows] == ["c41f09aa"]


async def test_a_console_that_changes_nothing_makes_no_invites() -> None:
    async with opened(FakeNode(read_only=True), view="invites", size=LARGE) as (pilot, console, node):
        await press(pilot, "n", "d")
        assert "New invite" not in text(console)
        assert len(await node.invites()) == 4


def test_typed_words_stand_for_the_form() -> None:
    wanted = _typed("client 50 2h")
    assert (wanted.role, wanted.uses, wanted.ttl) == ("client", 50, 7_200.0)
    assert _typed("worker").uses == 0
    with pytest.raises(UsageError, match="For a"):
        _typed("king")


def test_states_and_countdowns() -> None:
    assert countdown(REAL, 0.0) == "15:00"
    assert countdown(REAL, 890.0) == ("0:10", "warn")
    assert countdown(REAL, 900.0) == ""
    assert state(REAL, 900.0) == "expired"
    assert countdown(InviteRow("A", "worker", b"", 1, 1, 0.0, 7_205.0), 0.0) == "2:00:05"


def test_the_code_is_square_and_has_a_border() -> None:
    rows = qr.modules("TM1-" + "7F3KQ-" * 25)
    assert len(rows) == len(rows[0])
    drawn = qr.framed(rows, 80, 24)
    assert drawn is not None
    lines = drawn.plain.split("\n")
    assert len({len(line) for line in lines}) == 1
    assert len(lines) <= 24
    assert not lines[-1].strip()
    assert qr.framed(rows, *[n - 1 for n in qr.needs(rows)]) is None


def test_addresses_of_a_real_invite_are_read_from_it() -> None:
    from taskmessenger.net.security import invites
    from taskmessenger.net.security.endpoints import TcpEndpoint

    made = invites.Invite(
        id=invites.new_id(), secret=invites.new_secret(), ca_hash=bytes(16),
        endpoints=(TcpEndpoint(host="127.0.0.1", port=7711),), expires_at=1,
    )  # fmt: skip
    found = endpoints(invites.encode(made))
    assert found == ("tcp://127.0.0.1:7711",)
    assert only_here(found)
    assert not only_here(("tcp://192.0.2.7:7711",))
    assert endpoints("hello") == ()
    assert qr.framed(qr.modules(invites.encode(made).upper()), 80, 24) is not None
