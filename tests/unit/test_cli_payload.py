"""Payloads as they are typed, and results as they are shown."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.cli import inputs as i
from taskmessenger.cli import payload as p
from taskmessenger.cli.inputs import Inputs, Keys
from taskmessenger.core.errors import UsageError
from taskmessenger.runtimes.plain import jsonable

# Of the many bit patterns that are no number JSON has a word for one.
floats = st.floats(allow_nan=False) | st.just(math.nan)
rare = st.builds(msgpack.ExtType, st.integers(0, 127), st.binary()) | st.builds(
    msgpack.Timestamp, st.integers(0, 2**34 - 1), st.integers(0, 10**9 - 1)
)
scalars = (
    rare
    | st.sampled_from(["nan", "inf", "AAAA"])
    | st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | floats
    | st.text()
    | st.binary()
)
telling = st.sampled_from(["base64", "float", "map", "timestamp", "ext", "seconds", "nanoseconds"])
keys = telling | st.text() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.booleans()
values = st.recursive(scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=4))


def test_plain_text_is_a_string() -> None:
    assert msgpack.unpackb(p.from_text("5")) == "5"


def test_json_is_the_value_that_it_says() -> None:
    assert msgpack.unpackb(p.from_json('{"a": [1, null, 0.5]}')) == {"a": [1, None, 0.5]}


def test_not_a_number_can_be_sent() -> None:
    value = msgpack.unpackb(p.from_json("NaN"))
    assert value != value  # noqa: PLR0124


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":\n 1,}', "line 2, column"),
        ("", "Expecting value at line 1, column 1"),
        (str(2**64), "an int of 65 bits"),
        ("9" * 5000, "thousands of digits"),
        ("[" * 200_000, "nested too deeply"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        ('"\\ud800"', "not valid Unicode"),
    ],
)
def test_json_that_cannot_be_sent_is_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        p.from_json(text)
    assert why in str(caught.value)
    assert "--json-payload" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_argument_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="not valid Unicode"):
        p.from_text("\udcff")


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\0\xff")
    assert msgpack.unpackb(p.from_file(str(tmp_path / "f"))) == b"\0\xff"


def test_a_file_over_the_limit_is_refused_without_reading_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(p, "MAX_BYTES", 10)
    (tmp_path / "f").write_bytes(bytes(11))
    with pytest.raises(UsageError, match="over the 10 bytes that a payload may have"):
        p.from_file(str(tmp_path / "f"))


@pytest.mark.parametrize("name", ["gone", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        p.from_file(str(tmp_path / name))
    with pytest.raises(UsageError, match="cannot be read"):
        read(str(tmp_path / name))


def lines(tmp_path: Path, data: bytes) -> list[Any]:
    (tmp_path / "l").write_bytes(data)
    return [msgpack.unpackb(payload) for payload, *_ in read(str(tmp_path / "l"))]


def read(name: str, key: str | None = None, field: str | None = None) -> list[tuple[bytes, str, int | None]]:
    """Payload, key and line of each."""
    with closing(Inputs()) as inputs:
        p.from_lines(name, inputs, Keys(key, field))
        return [(inputs.payload(n), inputs.key(n), inputs.line(n)) for n in range(len(inputs))]


def test_each_line_is_a_value_and_empty_lines_are_none(tmp_path: Path) -> None:
    assert lines(tmp_path, b'1\n\n  \n"b"\r\n[3]') == [1, "b", [3]]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'1\n\n{"a"\n', r"line 3 of \S+ is not valid JSON: .* at column 5; nothing was submitted"),
        (b'1\n"caf\xe9"\n', r"line 2 of \S+ is not UTF-8 \(byte 0xe9; is it Latin-1\?\): save it as UTF-8"),
        ('"a"\n'.encode("utf-16-le"), r"line 1 of \S+ looks like UTF-16 or UTF-32 without a byte order mark"),
        (b"\xff\xfea", r"\S+ is no whole UTF-16: save it as UTF-8; nothing was submitted"),
        (b"1\n" + str(2**70).encode(), "line 2 of .* an int of 71 bits"),
        (b"[" * 200_000, "line 1 of .* nested too deeply"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_sent(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        lines(tmp_path, data)


def test_too_many_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MAX_TASKS", 2)
    with pytest.raises(UsageError, match=r"over the 2 lines or .* taken at once: split it"):
        lines(tmp_path, b"1\n2\n3\n")


def keyed(tmp_path: Path, rows: list[Any], key: str | None = "k", field: str | None = None) -> list[str]:
    (tmp_path / "rows").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return [name for _, name, _ in read(str(tmp_path / "rows"), key, field)]


def test_a_row_keeps_its_key_whatever_stands_before_it(tmp_path: Path) -> None:
    before = keyed(tmp_path, [{"id": 1}, {"id": 2}, "x"])
    after = keyed(tmp_path, ["new", {"id": 1}, "other", {"id": 2}, "x"])
    assert [after[1], after[3], after[4]] == before
    assert len(set(after)) == 5
    assert all(key.startswith("k-") for key in after)


def test_rows_that_are_alike_are_tasks_of_their_own(tmp_path: Path) -> None:
    first, second, third = keyed(tmp_path, ["x", "y", "x"])
    assert (third, second) == (f"{first}-2", keyed(tmp_path, ["y"])[0])


def test_a_field_of_the_row_can_be_its_key(tmp_path: Path) -> None:
    rows = [{"id": 7, "a": 1}, {"id": "b", "a": 1}]
    assert keyed(tmp_path, rows, None, "id") == ["7", "b"]
    assert keyed(tmp_path, rows, "mon", "id") == ["mon-7", "mon-b"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"id": 1}, {"x": 1}], "line 2 of .* has no text or whole number as `id`"),
        ([{"id": True}], "line 1 of .* has no text or whole number"),
        ([{"id": ""}], "line 1 of .* has no text or whole number"),
        ([[1]], "line 1 of .* has no text or whole number"),
        ([{"id": "a\n"}], "the key of line 1 of .* is not of at most 256 printable characters"),
        ([{"id": 1}, {"id": 2}, {"id": 1}], "line 3 of .* has the same `id` as line 1, 1: "),
    ],
)
def test_a_row_without_a_key_of_its_own_is_named_and_nothing_is_sent(
    tmp_path: Path, rows: list[Any], why: str
) -> None:
    with pytest.raises(UsageError, match=f"{why}.*; nothing was submitted" if "same" not in why else why):
        keyed(tmp_path, rows, None, "id")


def test_many_payloads_wait_in_a_file_and_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i, "IN_MEMORY", 100)
    with closing(Inputs()) as inputs:
        for n in range(50):
            inputs.add(msgpack.packb("x" * n), f"key-{n}", n + 1)
        assert [inputs.payload(n) for n in (49, 0, 7)] == [msgpack.packb("x" * n) for n in (49, 0, 7)]
        assert (inputs.key(9), inputs.line(9), inputs.largest) == ("key-9", 10, len(msgpack.packb("x" * 49)))
        pieces = list(inputs.pieces(20, 200))
        assert [payload for _, some in pieces for payload in some] == [inputs.payload(n) for n in range(50)]
        assert [first for first, _ in pieces] == [
            sum(len(s) for _, s in pieces[:n]) for n in range(len(pieces))
        ]
        assert all(sum(map(len, some)) <= 200 and len(some) <= 20 for _, some in pieces)


def test_a_line_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MAX_BYTES", 4)
    with pytest.raises(UsageError, match=r"line 2 of .* over the 4 bytes"):
        lines(tmp_path, b"1\n22222\n")


@given(values)
def test_every_value_can_be_said_in_json(value: Any) -> None:
    packed = msgpack.packb(value)
    text = json.dumps(jsonable(p.value_of(packed)), allow_nan=False)
    assert p.from_json(text) == packed


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_read_in_the_encoding_that_their_mark_names(
    tmp_path: Path, encoding: str, end: str
) -> None:
    text = end.join(["1", '"grün"', "", "[2]", f'"{"x" * 200_000}"', "3"])
    assert lines(tmp_path, text.encode(encoding)) == [1, "grün", [2], "x" * 200_000, 3]
    assert lines(tmp_path, "".encode(encoding)) == []
    assert msgpack.unpackb(p.from_json("\ufeff[1]")) == [1]


def test_what_json_cannot_say_has_a_telling_key() -> None:
    assert jsonable(b"\0\xff") == {"base64": "AP8="}
    assert jsonable(float("inf")) == {"float": "inf"}
    assert jsonable({1: "a", "1": b""}) == {"map": [[1, "a"], ["1", {"base64": ""}]]}
    assert jsonable(msgpack.ExtType(5, b"x")) == {"ext": 5, "base64": "eA=="}
    assert jsonable(msgpack.Timestamp(3, 0)) == {"timestamp": {"seconds": 3, "nanoseconds": 0}}


@pytest.mark.parametrize(
    "value",
    [
        {"base64": "aGVsbG8="},
        {"base64": b"raw"},
        {"map": [["base64", "aGVsbG8="]]},
        {"map": []},
        {"float": "nan"},
        {"float": "seven"},
        {"float": 1.5},
        {"timestamp": 1_700_000_000},
        {"timestamp": {"seconds": 1, "nanoseconds": 2}},
        {"ext": 5, "base64": "aGVsbG8="},
        {"ext": True, "base64": "aGVsbG8="},
        {"base64": "no base64 at all"},
        {"a": [{"base64": "aGVsbG8="}], "base64": "x"},
        {b"base64": "x"},
    ],
    ids=repr,
)
def test_a_map_that_looks_like_something_else_comes_back_as_the_map_that_it_is(value: Any) -> None:
    for one in (value, [value], {"in": value}):
        packed = msgpack.packb(one)
        assert p.from_json(json.dumps(jsonable(p.value_of(packed)))) == packed


def test_bytes_are_read_back_wherever_json_is_typed(tmp_path: Path) -> None:
    text = '{"base64": "aGVsbG8="}'
    assert msgpack.unpackb(p.from_json(text)) == b"hello"
    assert msgpack.unpackb(p.from_json(text.replace("base", "\\u0062ase"))) == b"hello"
    assert lines(tmp_path, f"1\n[{text}]\n".encode()) == [1, [b"hello"]]
    assert msgpack.unpackb(p.from_json('{"map": [["base64", "aGVsbG8="]]}')) == {"base64": "aGVsbG8="}


def test_what_is_no_base64_is_refused_with_the_way_to_mean_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        lines(tmp_path, b'1\n{"base64": "?"}\n')
    assert "line 2 of" in str(caught.value)
    assert 'is written as {"map": [["base64", VALUE]]}; nothing was submitted' in str(caught.value)


def test_text_is_shown_as_it_is_and_other_values_as_json() -> None:
    assert p.shown(msgpack.packb("a\nb")) == "a\nb"
    assert p.shown(msgpack.packb({"é": None})) == '{"é": null}'
    assert p.shown(msgpack.packb(False)) == "false"


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "on_terminal", lambda: True)
    assert p.shown(msgpack.packb("\x1b[31m\x9b\n\tx")) == "\\x1b[31m\\x9b\n\tx"


def test_bytes_are_written_raw_unless_a_person_looks(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    p.print_result(msgpack.packb(b"\0\xff"))
    assert capfdbinary.readouterr().out == b"\0\xff"
    monkeypatch.setattr(p, "on_terminal", lambda: True)
    p.print_result(msgpack.packb(b"\0\xff"))
    assert capfdbinary.readouterr().out == b'{"base64": "AP8="}\n'


def test_a_result_that_is_no_value_is_shown_as_bytes() -> None:
    assert p.shown(b"\xc1") == '{"base64": "wQ=="}'


def test_without_standard_input_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="there is no standard input to read from"), p._opened("-"):
        pass
