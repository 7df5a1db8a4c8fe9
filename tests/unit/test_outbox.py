"""A worker's news: kept first, sent in batches, sent again, and never more than the window on its way."""

from __future__ import annotations

import errno
import logging

import anyio
import msgspec
import pytest
from taskmessenger.core.stimuli import How
from taskmessenger.handle import ErrorInfo
from taskmessenger.net import messages as m
from taskmessenger.net.framing import FRAGMENT
from taskmessenger.roles import outbox as outboxes
from taskmessenger.roles.outbox import Outbox, local_fault
from taskmessenger.roles.spool import Spool
from taskmessenger.runtimes.base import (
    CANCELLED,
    CRASHED,
    FAILED,
    STUCK,
    SUCCEEDED,
    TIMED_OUT,
    Ended,
)

ERROR = ErrorInfo("failed", "no")


class Wire:
    """Takes what an outbox sends."""

    def __init__(self) -> None:
        self.said: list[m.Message] = []

    def __call__(self, message: m.Message) -> None:
        self.said.append(message)

    def take(self, kind):
        found = [one for one in self.said if isinstance(one, kind)]
        self.said = [one for one in self.said if not isinstance(one, kind)]
        return found

    def finished(self) -> list[int]:
        return [task for one in self.take(m.Finished) for task in one.tasks]


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", 1 << 30)


@pytest.fixture
def outbox(spool):
    return Outbox(spool)


@pytest.fixture
def wire(outbox):
    outbox.send = wire = Wire()
    return wire


def good(value: bytes = b"\xc0") -> Ended:
    return Ended(SUCCEEDED, 0.5, value)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_each_attempt_leaves_one_line_when_lines_are_wanted(outbox, wire, caplog, level) -> None:
    caplog.set_level(level, "taskmessenger.roles.outbox")
    outbox.ended(7, 1, Ended(SUCCEEDED, 0.25, b"x"))
    outbox.ended(8, 2, Ended(FAILED, 1.0, None, ERROR))
    outbox.flush()
    wanted = ["task 7: attempt 1 succeeded after 0.25 s", "task 8: attempt 2 failed after 1 s"]
    assert caplog.messages == (wanted if level == logging.DEBUG else [])


def test_an_outcome_is_on_disk_before_it_is_sent(outbox, wire, spool) -> None:
    outbox.ended(1, 2, good(b"\x07"))
    assert wire.said == []
    outbox.flush()
    assert wire.said == [m.Finished([1], [2], [b"\x07"], [0.5])]
    assert spool.keys == [(1, 2)]
    outbox.acknowledged([1], [2])
    assert spool.keys == []
    assert outbox.unacknowledged == 0


@pytest.mark.parametrize(
    ("status", "code", "how"),
    [
        (FAILED, "failed", How.FAILED),
        (FAILED, "bad_payload", How.REFUSED),
        (TIMED_OUT, "timed_out", How.TIMED_OUT),
        (CRASHED, "crashed", How.CRASHED),
        (CANCELLED, "cancelled", How.CANCELLED),
        (STUCK, "stuck", How.STUCK),
    ],
)
def test_every_ending_has_its_word(outbox, wire, status, code, how) -> None:
    error = ErrorInfo(code, "why")
    outbox.ended(1, 1, Ended(status, 0.5, None, error))
    outbox.flush()
    assert wire.said == [m.Broke([(1, 1, int(how), 0.5, msgspec.msgpack.encode(error))])]


@pytest.mark.parametrize("code", ["worker_fault", "overloaded", "stuck"])
def test_what_is_no_fault_of_the_task_is_known(code) -> None:
    assert local_fault(Ended(FAILED, 0.0, None, ErrorInfo(code, "why"))) == "why"


@pytest.mark.parametrize(
    "ended",
    [
        good(),
        Ended(FAILED, 0.0, None, ERROR),
        Ended(STUCK, 1.0, None, ErrorInfo("stuck", "x")),
        Ended(CRASHED, 1.0),
    ],
)
def test_what_is_the_tasks_own_doing_is_not_excused(ended) -> None:
    assert local_fault(ended) == ""


def test_a_beginning_is_not_told_when_the_end_is_there_already(outbox, wire) -> None:
    outbox.started(1, 1)
    outbox.started(2, 1)
    outbox.ended(1, 1, good())
    outbox.flush()
    assert wire.take(m.Started) == [m.Started([2], [1])]
    outbox.flush()
    assert wire.take(m.Started) == []


def test_without_a_session_outcomes_are_kept_and_the_rest_forgotten(outbox, spool) -> None:
    outbox.started(1, 1)
    outbox.released([(2, 1)])
    outbox.ended(3, 1, good())
    outbox.flush()
    assert spool.keys == [(3, 1)]
    outbox.send = wire = Wire()
    outbox.flush()
    assert wire.said == []
    outbox.resend()
    assert wire.finished() == [3]


def test_small_results_travel_together_and_large_ones_alone(outbox, wire) -> None:
    for task in range(1, 101):
        outbox.ended(task, 1, good(b"x" * (FRAGMENT if task % 50 == 0 else 1_000)))
    outbox.flush()
    sent = wire.take(m.Finished)
    assert sorted(task for one in sent for task in one.tasks) == list(range(1, 101))
    for one in sent:
        size = sum(map(len, one.results))
        assert len(one.tasks) == 1 or size <= FRAGMENT
    assert len(sent) < 10


