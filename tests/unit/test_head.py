"""The beginning of a payload says of what task a line speaks, however little of it there is."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.runtimes.head import HEAD, HEAD_BYTES, head
from taskmessenger.runtimes.plain import jsonable

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary())
)
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=12)


@given(values)
def test_a_value_that_fits_is_shown_as_json(value: Any) -> None:
    text = head(msgpack.packb(value), 10**6)
    assert json.loads(text) == json.loads(json.dumps(_plain(value)))


def _plain(value: Any) -> Any:
    """As `jsonable`, but a map is a map, whatever it looks like."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else jsonable(value)


@given(values, st.integers(0, 2 * HEAD_BYTES))
def test_of_a_longer_one_the_beginning_is_shown_from_its_first_bytes_alone(value: Any, cut: int) -> None:
    packed = msgpack.packb(value)
    whole = head(packed)
    assert len(whole) <= HEAD
    assert head(packed[:HEAD_BYTES]) == whole
    short = head(packed[:cut])
    assert len(short) <= HEAD
    assert cut >= len(packed) or short.endswith("…") or short == whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"path": "/data/a.jpg", "n": [1, -7, 2.5]}, '{"path": "/data/a.jpg", "n": [1, -7, 2.5]}'),
        ("x" * 1_000_000, '"' + "x" * (HEAD - 2) + "…"),
        (b"\xff" * 100_000, '{"base64": "' + "/" * (HEAD - 13) + "…"),
        ([[]] * 100, "[" + "[], " * 19 + "[]…"),
        ({b"k": 1}, '{{"base64": "aw=="}: 1}'),
    ],
    ids=["map", "text", "bytes", "lists", "odd keys"],
)
def test_it_reads_as_the_payload_begins(value: Any, text: str) -> None:
    assert head(msgpack.packb(value)) == text


@given(st.binary())
def test_bytes_that_are_no_value_break_nothing(data: bytes) -> None:
    assert len(head(data)) <= HEAD
