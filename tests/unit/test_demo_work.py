"""The demo's books: what is on its way, what has ended, and whether the digests agree."""

from __future__ import annotations

import hashlib

import anyio
import msgspec
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from taskmessenger.cli.demo_files import Batch
from taskmessenger.cli.demo_work import Work
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, Outcome


def a_batch(*names: str) -> Batch:
    contents = [name.encode() for name in names]
    return Batch(
        names=list(names),
        keys=list(names),
        payloads=[msgspec.msgpack.encode(content) for content in contents],
        digests=[hashlib.sha256(content).digest() for content in contents],
        sizes=[len(content) for content in contents],
    )


def an_outcome(task: int, name: str, attempt: int = 1) -> Outcome:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Outcome(task, int(TaskState.SUCCEEDED), attempt, "w", msgspec.msgpack.encode(digest))


async def submitted(*names: str, window: int = 10) -> Work:
    work = Work(window)
    await work.reserve(len(names))
    work.accepted(a_batch(*names), range(1, len(names) + 1), moment=10.0)
    return work


async def test_a_right_digest_is_verified_and_a_wrong_one_named() -> None:
    work = await submitted("a", "b")
    work.outcomes([an_outcome(1, "a"), an_outcome(2, "something else")], moment=10.5)
    assert work.verified == 1
    (wrong,) = work.wrong
    assert wrong.startswith("b: task 2 ")
    assert list(work.latencies) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome(1, TaskState.FAILED, 5, "w", None, ErrorInfo("failed", "no\x1bgo")), "failed: no\\x1bgo"),
        (Outcome(1, TaskState.CANCELLED, 1, None), "cancelled: no reason given"),
        (Outcome(1, TaskState.SUCCEEDED, 1, "w", msgspec.msgpack.encode(7)), "gave no text"),
        (Outcome(1, TaskState.SUCCEEDED, 1, "w", None), "succeeded: no reason given"),
    ],
)
async def test_an_outcome_without_a_digest_is_wrong_and_says_why(outcome: Outcome, said: str) -> None:
    work = await submitted("a")
    work.outcomes([outcome], moment=11.0)
    assert (work.verified, work.wrong) == (0, [f"a: task 1 {said}"])


async def test_an_outcome_that_overtakes_its_acceptance_counts_once_it_is_accepted() -> None:
    work = Work(10)
    await work.reserve(1)
    work.outcomes([an_outcome(7, "a", attempt=2)], moment=3.0)
    assert (work.ended, work.open) == (0, 0)
    work.accepted(a_batch("a"), [7], moment=1.0)
    assert (work.ended, work.open, work.verified, work.attempts, work.repeated) == (1, 0, 1, 2, 1)
    assert list(work.latencies) == [2.0]


async def test_an_outcome_that_is_told_twice_counts_once() -> None:
    work = await submitted("a")
    work.outcomes([an_outcome(1, "a")], moment=11.0)
    work.outcomes([an_outcome(1, "a")], moment=12.0)
    assert (work.ended, work.verified, work.attempts) == (1, 1, 1)


async def test_it_is_finished_when_nothing_is_to_come_and_nothing_on_its_way() -> None:
    work = await submitted("a")
    work.complete = True
    assert not work.finished
    work.outcomes([an_outcome(1, "a")], moment=11.0)
    assert work.finished


async def test_a_full_window_makes_submitters_wait_for_outcomes() -> None:
    work = await submitted("a", "b", window=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work.reserve, 1)
        await wait_all_tasks_blocked()
        assert work.open == 2
        work.outcomes([an_outcome(1, "a")], moment=11.0)
    work.accepted(a_batch("c"), [3], moment=11.0)
    assert work.open == 2


async def test_what_was_reserved_and_does_not_come_makes_room_again() -> None:
    work = Work(2)
    await work.reserve(2)
    work.release(2)
    with anyio.fail_after(1):
        await work.reserve(2)


async def test_submissions_that_are_held_back_go_on_when_the_hold_is_lifted() -> None:
    work = await submitted("a", "b")
    work.hold = 2
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work.reserve, 1)
        await wait_all_tasks_blocked()
        work.outcomes([an_outcome(1, "a"), an_outcome(2, "b")], moment=11.0)
        await wait_all_tasks_blocked()
        assert not tasks.cancel_scope.cancel_called
        work.hold = None
        work.changed()
    await checkpoint()
    work.accepted(a_batch("c"), [3], moment=11.0)
    assert work.submitted == 3
