"""Goes through all parts of an act on everything that matches a query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from ..core.errors import Conflict
from ..core.text import count as number_of
from .live import Act, ActDone

KEPT_IDS = 1_000
"""Ids in the answer."""
SLACK_SHARE, SLACK = 0.1, 10
"""So many more tasks than were confirmed may match: it takes a moment to confirm."""

Progress = Callable[[int], None]


def with_slack(expected: int) -> int:
    """How many tasks an act may reach of which so many were confirmed."""
    return expected + max(SLACK, int(expected * SLACK_SHARE))


async def act_on_all(
    once: Callable[[Act], Awaitable[ActDone]], act: Act, progress: Progress | None = None
) -> ActDone:
    """Repeat `act` until nothing is left; `progress` is told how many tasks it has reached so far.

    Raises:
        Conflict: many more tasks than were confirmed; says how many it has reached.
    """
    done = await once(act)
    count, ids = done.count, list(done.ids)
    while done.next is not None and act.query is not None:
        if progress is not None:
            progress(count)
        if act.expected is not None and count > with_slack(act.expected):
            raise Conflict(
                f"it reached {number_of(count, 'task')} and {act.expected:,} were confirmed: the rest stays"
            )
        act = replace(act, query=replace(act.query, at=done.next, before=None, after=None))
        done = await once(act)
        count += done.count
        ids = (ids + done.ids)[:KEPT_IDS]
    return ActDone(count, ids)
