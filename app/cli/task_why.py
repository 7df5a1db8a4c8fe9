"""Why something could not be done with some tasks: a line for each, and the exit code of the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..core.errors import Conflict, TaskMessengerError, no_task
from ..core.lifecycle import TaskState
from .connect import manager
from .output import note

if TYPE_CHECKING:
    from ..handle import TaskRow
    from ..remote import Remote

PAGE: Final = 1_000
"""Rows of one request."""
MAX_TOLD: Final = 20
"""Tasks that get a line of their own."""
_ONLY: Final = {
    "cancel": "only open tasks can be cancelled",
    "resubmit": "only tasks that are known with their payload can be submitted anew",
    "retry": "only failed and timed out tasks can be retried",
    "set_priority": "only tasks that no worker has can get another priority",
}
_IS: Final = {
    TaskState.SUCCEEDED: "has succeeded",
    TaskState.FAILED: "has failed",
    TaskState.TIMED_OUT: "has timed out",
}


async def rows_of(remote: Remote, ids: list[int]) -> dict[int, TaskRow]:
    """Those of them that exist, in the order given."""
    from ..handle import TaskQuery

    found: dict[int, TaskRow] = {}
    for start in range(0, len(ids), PAGE):
        some = tuple(ids[start : start + PAGE])
        found |= {row.id: row for row in (await remote.page(TaskQuery(ids=some, limit=PAGE))).rows}
    return {task_id: found[task_id] for task_id in ids if task_id in found}


async def complain_of(verb: str, ids: Sequence[int]) -> None:
    """Look at these tasks, and say why it could not be done with them.

    Raises:
        NotFound, Conflict: that.
    """
    async with manager() as remote:
        rows = await rows_of(remote, list(ids))
    complain(verb, ids, rows)


def complain(verb: str, ids: Sequence[int], rows: Mapping[int, TaskRow]) -> None:
    """A line for each, the last as the error: that of an unknown id rather than of a wrong state.

    Raises:
        NotFound, Conflict: it could not be done with some.
    """
    errors: list[TaskMessengerError] = []
    for task_id in ids:
        row = rows.get(task_id)
        if row is None:
            errors.append(no_task(task_id))
            continue
        state = TaskState(row.state)
        errors.append(Conflict(f"task {task_id} {_IS.get(state, f'is {state.word}')}: {_ONLY[verb]}"))
    if not errors:
        return
    errors.sort(key=lambda error: error.exit_code, reverse=True)
    for error in errors[:-1][:MAX_TOLD]:
        note(str(error))
    if len(errors) - 1 > MAX_TOLD:
        note(f"... and {len(errors) - 1 - MAX_TOLD:,} more")
    raise errors[-1]
