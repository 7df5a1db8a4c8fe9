"""The start screen: what can be begun, what is asked for it, and what comes of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest
from taskmessenger.cli.start import look
from taskmessenger.config import load
from taskmessenger.config.edit import write_all
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.paths import under
from taskmessenger.screens import beginning as b
from taskmessenger.screens.beginning import Begin, Known
from taskmessenger.screens.prefs import Prefs
from taskmessenger.screens.start import StartApp
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.support.console import LARGE, SMALL
from tests.support.nodes import a_manager

NEW = {
    "name": "fern",
    "addresses": ("192.0.2.7",),
    "zerotier": "ZeroTier needs libzt, which is not installed",
}
FOUNDED = NEW | {"manager": "lab, at tcp://192.0.2.7:7711", "listen": ("tcp://192.0.2.7:7711",)}


@asynccontextmanager
async def started(known: dict[str, Any], size: tuple[int, int] = (100, 30)) -> AsyncIterator[Pilot[Any]]:
    async with StartApp(Known(**known)).run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        for _ in range(3):
            await pilot.pause()


def seen(app: Any) -> str:
    return "\n".join("".join(part.text for part in strip) for strip in app.screen._compositor.render_strips())


async def answer(known: dict[str, Any], *keys: str) -> Begin | None:
    async with started(known) as pilot:
        await press(pilot, *keys)
        return pilot.app.return_value


async def test_enter_twice_founds_a_fleet_that_others_can_reach() -> None:
    begin = await answer(NEW, "enter", "enter")
    assert begin == Begin(
        what=b.MANAGER, settings={"name": '"fern"', "transport.listen": '["tcp://0.0.0.0:7711"]'}
    )


async def test_a_worker_that_has_not_joined_is_asked_for_an_invite_and_nothing_else() -> None:
    async with StartApp(Known(**NEW), joins=True).run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "Paste the invite" in seen(pilot.app)
        await press(pilot, *"nonsense", "enter")
        assert "not an invite" in seen(pilot.app)
        await press(pilot, "escape")
        assert pilot.app.return_value is None


async def test_a_fleet_that_was_founded_starts_with_one_key() -> None:
    assert await answer(FOUNDED, "enter") == Begin(what=b.MANAGER)


async def test_e_changes_a_fleet_that_was_founded_and_leaves_its_addresses() -> None:
    begin = await answer(FOUNDED, "e", "enter")
    assert begin == Begin(what=b.MANAGER, settings={"name": '"fern"'})


async def test_a_manager_that_runs_is_attached_to_and_not_started_twice() -> None:
    async with started(FOUNDED | {"running": True}) as pilot:
        assert "your manager that runs here" in seen(pilot.app)
        assert "Manager" not in seen(pilot.app)
        await press(pilot, "enter")
        assert pilot.app.return_value == Begin(what=b.HERE)


async def test_the_last_choice_is_the_first_next_time() -> None:
    for last in (b.WORKER, b.DEMO, b.ELSEWHERE):
        async with started(NEW | {"last": last}) as pilot:
            assert pilot.app.highlighted == last


async def test_why_it_could_not_be_begun_is_said() -> None:
    async with started(NEW | {"error": "tcp://0.0.0.0:7711 is in use"}) as pilot:
        assert "! tcp://0.0.0.0:7711 is in use" in seen(pilot.app)


async def test_q_begins_nothing() -> None:
    assert await answer(NEW, "q") is None


async def test_escape_in_a_form_goes_back() -> None:
    async with started(NEW) as pilot:
        await press(pilot, "enter", "escape")
        assert "What is this machine to be?" in seen(pilot.app)


async def test_zerotier_is_offered_where_it_can_be_used_only() -> None:
    assert b.ANYWHERE not in b.manager_fields(Known(**NEW))[1].choices
    assert b.ANYWHERE in b.manager_fields(Known(**(NEW | {"zerotier": ""})))[1].choices


async def test_what_is_no_invite_is_refused_where_it_is_pasted() -> None:
    async with started(NEW) as pilot:
        await press(pilot, "down", "enter", "x", "enter")
        assert "this is not an invite" in seen(pilot.app)
        assert pilot.app.return_value is None


async def test_an_invite_may_be_pasted_in_several_lines_and_is_not_shown(tmp_path: Path) -> None:
    with a_manager(tmp_path) as (manager, _):
        text, _ = await manager.make_invite(1, 60.0, "worker")
    wrapped = f"  {text[:30]}\n  {text[30:60]}\r\n{text[60:]} \n"
    async with started(NEW) as pilot:
        await press(pilot, "down", "enter")
        pilot.app.screen.query_one(Input).post_message(events.Paste(wrapped))
        await press(pilot, "end")
        assert text[:10] not in seen(pilot.app)
        await press(pilot, "enter", "enter")
        begin = pilot.app.return_value
    assert begin is not None
    assert begin.invite == text
    assert begin.settings == {"name": '"fern"', "capacity": "0"}
    assert text not in repr(begin)


async def test_an_invite_for_somebody_else_is_refused(tmp_path: Path) -> None:
    with a_manager(tmp_path) as (manager, _):
        text, _ = await manager.make_invite(1, 60.0, "operator")
    with pytest.raises(TaskMessengerError, match="is for a operator"):
        b.check_invite(text, ("worker",))
    b.check_invite(text, b.ASKS)


@pytest.mark.parametrize(
    ("given", "listen", "advertise"),
    [
        ({"reach": b.ONLY_HERE, "port": 0}, ("tcp://127.0.0.1:0",), ()),
        ({"reach": b.NEAR, "port": 80, "public": "lab.example"}, ("tcp://0.0.0.0:80",), ("tcp://lab.example:7711",)),
        ({"reach": b.ANYWHERE, "port": 7711, "public": "tcp://lab.example:1"},
         ("tcp://0.0.0.0:7711", "zt://:7711"), ("tcp://lab.example:1", "zt://:7711")),
    ],
)  # fmt: skip
def test_answers_become_settings_that_a_manager_starts_with(
    tmp_path: Path, given: dict[str, Any], listen: tuple[str, ...], advertise: tuple[str, ...]
) -> None:
    paths = under(tmp_path)
    texts = b.manager_settings({"name": "lab"} | given)
    write_all(paths.config_file("manager"), paths, "manager", texts)
    config = load("manager", {}, {}, paths).config
    assert config.name == "lab"
    assert (config.transport.listen, config.transport.advertise) == (listen, advertise)
    assert paths.config_file("manager").stat().st_mode & 0o777 == 0o600


def test_a_zerotier_network_of_ones_own_is_two_settings_that_need_each_other(tmp_path: Path) -> None:
    paths = under(tmp_path)
    given = {"name": "lab", "reach": b.ANYWHERE, "port": 7711, "network": "8056C2E21C000001"}
    write_all(paths.config_file("manager"), paths, "manager", b.manager_settings(given))
    config = load("manager", {}, {}, paths).config
    assert (config.zerotier.network, config.zerotier.network_id) == ("existing", "8056c2e21c000001")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": " ", "reach": b.NEAR, "port": 1}, "Name"),
        ({"name": "x" * 65, "reach": b.NEAR, "port": 1}, "Name"),
        ({"name": "lab", "reach": b.NEAR, "port": 1, "network": "8056c2e21c000001"}, "ZeroTier net"),
        ({"name": "lab", "reach": b.NEAR, "port": 1, "public": "a b"}, "address"),
    ],
)
def test_answers_that_cannot_be_name_what_is_wrong(given: dict[str, Any], why: str) -> None:
    with pytest.raises(TaskMessengerError, match=why):
        b.manager_settings(given)


def test_a_machine_without_anything_is_known_as_such(tmp_path: Path) -> None:
    known = look(under(tmp_path / "new"))
    assert (known.running, known.manager, known.worker, known.member) == (False, "", "", "")
    assert known.name


def test_a_manager_that_runs_or_has_run_is_known(tmp_path: Path) -> None:
    with a_manager(tmp_path) as (_, paths):
        assert look(paths).running
    known = look(paths)
    assert not known.running
    assert known.manager


async def test_a_new_fleet_opens_with_an_invite(tmp_path: Path) -> None:
    from taskmessenger.screens.welcome import Welcome

    with a_manager(tmp_path) as (manager, _):
        console = Welcome(manager, prefs=Prefs(), clock=time)
        async with console.run_test(size=(100, 30)) as pilot:
            for _ in range(200):
                await pilot.pause(0.02)
                if "tm1-" in seen(console):
                    break
            assert "tm1-" in seen(console)
            assert any("Paste this invite" in words for _, _, words in console.told)


PICTURES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "new": (NEW, ()),
    "founded": (FOUNDED, ()),
    "form": (NEW, ("enter",)),
    "invite": (NEW, ("down", "enter", "x", "enter")),
    "error": (FOUNDED | {"error": "tcp://0.0.0.0:7711 is in use: stop the other program"}, ()),
}


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    known, keys = PICTURES[name]

    async def steps(pilot: Pilot[Any]) -> None:
        await press(pilot, *keys)

    assert snap_compare(StartApp(Known(**known)), terminal_size=size, run_before=steps)


@pytest.mark.parametrize(
    ("address", "fits"), [("nonsense", False), ("tcp://", False), ("tcp://127.0.0.1:7711", True)]
)
async def test_a_member_attaches_to_an_address_and_to_nothing_else(address: str, fits: bool) -> None:
    async with started(NEW | {"member": "lab", "member_at": ""}) as pilot:
        app: Any = pilot.app
        for _ in range(len(app._options)):
            if app.highlighted == b.ELSEWHERE:
                break
            await press(pilot, "down")
        await press(pilot, "enter")
        field = app.screen.query_one(Input)
        field.value = address
        await press(pilot, "enter")
        if fits:
            assert app.return_value == Begin(what=b.ELSEWHERE, address=address)
        else:
            assert app.return_value is None
            assert "addr" in seen(app).lower()
