"""A store that forgets everything with the process: what tests of other parts use instead of a disk.

It keeps the contract of `SqliteStore`, order and refusals included; it is not fast and never full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..core.commit import (
    AttemptRow,
    Commit,
    GrantRow,
    OpenRow,
    Recovered,
    ReopenedRow,
    SettledRow,
    SubmittedRow,
    WaitingRow,
    gather,
    tallied_until,
    unpack_leases,
)
from ..core.errors import StoreError
from ..core.filter_match import listed, matches, sort_value
from ..core.life import Life, Start, first_id_after
from ..core.lifecycle import TaskState
from ..handle import (
    AttemptInfo,
    Count,
    Cursor,
    Outcome,
    TaskDetail,
    TaskOutput,
    TaskPage,
    TaskQuery,
    TaskRow,
)
from ..handle.filters import conditions_of, cursor_of, is_descending
from .archive import Facts, Manifest
from .conditions import check_query, stored_states
from .error_blobs import decode_error, first_line, message_of
from .life import new_id
from .memory_outputs import MemoryOutputs
from .memory_roster import MemoryRoster
from .query import MAX_ATTEMPTS, OUTPUT_SHOWN
from .recover import IN_FULL, INLINE_LIMIT


@dataclass(frozen=True, slots=True)
class _Kept:
    """One task. Frozen, so that a batch that is refused half-way has changed nothing."""

    given: SubmittedRow
    state: int
    attempt: int = 0
    spent: int = 0
    crashes: int = 0
    due_at: float | None = None
    end: SettledRow | None = None
    attempts: tuple[AttemptRow, ...] = ()

    @property
    def error(self) -> bytes | None:
        """Of its outcome; of its last attempt that has one, while it is open."""
        if self.end is not None:
            return self.end[7]
        newest = sorted(self.attempts, key=lambda a: (a[1], a[4]))
        return next((a[6] for a in reversed(newest) if a[6] is not None), None) if self.attempt else None

    def row(self) -> TaskRow:
        """As a table shows it."""
        task_id, kind, priority, max_attempts, timeout, batch, key, _, _, submitted, _, target, _ = self.given
        end = self.end
        return TaskRow(
            id=task_id, kind=kind, state=self.state, priority=priority, attempt=self.attempt,
            max_attempts=max_attempts, spent=self.spent, submitted_at=submitted,
            due_at=None if end else self.due_at, finished_at=end[4] if end else None,
            run_seconds=end[5] if end else None, worker=end[3] if end else None, key=key, batch=batch,
            timeout=timeout, target=target, error=first_line(self.error),
        )  # fmt: skip

    def open_row(self) -> OpenRow:
        """As a manager that starts wants it."""
        payload = self.given[12]
        kept = payload if len(payload) <= INLINE_LIMIT else None
        due_at = None if self.end else self.due_at
        changing = (self.state, self.given[9], due_at, self.given[11], kept, self.attempt, self.spent)
        return (*self.given[:8], *changing, self.crashes if not self.end else 0)


class MemoryStore(MemoryRoster):
    """A `TaskStore`, `TaskReader` and `Roster` in memory. It can be opened again: that is its restart."""

    def __init__(self, *, in_full: int = IN_FULL) -> None:
        """`in_full`: as in `SqliteStore`."""
        super().__init__()
        self._in_full = in_full
        self._tasks: dict[int, _Kept] = {}
        self._grants: dict[int, GrantRow] = {}
        self._settings: dict[str, str] = {}
        self._highest = 0
        self._epochs: list[bytes] = []
        self._starts: dict[int, tuple[bytes, bytes]] = {}
        """By number: epoch and id."""
        self._outputs = MemoryOutputs()
        self.low = False
        """What `low_space` says."""

    async def open(self) -> Recovered:
        """Everything that is not finished."""
        tasks = [kept.open_row() for _, kept in sorted(self._tasks.items()) if kept.end is None]
        waiting: list[WaitingRow] = []
        attempts = {row[0]: row[13] for row in tasks}
        next_grant = max(self._grants, default=0) + 1
        self._grants = {
            seq: grant
            for seq, grant in sorted(self._grants.items())
            if any(attempts.get(i, attempt) < attempt for i, attempt in unpack_leases(grant[2]))
        }
        if len(tasks) > self._in_full:
            queued = [row for row in tasks if row[8] == TaskState.QUEUED and not any(row[13:])]
            waiting = gather((row[0], (*row[1:6], row[11]), row[9]) for row in queued)
            tasks = [row for row in tasks if row[8] != TaskState.QUEUED or any(row[13:])]
        return Recovered(
            tasks=tasks,
            waiting=waiting,
            grants=list(self._grants.values()),
            settings=dict(self._settings),
            next_task_id=self._highest + 1,
            next_grant=next_grant,
            life=self._begin(self._epochs[-1] if self._epochs else new_id()),
            ended=[
                (*what, number) for what, number in _ended(self._tasks, tallied_until(self._settings)).items()
            ],
        )

    async def begin_epoch(self, why: str, heard: Sequence[bytes] = ()) -> tuple[Life, int]:
        """What was said of this store before is of a former life; the next free task id."""
        self._highest = first_id_after(self._highest + 1) - 1
        self._epochs[:0] = heard
        return self._begin(new_id()), self._highest + 1

    def _begin(self, epoch: bytes) -> Life:
        if epoch not in self._epochs:
            self._epochs.append(epoch)
        number = max(self._starts, default=0) + 1
        self._starts[number] = (epoch, new_id())
        mine = {one: kept for one, (of, kept) in self._starts.items() if of == epoch}
        return Life(Start(epoch, number, mine[number]), mine, frozenset(self._epochs))

    async def close(self) -> None:
        """Nothing to let go of."""

    async def commit(self, batch: Commit) -> None:
        """Keep all of `batch` or nothing.

        Raises:
            StoreError: it contradicts what is kept.
        """
        tasks, grants = dict(self._tasks), dict(self._grants)
        _submit(tasks, batch.submitted)
        for reopened in batch.reopened:
            _reopen(tasks, reopened)
        _reprice(tasks, batch.repriced)
        for settled in batch.settled:
            _settle(tasks, settled)
        for attempt in batch.attempts:
            _remember(tasks, attempt)
        for grant in batch.granted:
            if grant[0] in grants:
                raise StoreError(f"there is a grant {grant[0]} already")
            grants[grant[0]] = grant
        for seq in batch.grants_ended:
            grants.pop(seq, None)
        self._tasks, self._grants = tasks, grants
        self._outputs.write(row for row in batch.outputs if row[0] in tasks)
        self._highest = max([self._highest, *(row[0] for row in batch.submitted)])
        changed = self._settings | batch.settings
        self._settings = {name: value for name, value in changed.items() if value is not None}

    async def find_keys(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """Of these idempotency keys, the known ones: task id and digest."""
        wanted = set(keys)
        rows = (kept.given for kept in self._tasks.values())
        return {row[6]: (row[0], row[7] or b"") for row in rows if row[6] is not None and row[6] in wanted}

    async def payloads(self, ids: Sequence[int], most: int | None = None) -> dict[int, bytes]:
        """The payloads of those that exist; with `most`, only those of up to so many bytes."""
        found = {i: self._tasks[i].given[12] for i in ids if i in self._tasks}
        return {i: payload for i, payload in found.items() if most is None or len(payload) <= most}

    async def task_rows(self, ids: Sequence[int]) -> list[OpenRow]:
        """These tasks as they are kept, by id."""
        return [self._tasks[i].open_row() for i in sorted(set(ids)) if i in self._tasks]

    async def prune(self, before: float, limit: int) -> int:
        """Forget up to `limit` tasks that ended before `before`; says how many."""
        ended = [(k.end[4], i) for i, k in self._tasks.items() if k.end is not None and k.end[4] < before]
        old = sorted(ended)[: max(limit, 0)]
        for _, task_id in old:
            del self._tasks[task_id]
            self._outputs.forget(task_id)
        return len(old)

    async def page(self, query: TaskQuery) -> TaskPage:
        """Rows that match, as `SqliteStore` has them; no search takes too long here."""
        limit = check_query(query)
        descending, start = is_descending(query), query.at
        if query.before is not None or query.after is not None:
            start = Cursor(None, query.before if query.before is not None else query.after or 0)
        found = sorted((_place(row, query), row) for row in self._matching(query) if listed(row, query.sort))
        if descending:
            found.reverse()
        if start is not None:
            edge = (start.value or 0, start.id)
            found = [one for one in found if (one[0] < edge if descending else one[0] > edge)]
        rows = tuple(row for _, row in found[:limit])
        more = len(found) > limit
        return TaskPage(rows, more, cursor_of(rows[-1], query) if more else None)

    async def count(self, query: TaskQuery, most: int) -> Count:
        """How many match as stored, up to `most`."""
        check_query(query)
        number = sum(1 for _ in self._matching(query))
        return Count(min(number, most), exact=number <= most)

    def _matching(self, query: TaskQuery) -> Iterator[TaskRow]:
        """By id; of open tasks all that may match."""
        states = stored_states(query.states, query.not_states)
        asked = replace(conditions_of(query), states=states, not_states=())
        for _, kept in sorted(self._tasks.items()):
            row = kept.row()
            if matches(asked, row, message_of(kept.error)):
                yield row

    async def detail(self, task_id: int, payload_limit: int) -> TaskDetail | None:
        """One task, or None."""
        kept = self._tasks.get(task_id)
        if kept is None:
            return None
        payload, result = kept.given[12], kept.end[6] if kept.end else None
        newest = sorted(kept.attempts, key=lambda a: (a[1], a[4]))[-MAX_ATTEMPTS:]
        return TaskDetail(
            row=kept.row(),
            payload_size=len(payload),
            result_size=None if result is None else len(result),
            payload=payload if len(payload) <= payload_limit else None,
            error=decode_error(kept.error),
            attempts=tuple(AttemptInfo(*a[1:6], error=decode_error(a[6])) for a in newest),
            output=self._outputs.read(task_id, 0, OUTPUT_SHOWN),
        )

    async def output(self, task_id: int, attempt: int = 0) -> TaskOutput | None:
        """What is kept of what an attempt wrote; see `TaskReader`."""
        return self._outputs.read(task_id, attempt, self._outputs.bounds.attempt)

    async def heads(self, ids: Sequence[int], size: int) -> dict[int, bytes]:
        """So many bytes of the beginning of the payloads of these tasks."""
        return {i: self._tasks[i].given[12][:size] for i in ids if i in self._tasks and size > 0}

    async def outcomes(self, ids: Sequence[int], most: int | None = None) -> list[Outcome]:
        """Of these tasks, those that have ended, with results; see `TaskReader`."""
        ends = (kept.end for i in ids if (kept := self._tasks.get(i)) is not None)
        found = [
            Outcome(e[8], e[0], e[1], e[3], e[6], decode_error(e[7]), e[5]) for e in ends if e is not None
        ]
        sizes = accumulate(len(one.result or b"") for one in found)
        return [one for one, size in zip(found, sizes, strict=True)
                if most is None or size - len(one.result or b"") < most]  # fmt: skip

    async def totals(self) -> dict[int, int]:
        """How many tasks are kept, by stored state."""
        counted: dict[int, int] = {}
        for kept in self._tasks.values():
            counted[kept.state] = counted.get(kept.state, 0) + 1
        return counted

    async def archive(self, target: Path, extra: Mapping[str, bytes], facts: Facts) -> Manifest:
        """There is nothing that a file could hold."""
        raise StoreError("a store in memory has no backups")

    def low_space(self) -> bool:
        """What a test says it is."""
        return self.low


def _ended(tasks: Mapping[int, _Kept], at: float) -> Counter[tuple[str, str | None, int]]:
    """What has ended since then, by kind, worker and state."""
    ends = [(kept.given[1], kept.end) for kept in tasks.values() if kept.end is not None]
    return Counter((kind, end[3], end[0]) for kind, end in ends if end[4] > at)


def _submit(tasks: dict[int, _Kept], rows: list[SubmittedRow]) -> None:
    keys = {kept.given[6] for kept in tasks.values()} if any(row[6] is not None for row in rows) else set()
    for row in rows:
        if row[0] in tasks or (row[6] is not None and row[6] in keys):
            raise StoreError(f"there is a task {row[0]}, or one with its key, already")
        keys.add(row[6])
        tasks[row[0]] = _Kept(row, row[8], due_at=row[10])


def _settle(tasks: dict[int, _Kept], row: SettledRow) -> None:
    kept = tasks.get(row[8])
    if kept is None or kept.end is not None:
        raise StoreError(f"task {row[8]} is not open")
    tasks[row[8]] = replace(kept, state=row[0], attempt=row[1], spent=row[2], end=row)


def _reopen(tasks: dict[int, _Kept], row: ReopenedRow) -> None:
    state, attempt, spent, crashes, due_at, task_id = row
    kept = tasks.get(task_id)
    if kept is None:
        raise StoreError(f"there is no task {task_id}")
    end, attempts = kept.end, kept.attempts
    known = any(a[1] == kept.attempt and a[5] != "late" for a in attempts)
    if end is not None and not known and end[0] in {TaskState.FAILED, TaskState.TIMED_OUT}:
        started = None if end[5] is None else end[4] - end[5]
        word = TaskState(end[0]).word
        attempts = (*attempts, (task_id, end[1], end[3], started, end[4], word, end[7]))
    tasks[task_id] = _Kept(kept.given, state, attempt, spent, crashes, due_at, None, attempts)


def _reprice(tasks: dict[int, _Kept], changes: list[tuple[int, list[int]]]) -> None:
    for priority, ids in changes:
        for task_id in ids:
            given = tasks[task_id].given
            tasks[task_id] = replace(tasks[task_id], given=(*given[:2], priority, *given[3:]))


def _remember(tasks: dict[int, _Kept], row: AttemptRow) -> None:
    kept = tasks.get(row[0])
    if kept is not None:
        others = tuple(a for a in kept.attempts if (a[1], a[5]) != (row[1], row[5]))
        tasks[row[0]] = replace(kept, attempts=(*others, row))


def _place(row: TaskRow, query: TaskQuery) -> tuple[Any, int]:
    value = sort_value(row, query.sort)
    return (0 if value is None else value, row.id)
