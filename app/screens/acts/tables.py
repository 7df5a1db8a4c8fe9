"""Searching in the tables that are in memory."""

from __future__ import annotations

from typing import cast

from ..commands import Command
from ..steering import MANAGER
from ..table_view import TableView
from ..view import View
from ..widgets.filterbar import FilterBar

VIEWS = ("sessions", "workers", "kinds", "events", "invites", "network", "settings", "history", "log")


class Search(Command):
    """Show rows with these words only; a column as  state:paused,away , without with  -gpu ."""

    name, title, key, place = "table.search", "Search", "/", 50
    asks_words = True
    views = VIEWS

    async def run(self, view: View, words: str = "") -> None:
        if words:
            cast("TableView", view).load(words)
        else:
            view.query_one(FilterBar).open()


class SearchNothing(Command):
    """Show all rows again."""

    name, title, key = "table.all", "All rows", "\\"
    views = VIEWS

    async def run(self, view: View, words: str = "") -> None:
        cast("TableView", view).load("")


class EndedOnly(Command):
    """Links that ended, and why; again for all."""

    name, title, key, place = "sessions.ended", "Ended", "h", 20
    views, roles = ("sessions",), MANAGER

    async def run(self, view: View, words: str = "") -> None:
        only = "state:ended"
        cast("TableView", view).load("" if view.query_one(FilterBar).filter == only else only)
