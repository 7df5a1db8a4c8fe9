"""Several errors at once, as task groups raise them, brought down to the one that has to be told."""

from __future__ import annotations

from .errors import TaskMessengerError


def the_one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to raise instead of the group: the only error in it that nobody foresaw, else the first foreseen.

    Several unforeseen ones stay together: each of them is a bug that somebody wants to see.
    """
    leaves: list[BaseException] = []
    todo: list[BaseException] = [group]
    while todo:
        error = todo.pop(0)
        if isinstance(error, BaseExceptionGroup):
            todo += error.exceptions
        else:
            leaves.append(error)
    unforeseen = [error for error in leaves if not isinstance(error, TaskMessengerError)]
    if len(unforeseen) > 1:
        return group
    return unforeseen[0] if unforeseen else leaves[0]
