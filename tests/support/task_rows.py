"""Random tasks for stores, and the plainest possible answer to a query over them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from taskmessenger.core.commit import Commit
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import TaskQuery, TaskRow

from .stores import T0, an_error, attempt, reopened, settled, submitted

KINDS, WORKERS, BATCHES = ("a", "b", "B", "needle"), ("w1", "w2", "w3"), (None, "x", "y")
ERRORS = ("boom", "No space left", "needle in a haystack")


def random_tasks(rng: Random, many: int) -> list[Commit]:
    """Tasks of all sorts, some of which were tried again, some of which have ended."""
    ids = range(1, many + 1)
    born = [
        submitted(
            i, kind=rng.choice(KINDS), batch=rng.choice(BATCHES), key=rng.choice((None, f"k{i}")),
            priority=rng.choice((0, 0, 0, 5, -5)), submitted_at=T0 + i * 0.5,
        )
        for i in ids
    ]  # fmt: skip
    again = [i for i in ids if rng.random() < 0.3]
    tries = [attempt(i, 1, error=an_error(rng.choice(ERRORS))) for i in again]
    ended = [
        settled(
            i, state, worker=rng.choice(WORKERS), attempt=rng.choice((1, 1, 2, 3)),
            run_seconds=rng.choice((None, 0.1, 0.25, 1.0, 2.0, 30.0)),
            finished_at=T0 + rng.randrange(100),
            error=None if state is TaskState.SUCCEEDED else an_error(rng.choice(ERRORS)),
        )
        for i in ids
        if rng.random() < 0.7
        for state in [rng.choice([s for s in TaskState if s.final])]
    ]  # fmt: skip
    first = Commit(submitted=born)
    return [
        first,
        Commit(reopened=[reopened(i, attempt=rng.choice((1, 2))) for i in again], attempts=tries),
        Commit(settled=ended),
    ]


def naive(rows: Sequence[TaskRow], query: TaskQuery) -> list[int]:
    """All ids that a query means, in its order, written down without regard for anything but the words."""
    texts = (*query.texts, query.text) if query.text else query.texts
    found = [row for row in rows if _lists(row, query) and all(_in(row, one) for one in query.ranges)]
    found = [row for row in found if all(text.lower() in _text(row) for text in texts)]
    found = [row for row in found if not any(text.lower() in _text(row) for text in query.not_texts)]
    if query.errors:
        found = [r for r in found if any(t.lower() in (r.error or "").lower() for t in query.errors)]
    found = [r for r in found if not any(t.lower() in (r.error or "").lower() for t in query.not_errors)]
    if query.sort in {"finished", "run"}:
        found = [row for row in found if _value(row, query.sort) is not None]
    found.sort(key=lambda row: (_value(row, query.sort), row.id), reverse=query.descending)
    return [row.id for row in found]


def _lists(row: TaskRow, query: TaskQuery) -> bool:
    for name, value in (
        ("states", row.state), ("kinds", row.kind), ("workers", row.worker or ""),
        ("batches", row.batch or ""), ("keys", row.key or ""), ("ids", row.id),
    ):  # fmt: skip
        wanted, unwanted = getattr(query, name), getattr(query, f"not_{name}")
        if (wanted and value not in wanted) or value in unwanted:
            return False
    return True


def _text(row: TaskRow) -> str:
    return "\n".join(one or "" for one in (row.kind, row.key, row.batch, row.worker, row.error)).lower()


def _value(row: TaskRow, name: str) -> Any:
    return {
        "id": row.id, "submitted": row.id, "kind": row.kind, "state": row.state, "priority": row.priority,
        "attempt": row.attempt, "run": row.run_seconds, "finished": row.finished_at,
    }[name]  # fmt: skip


def _in(row: TaskRow, one: Any) -> bool:
    value = row.submitted_at if one.field == "submitted" else _value(row, one.field)
    inside = value is not None
    if inside and one.low is not None:
        inside = value > one.low if one.above else value >= one.low
    if inside and one.high is not None:
        inside = value < one.high if one.below else value <= one.high
    return inside != one.negated
