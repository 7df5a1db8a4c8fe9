"""Filter and saved views of the task pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...core.errors import UsageError
from ..commands import Command
from ..dialogs.choice import Choice, Option
from ..dialogs.prompt import Prompt
from ..view import View
from ..widgets.columns import Sort
from ..widgets.filterbar import FilterBar

if TYPE_CHECKING:
    from ..views.tasks import TasksView

MAX_NAME = 40


class OnTasks(Command):
    """Base of those for the task pool."""

    views, roles = ("tasks",), frozenset({"manager"})


class Filter(OnTasks):
    """Type a filter, as  kind:hash -state:succeeded submitted<10m "disk full" ."""

    name, title, key, place = "tasks.filter", "Filter", "/", 50
    asks_words = True

    async def run(self, view: View, words: str = "") -> None:
        if words:
            cast("TasksView", view).load(words)
        else:
            view.query_one(FilterBar).open()


class ClearFilter(OnTasks):
    """Show all tasks again."""

    name, title, key = "tasks.clear", "No filter", "\\"

    async def run(self, view: View, words: str = "") -> None:
        cast("TasksView", view).load("")


class Reload(OnTasks):
    """Ask for the first page again, without what does not match any more."""

    name, title, key = "tasks.reload", "Reload", "ctrl+r"

    async def run(self, view: View, words: str = "") -> None:
        tasks = cast("TasksView", view)
        saved = tasks.saved()
        tasks.load(saved.filter, Sort(saved.sort, saved.down))


class SaveView(OnTasks):
    """Keep this filter and order under a name."""

    name, title, key = "tasks.save", "Save view", "ctrl+s"
    asks_words = True

    async def run(self, view: View, words: str = "") -> None:
        name = words or await view.console.push_screen_wait(Prompt("Save this view", "Name", check=_name))
        if name:
            _name(name)
            view.console.prefs.save_view(view.NAME, name, cast("TasksView", view).saved())
            view.console.tell(f"saved: v and {name} shows it again")


class LoadView(OnTasks):
    """Show a view that was saved."""

    name, title, key, place = "tasks.view", "Views", "v", 510

    async def run(self, view: View, words: str = "") -> None:
        saved = view.console.prefs.kept.views.get(view.NAME, {})
        if not saved:
            raise UsageError("no view was saved yet: ^s keeps this one")
        options = [Option(n, s.filter or "(all)", n) for n, s in saved.items()]
        name = words or await view.console.push_screen_wait(Choice("Saved views", options))
        if not name:
            return
        if name not in saved:
            raise UsageError(f"no view is called `{name}`; there are {', '.join(saved)}")
        one = saved[name]
        cast("TasksView", view).load(one.filter, Sort(one.sort, one.down) if one.sort else None)


def _name(text: str) -> None:
    if not text or len(text) > MAX_NAME:
        raise UsageError(f"a name has 1 to {MAX_NAME} characters")
