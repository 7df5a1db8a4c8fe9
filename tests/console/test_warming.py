"""Screens are made ahead, so that the key that opens one does not wait for it to be made."""

from __future__ import annotations

from functools import partial

import pytest
from taskmessenger.screens import warming
from taskmessenger.screens.fake import FakeWorker

from tests.support.console import opened, press, text


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(warming, "GAP_SECONDS", 0.0)


@pytest.mark.parametrize("role", ["manager", "worker"])
async def test_every_screen_with_a_digit_is_made_and_none_is_shown(role: str) -> None:
    async with opened(FakeWorker() if role == "worker" else None) as (pilot, console, _):
        first = console.view
        await console.warm(console.placed())
        made = {kind.NAME: console.get_screen(kind.NAME) for kind in console.placed()}
        assert all(screen.is_running for screen in made.values())
        assert console.view is first
        for kind in console.placed():
            await press(pilot, str(kind.PLACE))
            assert console.view is made[kind.NAME]
            assert kind.TITLE in text(console)


async def test_no_screen_is_made_while_somebody_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "LATEST", 0.01)
    async with opened() as (pilot, console, _node):
        await press(pilot, "j")
        assert console.typed_at > 0
        console.typed_at = float("inf")
        kinds = console.placed()
        worker = console.run_worker(partial(console.warm, kinds), group="warming")
        for _ in range(5):
            await warming.asyncio.sleep(0.01)
        assert not any(console.is_screen_installed(kind.NAME) for kind in kinds[1:])
        console.typed_at = float("-inf")
        await worker.wait()
        assert all(console.is_screen_installed(kind.NAME) for kind in kinds)
