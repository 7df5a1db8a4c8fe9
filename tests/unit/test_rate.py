"""Rate: who says too much is read more slowly, over all its sessions; questions count for more."""

from __future__ import annotations

from taskmessenger.net import messages as m
from taskmessenger.net.rate import BURST, MAX_WAIT, PER_SECOND, QUESTION, Rate


def test_a_burst_is_free_and_what_comes_beyond_waits() -> None:
    rate = Rate()
    assert rate.wait(int(BURST), [], 100.0) == 0.0
    assert rate.wait(int(PER_SECOND), [], 100.0) == 1.0
    assert rate.wait(0, [], 102.0) == 0.0


def test_no_wait_is_endless() -> None:
    assert Rate().wait(10**9, [], 1.0) == MAX_WAIT


def test_a_steady_speaker_within_the_bound_never_waits() -> None:
    rate = Rate()
    waits = [rate.wait(int(PER_SECOND) // 100, [], 1.0 + second / 100) for second in range(1_000)]
    assert max(waits) == 0.0


def test_a_question_costs_more_than_a_result() -> None:
    asked, told = Rate(), Rate()
    many = int(BURST / 2)
    slow = asked.wait(many, [m.Ask(1, "status")] * many, 1.0)
    assert slow == min(MAX_WAIT, (many * (1 + QUESTION) - BURST) / PER_SECOND)
    assert told.wait(many, [m.Finished([1], [1], [b"\xc0"], [0.1])] * many, 1.0) == 0.0


def test_rows_of_columns_count_too() -> None:
    rate = Rate()
    rows = m.Started([1] * 30_000, [1] * 30_000)
    assert sum(rate.wait(1, [rows], 1.0) for _ in range(3)) == 0.0
    assert rate.wait(1, [rows], 1.0) > 0.0
