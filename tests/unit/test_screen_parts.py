"""The parts of a table and of plots that only compute: window, columns, order, cells, lines of numbers."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import WorkerRow
from taskmessenger.runtimes.plain import jsonable, unjson
from taskmessenger.screens.editing import as_text, from_text
from taskmessenger.screens.widgets.columns import Column, Look, Sort, arrange, sort_rows
from taskmessenger.screens.widgets.painter import fit
from taskmessenger.screens.widgets.plot import bar, plot, sparkline, squeeze, time_line
from taskmessenger.screens.widgets.table import Table
from taskmessenger.screens.widgets.viewport import Viewport
from taskmessenger.screens.worker_facts import held_up, joined

NUMBERS = st.integers(-50, 200)


@given(st.integers(0, 100), st.integers(1, 40), st.lists(st.tuples(st.sampled_from("mpstr"), NUMBERS)))
def test_the_cursor_is_always_seen_and_always_on_a_row(
    count: int, height: int, steps: list[tuple[str, int]]
) -> None:
    port = Viewport(count=count, height=height)
    for what, by in steps:
        match what:
            case "m":
                port.move(by)
            case "p":
                port.page(by % 5 - 2)
            case "s":
                port.scroll(by)
            case "t":
                port.to(by)
            case _:
                port.resize(count=abs(by))
        assert 0 <= port.top <= max(port.count - port.height, 0)
        assert port.top <= port.cursor < port.top + port.height
        assert port.cursor < max(port.count, 1)


def columns() -> list[Column[int]]:
    return [
        Column(key="a", title="A", width=10, cell=lambda r, _: str(r), order=lambda r: r),
        Column(key="b", title="B", width=10, cell=lambda r, _: str(r), drop=2, order=lambda r: -r or None),
        Column(key="c", title="C", width=10, cell=lambda r, _: str(r), drop=1, grow=1),
    ]


@given(st.integers(1, 200))
def test_columns_fit_the_width_and_the_least_important_leave_first(width: int) -> None:
    places = arrange(columns(), width)
    names = [p.column.key for p in places]
    assert names in (["a"], ["a", "c"], ["a", "b", "c"])
    if width >= 10:
        assert places[-1].x + places[-1].width <= width


def test_rows_without_a_value_come_last_either_way() -> None:
    rows = [0, 3, 1]
    assert list(sort_rows(rows, columns(), Sort("b"))) == [3, 1, 0]
    assert list(sort_rows(rows, columns(), Sort("b", down=True))) == [1, 3, 0]


def test_the_cursor_stays_with_its_row_when_others_come_and_go() -> None:
    table = Table(columns(), lambda row: row, Sort("a"), "")
    table.show([5, 10, 15], Look())
    table.following = False
    table.port.to(1)
    assert table.current() == 10
    table.show([1, 2, 5, 10, 15], Look())
    assert table.current() == 10
    table.show([15, 10], Look())
    assert table.current() == 10
    table.show([15], Look())
    assert table.current() == 15


@given(st.text(max_size=30), st.integers(1, 40), st.booleans())
def test_a_cell_is_exactly_as_wide_as_its_column(text: str, width: int, right: bool) -> None:
    from rich.cells import cell_len
    from taskmessenger.screens.widgets.words import safe

    assert cell_len(fit(safe(text), width, right=right)) == width


FLOATS = st.lists(st.floats(0, 1e9), max_size=400)


@given(FLOATS, st.integers(1, 80))
def test_a_sparkline_has_its_width(values: list[float], width: int) -> None:
    assert len(sparkline(values, width)) == width
    assert len(squeeze(values, width)) <= width


@given(FLOATS, st.integers(12, 80), st.integers(2, 12))
def test_a_plot_has_its_size(values: list[float], width: int, height: int) -> None:
    lines = plot(values, width, height, seconds=300)
    assert len(lines) == height
    assert all(len(line) == width for line in lines)


def test_nothing_and_zero_look_different() -> None:
    assert sparkline([0.0, 1.0], 3) == " ▁█"


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 40))
def test_bars_and_time_lines_have_their_width(start: float, length: float, width: int) -> None:
    assert len(bar(start, width)) == width
    assert len(time_line(start, start + length, 0.0, 2.0, width)) == width


MOMENTS = st.floats(0, 4e9) | st.sampled_from([0.0, 100.0, 100.0001])


@given(MOMENTS, MOMENTS, MOMENTS, MOMENTS, st.integers(1, 40))
def test_a_time_line_has_its_width_whatever_the_clocks_say(
    start: float, end: float, first: float, last: float, width: int
) -> None:
    assert len(time_line(start, end, first, last, width)) == width


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9), inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_payload_survives_being_edited_as_text(value: object) -> None:
    packed = msgpack.packb(value)
    assert unjson(jsonable(value)) == value
    assert from_text(as_text(packed)) == packed


@pytest.mark.parametrize(
    "text", ["{", '{"base64": "?"}', '{"map": 3, "x"}', '{"timestamp": {"seconds": 1, "nanoseconds": -1}}']
)
def test_an_edited_payload_that_is_none_says_why(text: str) -> None:
    with pytest.raises(UsageError):
        from_text(text)


def test_a_worker_says_why_it_takes_no_tasks_and_what_does_not_stop_there() -> None:
    words = "has all its slots taken by tasks that do not stop"
    row = WorkerRow("w-1", "connected", held_up=words, stuck=((7, "spin", 1.0), (8, "sp\x1bin", 2.0)))
    said = joined(held_up(row), {"dim": "", "warn": ""}).plain
    assert said == f"{words}  does not stop: 7 (spin), 8 (sp\\x1bin)"
    assert not list(held_up(WorkerRow("w-1", "paused", held_up="is paused")))
