"""The simulated tasks together: what operators do to them, and how many of them there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ...core.lifecycle import TaskState
from ...handle import TaskRow
from .rows import FakeRows, Made, hash_of
from .stream import UNSERVED_SECONDS, Life, mix, share

SAMPLE: Final = 2_000
"""Open tasks that are looked at for a count; of more than that, every so many-th."""
RETRY_WAIT: Final = 2.0
"""Seconds until a task that an operator touched starts."""


class FakeTasks(FakeRows):
    """All of them."""

    def add(self, made: Made, now: float, delay: float = 0.0) -> int:
        """A new task."""
        task_id = self.newest(now) + 1
        self.numbers.inserted.append(task_id)
        self.made[task_id] = made
        self.lives[task_id] = self._new_life(made.kind, now, delay)
        self._touched.add(task_id)
        return task_id

    def _new_life(self, kind: str, now: float, delay: float = 0.0) -> Life:
        known = self.stream.scene.kind(kind)
        if known is None or not known.every:
            return Life(now, float("inf"), 1.0, TaskState.SUCCEEDED)
        return Life(now, RETRY_WAIT + delay, known.seconds, TaskState.SUCCEEDED)

    def cancel(self, task_id: int, now: float) -> bool:
        """Whether it was open."""
        if self.state(task_id, now).final:
            return False
        self.cancelled[task_id] = now
        self._touched.add(task_id)
        return True

    def retry(self, task_id: int, now: float) -> bool:
        """Whether it had failed for good."""
        if self.state(task_id, now) not in {TaskState.FAILED, TaskState.TIMED_OUT}:
            return False
        self.attempts[task_id] += self.life(task_id).spent + 1
        self.lives[task_id] = self._new_life(self.kind_of(task_id), now)
        self._touched.add(task_id)
        return True

    def again(self, task_id: int, now: float, payload: bytes | None = None) -> int:
        """A new task from the same payload, or from another one."""
        row = self.row(task_id, now)
        body = self.payload(task_id) if payload is None else payload
        return self.add(Made(row.kind, body, row.priority, None, row.batch), now)

    # ---- all of them ------------------------------------------------------------------------------------

    def open_ids(self, now: float) -> range:
        """Where the open ones of the stream are; few others are among them."""
        horizon = now - max(self.stream.scene.longest, UNSERVED_SECONDS)
        for spans in self.pauses.values():
            horizon -= sum(min(end, now) - begin for begin, end in spans)
        return range(self.numbers.id_of(self.stream.first_after(horizon)), self.newest(now) + 1)

    def census(self, now: float) -> Counter[tuple[str, TaskState]]:
        """How many there are by kind and state."""
        ids, kinds = self.open_ids(now), self.stream.kinds
        counts: Counter[tuple[str, TaskState]] = Counter()
        before = max(0, self.numbers.natural(ids.start) - 1)
        for (kind, ending), count in self.stream.ended(before).items():
            counts[kinds[kind].name, ending] += count
        step = max(1, len(ids) // SAMPLE)
        paused = {kind.name: self.paused(kind.name) for kind in kinds}
        for task_id in ids[::step]:
            if task_id in self.made:
                continue
            number = self.numbers.natural(task_id)
            name = kinds[self.stream.kind(number)].name
            counts[name, self.stream.life(number).state(now, paused[name])] += step
        self._add_touched(counts, now)
        return counts

    def _add_touched(self, counts: Counter[tuple[str, TaskState]], now: float) -> None:
        for task_id in self._touched:
            kind, state = self.kind_of(task_id), self.state(task_id, now)
            counts[kind, state] += 1
            if task_id not in self.made:
                natural = self.stream.life(self.numbers.natural(task_id))
                counts[kind, natural.state(now, self.paused(kind))] -= 1

    def running(self, now: float) -> Iterator[TaskRow]:
        """Those that run, oldest first."""
        touched = sorted(self._touched - set(self.open_ids(now)))
        for task_id in (*touched, *self.open_ids(now)):
            if self.state(task_id, now) is TaskState.RUNNING:
                yield self.row(task_id, now)

    def load(self, worker: str, seconds: float) -> float:
        """How busy a worker's machine is, 0 to 1; wanders."""
        own, wander = hash_of(worker), share(mix(self.stream.seed + hash_of(worker), int(seconds // 5)), 8)
        ill = self.stream.scene.ill
        if ill is None:
            return 0.25 + 0.6 * wander
        return (
            0.93 + 0.07 * wander if worker == ill.worker else 0.1 + 0.5 * share(mix(own, 3), 4) + 0.2 * wander
        )
