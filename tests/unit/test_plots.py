"""Plots: what is drawn as high as a mark is as much as the mark says, at every size; so are moments."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.screens.widgets.plot import LOW, TICK, plot, reach, stretched
from taskmessenger.screens.widgets.scale import moments, scale_for, value_words

MOST = st.sampled_from(
    [0.0, 1e-9, 0.003, 0.999, 1.0, 3.0, 7.0, 99.0, 1e3, 9_999.0, 10_001.0, 999_999.0, 1_000_205.0]
)
ANY = MOST | st.floats(0, 1e18)
UNITS = st.sampled_from(["", "s", "%"])
SIZES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
LENGTHS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def told(mark: str) -> float:
    """The number that a mark says."""
    mark = mark.strip().rstrip("%")
    return (
        float(mark[:-1].replace(",", "")) * SIZES[mark[-1]]
        if mark[-1] in SIZES
        else float(mark.replace(",", ""))
    )


def marks(lines: list[str]) -> list[tuple[int, str]]:
    """Lines with a number, counted from the bottom."""
    return [(at, line[:TICK]) for at, line in enumerate(reversed(lines)) if line[:TICK].strip()]


def filled(line: str) -> float:
    """Of the newest value: how much of this line's cell it fills."""
    return " ▁▂▃▄▅▆▇█".index(line[-1]) / 8


@given(ANY, st.integers(3, 60), st.integers(12, 200), st.booleans())
def test_a_value_is_as_high_as_the_marks_beside_it_say(
    most: float, height: int, width: int, whole: bool
) -> None:
    most = float(round(most)) if whole else most
    lines = plot([most] * 50, width, height, seconds=300, whole=whole)
    per_row = {told(mark) / row for row, mark in marks(lines) if row}
    least = max(per_row)
    assert max(per_row) - min(per_row) <= 1e-3 * least, "marks stand at equal distances from zero"
    drawn = sum(filled(line) for line in lines[:-1]) * least
    assert drawn == pytest.approx(most, abs=least / 8 + 1e-3 * most)


@given(ANY, st.integers(1, 60), UNITS, st.booleans(), st.booleans())
def test_no_two_marks_are_equal_or_stand_beside_each_other(
    most: float, rows: int, unit: str, whole: bool, limited: bool
) -> None:
    scale = scale_for(most, rows, unit=unit, limit=most if limited else None, whole=whole)
    words = [value_words(value, unit) for _, value in scale.marks]
    assert words, "there is a number at least"
    assert len({*words, "0"}) == len(words) + 1
    assert all(len(one) <= TICK for one in words)
    places = [row for row, _ in scale.marks]
    assert all(1 <= row <= rows for row in places)
    assert all(after - before >= min(rows, 2) for before, after in pairwise(places))
    assert not whole or unit == "s" or all(value.is_integer() for _, value in scale.marks)


@given(MOST, st.integers(1, 40))
def test_a_plot_is_not_much_higher_than_what_is_on_it(most: float, rows: int) -> None:
    assert max(most, 0.0) * (1 - 1e-6) <= scale_for(most, rows).top <= max(most * 2.5, 1.5)


@given(st.floats(1, 1e6), st.integers(5, 220))
def test_marks_of_time_are_whole_and_over_their_moment(seconds: float, width: int) -> None:
    placed = moments(seconds, width)
    assert placed[-1] == (width - 3, "now")
    for (at, words), (after, _) in pairwise(placed):
        assert at + len(words) < after, "a blank between two"
        ago = sum(int(number) * LENGTHS[unit] for number, unit in re.findall(r"(\d+)([dhms])", words))
        assert ago <= seconds + 1
        cell = min(int(width * (1 - ago / seconds) + 1e-9), width - 1)
        assert at <= cell < at + len(words)
    assert len({words for _, words in placed}) == len(placed)


def test_minutes_are_whole() -> None:
    assert [words for _, words in moments(214.0, 60)] == ["-3m", "-2m", "-1m", "now"]
    assert [words for _, words in moments(300.0, 60)] == ["-5m", "-4m", "-3m", "-2m", "-1m", "now"]


def test_what_is_not_known_is_blank_and_a_curve_that_is_not_full_ends_at_the_right() -> None:
    lines = plot([*[math.nan] * 90, *[5.0] * 10], 60, 8, seconds=100)
    for line in lines[:-1]:
        cells = line[TICK + 1 :]
        assert not cells[:45].strip()
        assert "".join(cells[:-5].split()) == "" or len(cells.strip()) == 5 or not cells.strip()
    assert "█████" in lines[-2]


def test_zero_is_a_line_at_the_bottom() -> None:
    lines = plot([0.0] * 20, 40, 6, seconds=60)
    assert set(lines[-2][TICK + 1 :]) == {"▁"}
    assert lines[-1][:TICK].strip() == "0"


@given(st.integers(1, LOW), st.integers(12, 80))
def test_a_very_low_plot_says_how_much_its_height_is(height: int, width: int) -> None:
    lines = plot([4.0] * 9, width, height, seconds=60)
    assert [told(mark) for _, mark in marks(lines)] == [4.0]
    assert sum(filled(line) for line in lines) == height


@pytest.mark.parametrize("value", [math.inf, -math.inf, -3.0, 1e308, 5e-324])
def test_no_number_is_too_strange_to_be_drawn(value: float) -> None:
    lines = plot([value, 1.0, math.nan], 40, 8, seconds=60)
    assert all(len(line) == 40 for line in lines)


@given(st.lists(st.floats(0, 9), min_size=1, max_size=99), st.integers(1, 120))
def test_values_share_the_width(values: list[float], width: int) -> None:
    shown = stretched(values, width)
    assert len(shown) == width
    assert len(values) > width or (shown[0], shown[-1]) == (values[0], values[-1])


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1)), min_size=1, max_size=400),
    st.integers(12, 200),
    st.integers(1, 40),
    st.integers(0, 1_000),
)
def test_a_part_of_what_is_drawn_is_as_high_as_it_is_to_the_nearest_line(
    ended: list[tuple[float, float]], width: int, height: int, first: int
) -> None:
    whole, part = [value for value, _ in ended], [value * share for value, share in ended]
    cells, rows = reach(whole, part, width, height, first=first), max(height - (height > LOW), 1)
    shown, all_of_it = stretched(part, len(cells), first), stretched(whole, len(cells), first)
    full = reach(whole, whole, width, height, first=first)
    for lines_of_part, lines_of_all, value, most in zip(cells, full, shown, all_of_it, strict=True):
        assert 0 <= lines_of_part <= lines_of_all <= rows
        assert not most or abs(lines_of_part - lines_of_all * value / most) <= 1
