"""Acts on tasks, by their ids or on all that match a query: cancel, retry, resubmit, edit, set priority.

One call does a bounded part of it and says where to go on, so that a link serves other requests in between,
whoever asked sees progress, and may stop. `handle.acting` goes through all parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import anyio
from msgspec.structs import replace

from ..core import effects as e
from ..core import stimuli as s
from ..core.commit import OpenRow
from ..core.errors import Conflict, NotFound, UsageError, by_code, no_task
from ..core.lifecycle import TaskState
from ..core.ports import TaskStore
from ..core.text import count
from ..handle import Act, ActDone, Count, TaskPage, TaskQuery, WorkerRow
from ..handle.acting import KEPT_IDS, with_slack
from .deliver import Delivery
from .inbox import weight_of
from .writer import Writer

PART: Final = 1_000
"""Tasks of one stimulus: everybody else waits while it is decided on."""
STEP: Final = 5_000
"""Tasks of one call, about."""
STEP_SECONDS: Final = 2.0
"""After that a call comes back with what it has done."""
COPIES: Final = 64
"""Payloads read from the store at a time."""
MAX_PRIORITY: Final = 100
TASK_VERBS: Final = frozenset({"cancel", "retry", "resubmit", "edit", "set_priority"})


class Lists(Protocol):
    """The desk, as far as it is needed here."""

    async def page(self, query: TaskQuery) -> TaskPage: ...

    async def count(self, query: TaskQuery, most: int) -> Count: ...

    async def members(self) -> dict[str, WorkerRow]: ...


class Keeper(Protocol):
    """What acts on tasks need of the manager."""

    @property
    def desk(self) -> Lists: ...

    @property
    def store(self) -> TaskStore: ...

    @property
    def max_payload(self) -> int: ...

    def accepting(self) -> None:
        """Raise the reason why nothing new is accepted now."""
        ...


class TaskActs:
    """Carries them out."""

    def __init__(self, writer: Writer, delivery: Delivery, keeper: Keeper) -> None:
        self._writer, self._delivery, self._keeper = writer, delivery, keeper

    async def on_ids(self, act: Act, ids: Sequence[int]) -> list[int]:
        """The ids that it applied to; of resubmit and edit the new ones.

        Raises:
            UsageError, NotFound, Conflict: it makes no sense; nothing was done.
        """
        ids = list(dict.fromkeys(ids))
        if act.verb == "edit":
            return [await self._edit(act, ids)]
        if act.verb == "resubmit" and len(await self._rows(ids)) < len(ids):
            raise NotFound("not all of these tasks exist (any more): see `taskmessenger task ls`")
        self._check(act)
        done: list[int] = []
        for start in range(0, len(ids), PART):
            done += await self._part(act, ids[start : start + PART])
        return done

    async def on_matching(self, act: Act) -> ActDone:
        """The next tasks that match, newest first, and where to go on.

        Raises:
            Conflict: many more match than were confirmed; nothing was done.
            UsageError: it makes no sense.
        """
        assert act.query is not None
        if act.verb == "edit":
            raise UsageError("a payload is edited for one task at a time: give its id")
        self._check(act)
        query = replace(act.query, sort="id", descending=True, limit=PART, before=None, after=None)
        if act.expected is not None and query.at is None:
            await self._confirm(query, act.expected)
        until = anyio.current_time() + STEP_SECONDS
        done: list[int] = []
        reached, place = 0, query.at
        while reached < STEP and anyio.current_time() < until:
            page = await self._keeper.desk.page(query)
            ids = [row.id for row in page.rows]
            reached += len(ids)
            done += await self._part(act, ids) if ids else []
            place = page.next if page.more else None
            if place is None:
                break
            query = replace(query, at=place)
        return ActDone(len(done), done[:KEPT_IDS], place)

    async def _confirm(self, query: TaskQuery, expected: int) -> None:
        bound = with_slack(expected)
        found = await self._keeper.desk.count(query, bound + 1)
        if found.number > bound:
            match = count(found.number, "task matches", "tasks match")
            raise Conflict(f"{match} by now, and {expected:,} were confirmed: look again")

    def _check(self, act: Act) -> None:
        if act.verb in {"retry", "resubmit"}:
            self._keeper.accepting()
        if act.verb == "set_priority" and not (
            -MAX_PRIORITY <= act.number <= MAX_PRIORITY and float(act.number).is_integer()
        ):
            raise UsageError(
                f"priority {act.number:g} is no whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}"
            )

    async def _part(self, act: Act, ids: Sequence[int]) -> list[int]:
        match act.verb:
            case "cancel":
                return await self._operate(s.Cancel(ids))
            case "retry":
                return await self._operate(s.Retry(ids=ids))
            case "set_priority":
                return await self._operate(s.SetPriority(ids, int(act.number)))
            case _:
                return await self._resubmit(ids)

    async def _operate(self, stimulus: s.Cancel | s.Retry | s.SetPriority) -> list[int]:
        answer = await self._decided(stimulus, 1 + len(stimulus.ids) // 100)
        assert isinstance(answer, e.Done)
        return answer.ids

    async def _rows(self, ids: Sequence[int]) -> list[OpenRow]:
        rows: list[OpenRow] = []
        for start in range(0, len(ids), PART):
            rows += await self._keeper.store.task_rows(ids[start : start + PART])
        return rows

    async def _resubmit(self, ids: Sequence[int]) -> list[int]:
        """New tasks with the same payloads and options; an idempotency key stays with the old one."""
        new: list[int] = []
        for start in range(0, len(ids), COPIES):
            rows = await self._keeper.store.task_rows(ids[start : start + COPIES])
            payloads = await self._keeper.store.payloads([row[0] for row in rows])
            for options, group in _alike(rows):
                bodies = [payloads[i] for i in group if i in payloads]
                new += await self._submit(options, bodies)
        return sorted(new)

    async def _edit(self, act: Act, ids: Sequence[int]) -> int:
        """A new task like the old one, with another payload. The old one stays as it was: it is evidence."""
        self._keeper.accepting()
        if len(ids) != 1 or act.payload is None:
            raise UsageError("an edit is of one task and brings its new payload")
        if len(act.payload) > self._keeper.max_payload:
            raise UsageError(
                f"a payload of {len(act.payload)} bytes is over this manager's limit of "
                f"{self._keeper.max_payload} bytes"
            )
        rows = await self._keeper.store.task_rows(ids)
        if not rows:
            raise no_task(ids[0])
        if ids[0] in self._writer.pool.tasks or not TaskState(rows[0][8]).final:
            raise Conflict(f"task {ids[0]} has not ended: cancel it first, then edit it")
        (options, _), *_ = _alike(rows)
        return (await self._submit(options, [act.payload]))[0]

    async def _submit(self, options: s.Options, payloads: list[bytes]) -> list[int]:
        answer = await self._decided(s.Submit(options, payloads), weight_of(payloads))
        assert isinstance(answer, e.Accepted)
        return answer.ids

    async def _decided(
        self, stimulus: s.Cancel | s.Retry | s.SetPriority | s.Submit, weight: int
    ) -> e.Accepted | e.Done:
        """The answer, when it is durable."""
        answered = anyio.Event()
        answers: list[e.Accepted | e.Rejected | e.Done] = []

        def take(effect: e.Accepted | e.Rejected | e.Done) -> None:
            answers.append(effect)
            answered.set()

        stimulus.reply = self._delivery.expect(take)
        await self._writer.inbox.put(stimulus, weight)
        await answered.wait()
        answer = answers[0]
        if isinstance(answer, e.Rejected):
            raise by_code(answer.code)(answer.message)
        return answer


def _alike(rows: Iterable[OpenRow]) -> list[tuple[s.Options, list[int]]]:
    """Tasks by what they have in common."""
    found: dict[s.Options, list[int]] = {}
    for row in rows:
        task_id, kind, priority, max_attempts, timeout, batch = row[:6]
        options = s.Options(
            kind=kind,
            priority=priority,
            max_attempts=max_attempts,
            timeout=timeout,
            batch=batch,
            target=row[11],
        )
        found.setdefault(options, []).append(task_id)
    return list(found.items())
