"""Submissions on their way to the pool: checked, put into the inbox group by group, answered once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from anyio import to_thread

from ..core import effects as e
from ..core import stimuli as s
from ..core.errors import TaskMessengerError, UsageError, by_code
from ..core.keys import digests
from ..core.text import count
from ..handle import Group
from ..net.bounds import MAX_TASKS
from .acts import MAX_KIND, MAX_NAME, MAX_SECONDS
from .deliver import Delivery
from .inbox import weight_of
from .writer import Writer

MAX_PRIORITY: Final = 100
MAX_ATTEMPTS: Final = 1_000
AT_ONCE: Final = 1024 * 1024
"""Bytes of payloads that are hashed without leaving the event loop: a millisecond or two."""
Answer = Callable[[list[int], int, TaskMessengerError | None], None]
"""Told once: ids in order, how many of them were there before, or why a group was refused."""


class Gate(Protocol):
    """What a submission needs of the manager."""

    @property
    def max_payload(self) -> int: ...

    @property
    def max_attempts(self) -> int:
        """Of a task that does not say."""
        ...

    def accepting(self) -> None:
        """Raise the reason why nothing new is accepted now."""
        ...


class Submission:
    """One submission of one or more groups."""

    def __init__(self, writer: Writer, delivery: Delivery, gate: Gate, watch: int | None = None) -> None:
        """`watch`: who is told how the tasks end."""
        self._writer, self._delivery, self._gate, self._watch = writer, delivery, gate, watch

    async def put(self, groups: Sequence[Group], answer: Answer) -> None:
        """Wait for room in the inbox; `answer` is told later, when all is durable.

        Raises:
            UsageError: a group is not as it should be. Overloaded, StoreFull: nothing is accepted now.
        """
        self._gate.accepting()
        if len(groups) + sum(len(group.payloads) for group in groups) > MAX_TASKS:
            raise UsageError(f"more than {MAX_TASKS:,} tasks in one submission: hand them in in parts")
        for group in groups:
            check_group(group, self._gate.max_payload)
        collector = _Collector(answer, len(groups))
        for place, group in enumerate(groups):
            stimulus = self._stimulus(group, collector, place, await _digests(group))
            await self._writer.inbox.put(stimulus, weight_of(group.payloads))

    def _stimulus(
        self, group: Group, collector: _Collector, place: int, digests: list[bytes] | None
    ) -> s.Submit:
        options = s.Options(
            kind=group.kind,
            priority=group.priority,
            timeout=group.timeout,
            max_attempts=self._gate.max_attempts if group.max_attempts is None else group.max_attempts,
            batch=group.batch,
            target=group.worker,
        )
        return s.Submit(
            options,
            group.payloads,
            group.keys,
            digests,
            delay=group.delay,
            reply=self._delivery.expect(lambda effect: collector.take(place, effect)),
            watch=self._watch,
        )


class _Collector:
    """Gathers the answers to the groups of one submission."""

    def __init__(self, answer: Answer, groups: int) -> None:
        self._answer, self._missing = answer, groups
        self._ids: dict[int, list[int]] = {}
        self._duplicates = 0
        self._rejected: e.Rejected | None = None
        if not groups:
            answer([], 0, None)

    def take(self, place: int, effect: e.Accepted | e.Rejected | e.Done) -> None:
        """One group was decided on."""
        self._missing -= 1
        if isinstance(effect, e.Accepted):
            self._ids[place] = effect.ids
            self._duplicates += effect.duplicates
        elif isinstance(effect, e.Rejected):
            self._rejected = self._rejected or effect
        if self._missing:
            return
        ids = [task_id for _, ids in sorted(self._ids.items()) for task_id in ids]
        error = None
        if self._rejected is not None:
            note = f" (of other groups {count(len(ids), 'task was', 'tasks were')} accepted)" if ids else ""
            error = by_code(self._rejected.code)(self._rejected.message + note)
        self._answer(ids, self._duplicates, error)


def check_group(group: Group, max_payload: int) -> None:
    """Refuse what no pool should see.

    Raises:
        UsageError: names what is wrong with it.
    """
    if not 0 < len(group.kind) <= MAX_KIND or not group.kind.isprintable():
        raise UsageError(f"a kind has 1 to {MAX_KIND} printable characters")
    if not -MAX_PRIORITY <= group.priority <= MAX_PRIORITY:
        raise UsageError(f"priority {group.priority} is not between -{MAX_PRIORITY} and {MAX_PRIORITY}")
    if group.timeout is not None and not 0 < group.timeout <= MAX_SECONDS:
        raise UsageError(f"a timeout of {group.timeout:g} s makes no sense; give seconds above 0")
    if group.max_attempts is not None and not 1 <= group.max_attempts <= MAX_ATTEMPTS:
        raise UsageError(f"max_attempts is {group.max_attempts}, not between 1 and {MAX_ATTEMPTS}")
    if not 0 <= group.delay <= MAX_SECONDS:
        raise UsageError(f"a delay of {group.delay:g} s makes no sense")
    _check_names(group)
    if group.keys is not None and len(group.keys) != len(group.payloads):
        payloads = count(len(group.payloads), "payload")
        raise UsageError(f"{count(len(group.keys), 'key was', 'keys were')} given for {payloads}")
    largest = max(map(len, group.payloads), default=0)
    if largest > max_payload:
        raise UsageError(f"a payload of {largest} bytes is over this manager's limit of {max_payload} bytes")


def _check_names(group: Group) -> None:
    names = [group.batch or "", group.worker or "", *(group.keys or ())]
    if any(len(name) > MAX_NAME or not name.isprintable() for name in names):
        raise UsageError(f"keys, batches and worker ids have at most {MAX_NAME} printable characters")
    if any(not key for key in group.keys or ()):
        raise UsageError("an idempotency key must not be empty")
    for what, name in (("batch", group.batch), ("worker", group.worker)):
        if name is not None and not name:
            raise UsageError(f"the name of the {what} is empty: leave it out, or say which {what}")


async def _digests(group: Group) -> list[bytes] | None:
    """What its keys stand for. Large payloads take their time, and nobody else waits for it."""
    if group.keys is None:
        return None
    timeout = None if group.timeout is None else float(group.timeout)
    options = (timeout, group.max_attempts, float(group.delay), group.worker)
    if sum(map(len, group.payloads)) <= AT_ONCE:
        return digests(group.kind, options, group.payloads)
    return await to_thread.run_sync(digests, group.kind, options, group.payloads)
