"""Lengths of time in words."""

from __future__ import annotations

import pytest
from taskmessenger.core.spans import brief, span


@pytest.mark.parametrize(
    ("seconds", "sentence", "cell"),
    [
        (None, "", ""),
        (-5.0, "0 s", "0 s"),
        (0.0, "0 s", "0 s"),
        (-0.0, "0 s", "0 s"),
        (0.0002, "<1 ms", "<1 ms"),
        (0.138, "138 ms", "138 ms"),
        (1.55, "1.6 s", "1.6 s"),
        (0.9997, "1.0 s", "1.0 s"),
        (9.97, "10 s", "10 s"),
        (45.2, "45 s", "45 s"),
        (59.7, "1 min", "1m"),
        (60.0, "1 min", "1m"),
        (346.2, "5 min 46 s", "5m 46s"),
        (3599.9, "59 min 59 s", "59m 59s"),
        (7200.0, "2 h", "2h"),
        (9000.0, "2 h 30 min", "2h 30m"),
        (86400.0 * 24, "24 d", "24d"),
        (86400.0 * 99 + 3600 * 23, "99 d 23 h", "99d 23h"),
        (86400.0 * 100 + 3600 * 5, "100 d", "100d"),
        (86400.0 * 400 + 3600 * 5, "400 d", "400d"),
    ],
)
def test_a_length_of_time_is_told_in_two_units_at_most(
    seconds: float | None, sentence: str, cell: str
) -> None:
    assert span(seconds) == sentence
    assert brief(seconds) == cell
    assert len(cell) <= 7
