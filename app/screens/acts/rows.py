"""Commands about the rows of whatever table is seen: mark, sort, filter, copy, export, menu, saved views."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import UsageError
from ...core.text import count
from ...paths import expanded
from ..commands import Command
from ..dialogs.choice import Choice, Option
from ..dialogs.prompt import Prompt
from ..export import FORMS, as_json, write
from ..view import View
from ..widgets.columns import Sort


class OnRows(Command):
    """Base of those that need a table with a row in it."""

    menu = True

    def ready(self, view: View) -> bool:
        return view.grid is not None and view.grid.current() is not None


class Mark(OnRows):
    """Mark the row, or take its mark away; commands apply to all marked rows."""

    name, title, key = "row.mark", "Mark", "space"

    async def run(self, view: View, words: str = "") -> None:
        grid = view.grid
        if grid is None or (row := grid.current()) is None:
            return
        key = grid.table.key(row)
        grid.mark([key], on=key not in grid.table.marks)
        grid.action_move(1)


class MarkAll(OnRows):
    """Choose everything that matches the filter, seen or not."""

    name, title, key = "row.all", "Choose all", "ctrl+a"

    async def run(self, view: View, words: str = "") -> None:
        grid = view.grid
        if grid is None:
            return
        if grid.table.windowed:
            view.whole = True
        else:
            grid.mark([grid.table.key(row) for row in grid.table.rows], on=True)


class Unmark(OnRows):
    """Take all marks away."""

    name, title, key, menu = "row.unmark", "Unmark", "", False

    def ready(self, view: View) -> bool:
        return view.whole or (view.grid is not None and bool(view.grid.table.marks))

    async def run(self, view: View, words: str = "") -> None:
        view.whole = False
        if view.grid is not None:
            view.grid.mark(view.grid.table.marks, on=False)


class SortBy(Command):
    """Sort by a column; the same one again turns the order round."""

    name, title, key, place = "row.sort", "Sort", "s", 500

    def ready(self, view: View) -> bool:
        return view.grid is not None and any(c.sorts for c in view.grid.table.columns)

    async def run(self, view: View, words: str = "") -> None:
        grid = view.grid
        if grid is None:
            return
        now = grid.table.sort
        options = [Option(c.key, c.title.strip()) for c in grid.table.columns if c.sorts]
        if words and words not in {o.answer for o in options}:
            raise UsageError(f"sorted by {', '.join(o.answer for o in options)}, not by `{words}`")
        key = words or await view.console.push_screen_wait(
            Choice("Sort by", options, at="" if now is None else now.key)
        )
        if key:
            grid.sort_by(key)


class Reverse(Command):
    """Turn the order round."""

    name, title, key = "row.reverse", "Reverse", "S"

    def ready(self, view: View) -> bool:
        return view.grid is not None and view.grid.table.sort is not None

    async def run(self, view: View, words: str = "") -> None:
        grid = view.grid
        if grid is not None and (sort := grid.table.sort) is not None:
            grid.set_sort(Sort(sort.key, not sort.down))


class Copy(Command):
    """Copy the ids of the chosen rows."""

    name, title, key, menu = "row.copy", "Copy id", "y", True

    def ready(self, view: View) -> bool:
        return bool(view.chosen())

    async def run(self, view: View, words: str = "") -> None:
        chosen = view.chosen()
        if chosen.whole:
            raise UsageError("all that match are too many to copy: export them with x")
        view.console.copy_to_clipboard("\n".join(str(key) for key in chosen.keys))
        view.console.tell(f"copied {chosen.told()}")


class CopyJson(Command):
    """Copy all that is known of the row as JSON."""

    name, title, key, menu = "row.copy_json", "Copy JSON", "Y", True

    def ready(self, view: View) -> bool:
        return view.current() is not None

    async def run(self, view: View, words: str = "") -> None:
        view.console.copy_to_clipboard(as_json(view.current()))
        view.console.tell("copied as JSON")


class Export(Command):
    """Write every row that matches to a file, as CSV or as JSON lines by its name."""

    name, title, key, place = "row.export", "Export", "x", 600
    asks_words = True

    def ready(self, view: View) -> bool:
        return view.grid is not None

    async def run(self, view: View, words: str = "") -> None:
        console = view.console
        name = words or await console.push_screen_wait(
            Prompt("Export", f"File ({', '.join(FORMS)})", f"{view.NAME}.csv", check=_writable)
        )
        if not name:
            return
        _writable(name)
        path = _path(name)
        number = await write(view.export(), path)
        console.tell(f"{count(number, 'row')} in {path}")


class Menu(Command):
    """What can be done with the chosen rows, as a menu."""

    name, title, key = "row.menu", "Menu", "m"

    def ready(self, view: View) -> bool:
        return bool(view.chosen())

    async def run(self, view: View, words: str = "") -> None:
        registry = view.console.registry
        options = [Option(c.name, c.title, registry.shown_key(c)) for c in registry.ready(view) if c.menu]
        name = await view.console.push_screen_wait(Choice(view.chosen().told(), options))
        if name:
            view.console.give(name, view)


def _path(name: str) -> Path:
    return expanded(name).absolute()


def _writable(name: str) -> None:
    path = _path(name)
    if path.suffix not in FORMS:
        raise UsageError(f"the name must end in {' or '.join(FORMS)}")
    if path.exists():
        raise UsageError(f"{name} exists already: give another name")
