"""No screen and no dialog is without a picture."""

from __future__ import annotations

from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules
from typing import Any

from taskmessenger.screens import dialogs, views
from taskmessenger.screens.commands import found_in
from taskmessenger.screens.dialogs.base import Dialog, Modal
from taskmessenger.screens.view import View
from textual.command import CommandPalette
from textual.screen import Screen

from tests.console import test_pictures, test_worker_role
from tests.support.pictures import SEEN_IN

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
    return {one for one in found if one not in {Dialog, Modal} and one.__name__ not in ELSEWHERE}


def test_every_screen_and_dialog_has_its_picture() -> None:
    assert sorted(one.__name__ for one in wanted()) == sorted(SEEN_IN)


def test_every_picture_that_is_named_is_taken() -> None:
    """And whoever takes it sees that it is of this: `tests.support.pictures.shows`."""
    taken = {*test_pictures.PICTURES, *test_worker_role.PICTURES, *AFTER_A_WHILE}
    assert set(SEEN_IN.values()) <= taken
