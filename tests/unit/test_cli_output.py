"""Tables, JSON, durations: how things are written and read on the command line."""

from __future__ import annotations

import datetime as dt
import json

import click
import pytest
from taskmessenger.cli import output as o
from taskmessenger.cli.options import DURATION, ID, MAX_ID, seconds


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("250ms", 0.25),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, wanted: float) -> None:
    assert seconds(text) == wanted
    assert seconds(f" {text.upper()} ") == wanted


@pytest.mark.parametrize("text", ["", "m", "15x", "-5s", "1h 30", "1e3", "nan", "inf", "٣m", "1,5s", "m5"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration: write seconds, or 30s, 15m"):
        DURATION.convert(text, None, None)


def test_ten_years_are_the_longest_duration() -> None:
    with pytest.raises(click.BadParameter, match="longer than ten years"):
        DURATION.convert("4000d", None, None)


@pytest.mark.parametrize("text", ["0", "-1", "abc", "1.0", str(MAX_ID + 1), "9" * 5000, "²"])
def test_what_no_task_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not the id of a task"):
        ID.convert(text, None, None)


def test_the_largest_id_can_be_asked_for() -> None:
    assert ID.convert(str(MAX_ID), None, None) == MAX_ID


@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (None, ""),
        (0, "0 s"),
        (0.00005, "0.05 ms"),
        (1e-9, "0.001 ms"),
        (0.25, "250 ms"),
        (12, "12 s"),
        (900, "15 min"),
        (9000, "2.5 h"),
        (172800, "2 d"),
    ],
)
def test_lengths_of_time_are_written_for_people(length: float | None, wanted: str) -> None:
    assert o.span(length) == wanted


def test_moments_are_iso_8601_with_an_offset() -> None:
    assert dt.datetime.fromisoformat(o.when(1795378863.5)).timestamp() == 1795378863
    assert o.when(None) == ""
    assert o.when(1e30) == "1e+30"


def test_columns_are_aligned_and_nothing_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    o.Table(("A", "LONGER", "C")).add([(1, "x", None), (22, "", "last")])
    assert capsys.readouterr().out == "A   LONGER  C\n1   x       -\n22  -       last\n"


def test_zero_is_not_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    o.Table(("A", "B")).add([(0, 0.0)])
    assert capsys.readouterr().out == "A  B\n0  0.0\n"


def test_a_table_without_rows_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    o.Table(("A", "B")).add([])
    assert capsys.readouterr().out == "A  B\n"


def test_a_cell_is_one_short_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    o.Table(("A",)).add([("\x1b[2J\n",), ("x" * 100,)])
    assert capsys.readouterr().out == "A\n\\x1b[2J\\n\n" + "x" * 59 + "…\n"


def test_later_rows_come_without_another_heading(capsys: pytest.CaptureFixture[str]) -> None:
    table = o.Table(("A", "B"))
    table.add([("x", 1)])
    table.add([("longer", 2)])
    assert capsys.readouterr().out == "A  B\nx  1\nlonger  2\n"


@pytest.mark.parametrize("elements", [[], [1], [{"a": None}, "b"]])
def test_an_array_is_json_whatever_is_in_it(
    elements: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    with o.array() as growing:
        growing.add(*elements)
    assert json.loads(capsys.readouterr().out) == elements


def test_an_array_that_was_cut_short_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    def stop_in_the_middle() -> None:
        with o.array() as growing:
            growing.add(1, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    assert json.loads(capsys.readouterr().out) == [1, 2]


def test_json_is_ascii_so_that_no_terminal_is_told_anything() -> None:
    assert o.to_json("\x1b\x9b\u202e") == r'"\u001b\u009b\u202e"'


def test_notes_go_to_standard_error_without_invites(capsys: pytest.CaptureFixture[str]) -> None:
    o.note("look: tm1-ABCDE-FGHJK\x07")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "look: tm1-[redacted]\\x07\n"


def test_facts_that_are_nothing_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    o.pairs([("a", 0), ("long", None), ("b", ""), ("cc", "x")])
    assert capsys.readouterr().out == "a   0\ncc  x\n"