def test_results_that_are_nothing_are_results(outbox, wire) -> None:
    outbox.ended(1, 1, Ended(SUCCEEDED, 0.0, b"\xc0"))
    outbox.flush()
    assert wire.take(m.Finished)[0].results == [b"\xc0"]


def test_after_a_reconnect_everything_unacknowledged_is_sent_again(outbox, wire) -> None:
    for task in range(1, 6):
        outbox.ended(task, 1, good())
    outbox.flush()
    outbox.acknowledged([2, 4], [1, 1])
    outbox.send = again = Wire()
    outbox.resend()
    assert again.finished() == [1, 3, 5]
    assert sorted(outbox.keys) == [(1, 1), (3, 1), (5, 1)]


def test_only_a_window_of_bytes_is_on_its_way(outbox, wire, monkeypatch) -> None:
    monkeypatch.setattr(outboxes, "WINDOW_BYTES", 10_000)
    for task in range(1, 11):
        outbox.ended(task, 1, good(b"x" * 3_000))
        outbox.flush()
    assert wire.finished() == [1, 2, 3]
    outbox.acknowledged([1], [1])
    assert wire.finished() == [4]
    outbox.acknowledged([2, 3, 4], [1, 1, 1])
    assert wire.finished() == [5, 6, 7]
    outbox.acknowledged([5, 6, 7], [1] * 3)
    outbox.acknowledged([8, 9, 10], [1] * 3)
    assert wire.finished() == [8, 9, 10]
    assert outbox.unacknowledged == 0
    assert outbox._on_the_way == 0
    outbox.ended(11, 1, good())
    outbox.flush()
    assert wire.finished() == [11]


def test_a_resend_keeps_to_the_window_too(outbox, wire, monkeypatch) -> None:
    monkeypatch.setattr(outboxes, "WINDOW_BYTES", 10_000)
    outbox.send = None
    for task in range(1, 11):
        outbox.ended(task, 1, good(b"x" * 3_000))
    outbox.flush()
    outbox.send = wire
    outbox.resend()
    got = wire.finished()
    assert got == [1, 2, 3]
    while got[-1] < 10:
        outbox.acknowledged([got[-1]], [1])
        more = wire.finished()
        assert len(more) == 1
        got += more
    assert got == list(range(1, 11))


def test_a_result_larger_than_the_window_goes_alone(outbox, wire, monkeypatch) -> None:
    monkeypatch.setattr(outboxes, "WINDOW_BYTES", 1_000)
    for task in (1, 2):
        outbox.ended(task, 1, good(b"x" * 5_000))
        outbox.flush()
    assert wire.finished() == [1]
    outbox.acknowledged([1], [1])
    assert wire.finished() == [2]


def test_what_is_not_wanted_any_more_is_not_sent(outbox, wire, monkeypatch) -> None:
    monkeypatch.setattr(outboxes, "WINDOW_BYTES", 1_000)
    for task in (1, 2, 3):
        outbox.ended(task, 1, good(b"x" * 900))
        outbox.flush()
    assert wire.finished() == [1]
    outbox.acknowledged([2], [1])
    assert wire.finished() == []
    outbox.acknowledged([1], [1])
    assert wire.finished() == [3]


def test_what_finds_no_room_on_the_disk_is_sent_all_the_same(outbox, wire, spool, monkeypatch) -> None:
    def full(outcomes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool, "add", full)
        outbox.ended(1, 1, good(b"\x01"))
        outbox.flush()
    assert wire.finished() == [1]
    assert outbox.full
    assert outbox.unacknowledged == 1
    outbox.send = again = Wire()
    outbox.resend()
    assert again.take(m.Finished)[0].results == [b"\x01"]
    outbox.acknowledged([1], [1])
    assert not outbox.full
    assert outbox._on_the_way == 0


def test_an_outcome_that_the_disk_has_lost_is_given_back(outbox, wire, spool, tmp_path) -> None:
    outbox.ended(1, 1, good())
    outbox.ended(2, 1, good())
    outbox.flush()
    wire.said.clear()
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    outbox.resend()
    outbox.flush()
    assert wire.said == [
        m.Broke([(1, 1, int(How.RELEASED), 0.0, None), (2, 1, int(How.RELEASED), 0.0, None)])
    ]
    assert outbox.keys == []


def test_an_acknowledgement_of_something_unknown_means_nothing(outbox, wire) -> None:
    outbox.acknowledged([1, 2], [1, 1])
    outbox.acknowledged([], [])
    assert outbox.unacknowledged == 0


async def test_it_wakes_whoever_flushes_and_only_for_news(outbox, wire) -> None:
    outbox.released([])
    with anyio.move_on_after(0.01) as scope:
        await outbox.waiting()
    assert scope.cancelled_caught
    outbox.started(1, 1)
    with anyio.fail_after(5):
        await outbox.waiting()
    outbox.flush()
    with anyio.move_on_after(0.01) as scope:
        await outbox.waiting()
    assert scope.cancelled_caught
