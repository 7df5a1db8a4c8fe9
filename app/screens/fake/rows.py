"""The simulated tasks one by one, with what operators did to them laid over the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgpack

from ...core.errors import no_task
from ...core.lifecycle import TaskState
from ...handle import AttemptInfo, ErrorInfo, Outcome, TaskDetail, TaskOutput, TaskRow
from .stream import Life, Numbers, Pauses, Stream, mix

LINES: Final = 40
"""Of output that are kept."""
_ERRORS: Final = {
    TaskState.TIMED_OUT: ErrorInfo("timed_out", "ran longer than its 60 s"),
    TaskState.CANCELLED: ErrorInfo("cancelled", "it was cancelled before it ended"),
}


@dataclass(frozen=True, slots=True)
class Made:
    """A task that an operator submitted."""

    kind: str
    payload: bytes
    priority: int = 0
    key: str | None = None
    batch: str | None = None


class FakeRows:
    """Any of them, at whatever moment is asked for."""

    def __init__(self, stream: Stream, workers: Sequence[Sequence[str]]) -> None:
        """`workers`: for each kind, the ids of those that run it."""
        self.stream, self.numbers = stream, Numbers()
        self.made: dict[int, Made] = {}
        self.lives: dict[int, Life] = {}
        """Of tasks that were made or touched."""
        self.cancelled: dict[int, float] = {}
        self.attempts: Counter[int] = Counter()
        """Lives before the last one, of those that were retried."""
        self.priorities: dict[int, int] = {}
        self.pauses: dict[str, list[tuple[float, float]]] = {}
        """By scope."""
        self._workers = workers
        self._errors = _ERRORS | {TaskState.FAILED: stream.scene.error}
        self._touched: set[int] = set()
        """Made, cancelled or retried."""

    # ---- one task ---------------------------------------------------------------------------------------

    def newest(self, now: float) -> int:
        """The highest id."""
        return self.stream.length(now) + len(self.numbers.inserted)

    def kind_of(self, task_id: int) -> str:
        """By name."""
        made = self.made.get(task_id)
        return made.kind if made else self.stream.kinds[self.stream.kind(self.numbers.natural(task_id))].name

    def paused(self, kind: str) -> Pauses:
        """When nothing of this kind could start; overlaps are as good as one."""
        spans = sorted(self.pauses.get("all", []) + self.pauses.get(f"kind:{kind}", []))
        merged: list[tuple[float, float]] = []
        for begin, end in spans:
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return tuple(merged)

    def life(self, task_id: int) -> Life:
        """As it is now planned."""
        return self.lives.get(task_id) or self.stream.life(self.numbers.natural(task_id))

    def state(self, task_id: int, now: float) -> TaskState:
        """Where it is."""
        if task_id in self.cancelled:
            return TaskState.CANCELLED
        return self.life(task_id).state(now, self.paused(self.kind_of(task_id)))

    def row(self, task_id: int, now: float) -> TaskRow:
        """As a table shows it."""
        kind = self.kind_of(task_id)
        life, made = self.life(task_id), self.made.get(task_id)
        state = self.state(task_id, now)
        start, end = life.moments(self.paused(kind))
        begun = state not in {TaskState.QUEUED, TaskState.SCHEDULED} and start < end
        if state.final and task_id in self.cancelled:
            begun, end = start < self.cancelled[task_id], self.cancelled[task_id]
        ran = begun and (state.final or state is TaskState.RUNNING)
        bits = mix(self.stream.seed, task_id)
        attempt = self.attempts[task_id] + life.spent + begun
        return TaskRow(
            id=task_id,
            kind=kind,
            state=state.value,
            priority=self.priorities.get(task_id, made.priority if made else (0, 0, 0, 5)[bits % 4]),
            attempt=attempt,
            max_attempts=5,
            spent=life.spent,
            submitted_at=life.submitted
            if made or task_id not in self.lives
            else self._natural_start(task_id),
            finished_at=end if state.final else None,
            run_seconds=(end if state.final else now) - start if ran else None,
            worker=self._worker(task_id, kind, bits) if begun else None,
            key=made.key if made else None,
            batch=made.batch if made else f"nightly-{task_id // 500:04d}",
            error=self._errors[state].message if state in self._errors else None,
            started_at=start if ran and not state.final else None,
        )

    def _natural_start(self, task_id: int) -> float:
        return self.stream.submitted(self.numbers.natural(task_id))

    def _worker(self, task_id: int, kind: str, bits: int) -> str | None:
        able = self._workers[0]
        for index, known in enumerate(self.stream.kinds):
            if known.name == kind:
                able = self._workers[index]
        ill = self.stream.scene.ill
        if ill is not None and ill.worker in able:
            if task_id not in self.lives and self.stream.is_ill(self.numbers.natural(task_id)):
                return ill.worker
            able = [name for name in able if name != ill.worker]
        return able[(bits >> 24) % len(able)] if able else None

    def detail(self, task_id: int, now: float, payload_limit: int) -> TaskDetail:
        """All that is known of one."""
        self.check(task_id, now)
        row = self.row(task_id, now)
        state, payload = TaskState(row.state), self.payload(task_id)
        progress = None
        if state is TaskState.RUNNING:
            start, end = self.life(task_id).moments(self.paused(row.kind))
            progress = round((now - start) / (end - start), 3)
        result = self._result(row)
        return TaskDetail(
            row=row,
            payload_size=len(payload),
            result_size=len(result) if result is not None else None,
            payload=payload if len(payload) <= payload_limit else None,
            error=self._errors.get(state),
            attempts=self._attempts(row),
            waits_for=self._why(row) if state is TaskState.QUEUED else "",
            progress=progress,
            note=f"step {int(progress * 100)} of 100" if progress is not None else "",
            output=_output(row, now),
        )

    def check(self, task_id: int, now: float) -> None:
        """Raise NotFound for what was never submitted."""
        if not 1 <= task_id <= self.newest(now):
            raise no_task(task_id)

    def payload(self, task_id: int) -> bytes:
        """Msgpack."""
        made = self.made.get(task_id)
        if made:
            return made.payload
        example = self.stream.kinds[self.stream.kind(self.numbers.natural(task_id))].example
        body: bytes = msgpack.packb({**example, "n": task_id} if isinstance(example, dict) else example)
        return body

    def _result(self, row: TaskRow) -> bytes | None:
        if row.state != TaskState.SUCCEEDED:
            return None
        body: bytes = msgpack.packb({"task": row.id, "digest": f"{mix(self.stream.seed, row.id):016x}"})
        return body

    def outcome(self, task_id: int, now: float) -> Outcome:
        """How it ended; of one that has."""
        row = self.row(task_id, now)
        error = self._errors.get(TaskState(row.state))
        return Outcome(task_id, row.state, row.attempt, row.worker, self._result(row), error, row.run_seconds)

    def _attempts(self, row: TaskRow) -> tuple[AttemptInfo, ...]:
        """Those before the one that counts."""
        begin = row.submitted_at
        lost = ErrorInfo("lost", "the worker gave no sign of life while its lease lasted")
        return tuple(
            AttemptInfo(n + 1, row.worker, begin + n * 0.5, begin + n * 0.5 + 0.4, "lost", lost)
            for n in range(row.spent)
        )

    def _why(self, row: TaskRow) -> str:
        kind = self.stream.scene.kind(row.kind)
        if kind is not None and not kind.every:
            return f"no worker offers `{row.kind}`"
        return "its turn"


def _output(row: TaskRow, now: float) -> TaskOutput | None:
    """Two lines for each second that it runs, or ran."""
    live = not TaskState(row.state).final
    lines = int((row.run_seconds or 0.0) * 2)
    if not lines:
        return None
    whole = [f"step {n}: loss {1 / (n + 1):.4f}\n" for n in range(lines)]
    size, kept = sum(map(len, whole)), "".join(whole[-LINES:]).encode()
    written = ((row.attempt, size, len(kept)),)
    return TaskOutput(row.id, row.attempt, size - len(kept), kept, written, live=live)


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text))
