"""A store that is only its rows: what a database would hold after each commit, and after a crash."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields

from taskmessenger.core.commit import (
    TALLIES,
    AttemptRow,
    Commit,
    GrantRow,
    OpenRow,
    OutputRow,
    Recovered,
    ReopenedRow,
    SettledRow,
    SubmittedRow,
    WaitingRow,
    gather,
)
from taskmessenger.core.lifecycle import TaskState


@dataclass
class Row:
    """One task as it is stored."""

    submitted: SubmittedRow
    state: int
    due: float | None
    attempt: int = 0
    spent: int = 0
    crashes: int = 0
    settled: SettledRow | None = None

    def open_row(self) -> OpenRow:
        s = self.submitted
        return (*s[:8], self.state, s[9], self.due, s[11], s[12], self.attempt, self.spent, self.crashes)


class RowStore:
    """Applies commits, and refuses rows that make no sense."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.grants: dict[int, GrantRow] = {}
        self.settings: dict[str, str] = {}
        self.keys: dict[str, int] = {}

    def commit(self, batch: Commit) -> None:
        """Everything, in the order of the fields."""
        for part in fields(batch):
            getattr(self, f"_{part.name}")(getattr(batch, part.name))

    def _submitted(self, rows: list[SubmittedRow]) -> None:
        for submitted in rows:
            task_id, key = submitted[0], submitted[6]
            assert task_id not in self.rows, f"task {task_id} was submitted twice"
            if key is not None:
                assert key not in self.keys, f"I10: key {key} leads to two tasks"
                self.keys[key] = task_id
            self.rows[task_id] = Row(submitted, submitted[8], submitted[10])

    def _reopened(self, rows: list[ReopenedRow]) -> None:
        for state, attempt, spent, crashes, due, task_id in rows:
            row = self.rows[task_id]
            assert state in {TaskState.SCHEDULED, TaskState.QUEUED}
            assert attempt >= row.attempt, f"I3: attempt of task {task_id} went back"
            if row.settled is not None:  # only a person reopens what has ended, and only what ended badly
                assert row.state in {TaskState.FAILED, TaskState.TIMED_OUT}, f"I4: task {task_id} went on"
                row.settled = None
            row.state, row.attempt, row.spent, row.crashes, row.due = state, attempt, spent, crashes, due

    def _settled(self, rows: list[SettledRow]) -> None:
        for settled in rows:
            state, attempt, spent, *_, result, error, task_id = settled
            row = self.rows[task_id]
            assert row.settled is None, f"I4: task {task_id} has a second outcome"
            assert TaskState(state).final
            assert attempt >= row.attempt, f"I3: attempt of task {task_id} went back"
            good = state == TaskState.SUCCEEDED
            assert (result is not None, error is not None) == (good, not good), f"I5: task {task_id}"
            row.settled, row.state, row.attempt, row.spent = settled, state, attempt, spent

    def _attempts(self, rows: list[AttemptRow]) -> None:
        assert all(row[0] in self.rows for row in rows)

    def _outputs(self, rows: list[OutputRow]) -> None:
        assert all(row[0] in self.rows and row[1] >= 1 for row in rows)

    def _granted(self, rows: list[GrantRow]) -> None:
        for grant in rows:
            assert grant[0] not in self.grants, f"grant {grant[0]} was written twice"
            self.grants[grant[0]] = grant

    def _grants_ended(self, rows: list[int]) -> None:
        for seq in rows:
            assert self.grants.pop(seq, None) is not None, f"grant {seq} ended twice, or never was"

    def _repriced(self, rows: list[tuple[int, list[int]]]) -> None:
        for priority, ids in rows:
            for task_id in ids:
                row = self.rows[task_id]
                assert row.settled is None, f"I4: the priority of task {task_id} changed after its end"
                row.submitted = (*row.submitted[:2], priority, *row.submitted[3:])

    def _settings(self, changes: dict[str, str | None]) -> None:
        self.settings |= {name: value for name, value in changes.items() if value is not None}
        for name in [name for name, value in changes.items() if value is None]:
            self.settings.pop(name, None)

    def find_keys(self, keys: list[str]) -> dict[str, tuple[int, bytes]]:
        found: dict[str, tuple[int, bytes]] = {}
        for key in keys:
            if (task_id := self.keys.get(key)) is not None:
                digest = self.rows[task_id].submitted[7]
                assert digest is not None
                found[key] = (task_id, digest)
        return found

    def load(self, in_full: int | None = None) -> Recovered:
        """What a new manager finds; with more open tasks than `in_full` those alike are together."""
        tasks = [row.open_row() for _, row in sorted(self.rows.items()) if row.settled is None]
        waiting: list[WaitingRow] = []
        if in_full is not None and len(tasks) > in_full:
            queued = [row for row in tasks if row[8] == TaskState.QUEUED and not any(row[13:])]
            waiting = gather((row[0], (*row[1:6], row[11]), row[9]) for row in queued)
            tasks = [row for row in tasks if row not in queued]
        return Recovered(
            tasks=tasks,
            waiting=waiting,
            grants=[self.grants[seq] for seq in sorted(self.grants)],
            settings=dict(self.settings),
            next_task_id=max(self.rows, default=0) + 1,
            next_grant=max(self.grants, default=0) + 1,
            ended=[(*what, number) for what, number in self._ended_since().items()],
        )

    def _ended_since(self) -> Counter[tuple[str, str | None, int]]:
        at = json.loads(self.settings.get(TALLIES, "{}")).get("at", 0.0)
        ended = [row for row in self.rows.values() if row.settled is not None and row.settled[4] > at]
        return Counter((row.submitted[1], row.settled[3], row.settled[0]) for row in ended if row.settled)
