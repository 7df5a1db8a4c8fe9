"""No screen and no dialog is without a picture."""

from __future__ import annotations

from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules
from typing import Any

import anyio
import pytest
from taskmessenger.screens import dialogs, views
from taskmessenger.screens.commands import found_in
from taskmessenger.screens.dialogs.base import Dialog
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.view import View
from textual.command import CommandPalette
from textual.screen import Screen

from tests.console import test_pictures, test_worker_role
from tests.support.console import SMALL, a_console, settle
from tests.support.pictures import after_a_while

ELSEWHERE = {"Ask": "test_start", "AskInvite": "test_start"}
"""Of the screen before the console, which is an application of its own."""
AFTER_A_WHILE = ("overview", "sessions", "workers", "kinds", "worker")
"""Screens whose own files take their pictures, once there are curves."""


def wanted() -> set[type[Screen[Any]]]:
    """Every screen and dialog there is."""
    found: set[type[Screen[Any]]] = {CommandPalette, *found_in(views, View)}
    for info in iter_modules(dialogs.__path__):
        module = import_module(f"{dialogs.__name__}.{info.name}")
        found |= {
            one
            for one in vars(module).values()
            if isclass(one) and issubclass(one, Screen) and one.__module__ == module.__name__
        }
    return {one for one in found if one is not Dialog and one.__name__ not in ELSEWHERE}


async def _seen() -> set[type[Screen[Any]]]:
    seen: set[type[Screen[Any]]] = set()
    steps = [(FakeNode(), one) for one in test_pictures.PICTURES.values()]
    steps += [(FakeWorker(), one) for one in test_worker_role.PICTURES.values()]  # type: ignore[misc]
    steps += [
        (FakeNode(), after_a_while(name, argument="w-fern-00" * (name == "worker"))) for name in AFTER_A_WHILE
    ]
    for node, step in steps:
        async with a_console(node).run_test(size=SMALL) as pilot:
            await step(pilot)
            await settle(pilot)
            seen.add(type(pilot.app.screen))
    return seen


@pytest.fixture(scope="module")
def pictured() -> set[type[Screen[Any]]]:
    return anyio.run(_seen)


@pytest.mark.timeout(600)
def test_every_screen_and_dialog_has_its_picture(pictured: set[type[Screen[Any]]]) -> None:
    assert sorted(one.__name__ for one in wanted() - pictured) == []
