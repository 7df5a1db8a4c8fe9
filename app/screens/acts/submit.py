"""Handing in tasks: a kind, then a form made from its schema; or one like a task that there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...core.errors import UsageError
from ...handle import Group, KindSchema, TaskRow
from ..commands import Command
from ..dialogs.choice import Choice, Option
from ..dialogs.submit import Draft, SubmitForm, twin_of
from ..view import View
from ..widgets.words import safe

MANAGER = frozenset({"manager"})
MAX_DOC: Final = 54
"""Characters of a description in the list of kinds."""


class Submit(Command):
    """Hand in a task: choose its kind, fill in its payload. Or with the kind:  :task.submit hash ."""

    name, title, key, place = "task.submit", "Submit", "n", 46
    asks_words = True
    views, roles, changes = ("overview", "tasks", "task", "workers", "worker", "kinds"), MANAGER, True

    def twin(self, view: View) -> str:
        return f"taskmessenger submit {_kind_here(view) or 'KIND'}"

    async def run(self, view: View, words: str = "") -> None:
        known = await view.node.kind_schemas()
        if not known:
            raise UsageError(
                "no connected worker offers a kind yet: start one, or use `taskmessenger submit`"
            )
        name = words or await _choose(view, known)
        if name:
            await _ask(view, Draft(kind=_find(known, name)))


class SubmitLike(Command):
    """Hand in a new task like this one: its payload and settings in a form, to be changed."""

    name, title, key, menu = "task.like", "Submit like it", "N", True
    asks_words = True
    views, roles, changes = ("tasks", "task"), MANAGER, True

    def ready(self, view: View) -> bool:
        chosen = view.chosen()
        return not chosen.whole and len(chosen.keys) == 1

    async def run(self, view: View, words: str = "") -> None:
        task_id = view.chosen().keys[0]
        found = await view.node.task(task_id)
        if found.payload is None:
            raise UsageError(
                f"the payload of task {task_id} is too large to edit here: R submits it as it is"
            )
        known = {kind.name: kind for kind in await view.node.kind_schemas()}
        kind = known.get(found.row.kind) or KindSchema(found.row.kind)
        await _ask(view, Draft(kind=kind, payload=found.payload, options=_options(found.row)))


async def _ask(view: View, draft: Draft) -> None:
    group: Group | None = await view.console.push_screen_wait(SubmitForm(draft))
    if group is None:
        return
    ids = await view.node.submit([group])
    view.console.tell(f"submitted task {', '.join(map(str, ids))}: {safe(twin_of(group))}")
    view.acted()


async def _choose(view: View, known: Sequence[KindSchema]) -> str | None:
    options = [
        Option(kind.name, safe(kind.doc, MAX_DOC) if kind.workers else "no worker offers it", kind.name)
        for kind in known
    ]
    chosen: str | None = await view.console.push_screen_wait(
        Choice("Submit a task of kind", options, at=_kind_here(view))
    )
    return chosen


def _kind_here(view: View) -> str:
    """The kind that the cursor is on, or the kind of the task."""
    current = view.current()
    row = getattr(current, "row", current)
    return str(getattr(row, "name", "") if view.NAME == "kinds" else getattr(row, "kind", ""))


def _find(known: Sequence[KindSchema], name: str) -> KindSchema:
    for kind in known:
        if kind.name == name:
            return kind
    names = ", ".join(kind.name for kind in known)
    raise UsageError(f"no connected worker offers `{safe(name)}`; there are {safe(names)}")


def _options(row: TaskRow) -> dict[str, str]:
    """How this task is run, as texts. Not its key: the same key would be the same task."""
    texts = {"priority": str(row.priority), "max_attempts": str(row.max_attempts)}
    texts |= {"batch": row.batch} if row.batch else {}
    texts |= {"worker": row.target} if row.target else {}
    return texts | ({"timeout": f"{row.timeout:g}s"} if row.timeout is not None else {})
