"""What commands about workers, kinds and the fleet share: several acts at once, the way to the task pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..core.errors import Conflict, NotFound
from ..handle import Act, ActDone, TaskQuery
from ..handle.filters import filter_of
from .view import View

MANAGER: Final = frozenset({"manager"})


async def each(view: View, acts: Sequence[Act]) -> ActDone:
    """One after the other; those that cannot be are left out, and are an error when all of them are.

    Raises:
        NotFound, Conflict: why the last of them could not be done, when none could.
    """
    done = 0
    why: NotFound | Conflict | None = None
    for act in acts:
        try:
            await view.node.act(act)
        except (NotFound, Conflict) as error:
            why = error
        else:
            done += 1
    if why is not None and not done:
        raise why
    return ActDone(done)


async def show_tasks(view: View, query: TaskQuery) -> None:
    """The task pool with this filter."""
    console = view.console
    await console.go("tasks")
    console.give("tasks.filter", console.view, filter_of(query))
