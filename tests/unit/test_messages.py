"""Every message survives the wire as it is; everything else is refused before it costs anything."""

from __future__ import annotations

import tracemalloc
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import PeerError
from taskmessenger.net import messages as m

from tests.support.messages import EVERY, TYPES, names

HANDSHAKE = (*get_args(m.HandshakeMessage), m.Beat, m.Goodbye)


def test_the_samples_leave_no_message_out() -> None:
    assert {type(one) for one in EVERY} == set(TYPES)
    assert len(EVERY) == len(TYPES)


@pytest.mark.parametrize("message", EVERY, ids=names(EVERY))
def test_a_message_arrives_as_it_was_sent(message) -> None:
    assert m.unpack(m.pack(message), known=True) == message


@pytest.mark.parametrize("message", EVERY, ids=names(EVERY))
def test_a_stranger_is_understood_only_as_far_as_the_handshake_goes(message) -> None:
    body = m.pack(message)
    if isinstance(message, HANDSHAKE):
        assert m.unpack(body, known=False) == message
        return
    with pytest.raises(PeerError):
        m.unpack(body, known=False)


@pytest.mark.parametrize("message", EVERY, ids=names(EVERY))
def test_what_a_newer_version_adds_is_left_alone(message) -> None:
    values = msgspec.msgpack.decode(m.pack(message))
    assert m.unpack(msgspec.msgpack.encode([*values, "new", {"and": "more"}]), known=True) == message


def test_what_a_newer_version_says_of_a_task_is_left_alone() -> None:
    page = next(one for one in EVERY if isinstance(one, m.Page))
    values = msgspec.msgpack.decode(m.pack(page))
    values[2]["rows"][0]["colour"] = "green"
    assert m.unpack(msgspec.msgpack.encode(values), known=True) == page


@pytest.mark.parametrize("message", EVERY, ids=names(EVERY))
def test_what_an_older_version_leaves_out_has_a_default(message) -> None:
    kind = type(message)
    required = [f for f in msgspec.structs.fields(kind) if f.required]
    values = msgspec.msgpack.decode(m.pack(message))[: 1 + len(required)]
    short = m.unpack(msgspec.msgpack.encode(values), known=True)
    assert type(short) is kind
    for field in required:
        assert getattr(short, field.name) == getattr(message, field.name)


def test_numbers_of_messages_are_never_used_twice() -> None:
    tags = [kind.__struct_config__.tag for kind in TYPES]
    assert len(set(tags)) == len(tags)


BOMBS = {
    "a list of four billion": b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "four gigabytes": b"\x93\x16\xc6\xff\xff\xff\xff",
    "columns of four billion": b"\x93\x16\xdd\xff\xff\xff\xff" + b"\x01" * 100,
    "text of four gigabytes": b"\x93\x02\xdb\xff\xff\xff\xff",
    "an extension of four gigabytes": b"\x93\x02\xc9\xff\xff\xff\xff\x01",
    "lists in each other": b"\x91" * 100_000,
    "maps in each other": b"\x81\xa1k" * 100_000,
    "lists in each other in a message": b"\x93\x16" + b"\x91" * 100_000,
    "text that is none": m.pack(m.Goodbye("left", "bye")).replace(b"left", b"le\xfft"),
    "nothing": b"",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("known", [True, False])
def test_a_bomb_is_refused_without_taking_its_memory(body, known) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PeerError):
            m.unpack(body, known=known)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2_000_000 + 4 * len(body)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_bring_it_down(body) -> None:
    try:
        message = m.unpack(body, known=True)
    except PeerError:
        return
    assert isinstance(message, TYPES)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(st.sampled_from(EVERY), st.lists(trees, max_size=6), st.integers(0, 6))
def test_fields_of_any_type_are_refused_or_understood(message, fields, keep) -> None:
    values = msgspec.msgpack.decode(m.pack(message))[: 1 + keep] + fields
    try:
        got = m.unpack(msgspec.msgpack.encode(values), known=True)
    except PeerError:
        return
    assert m.unpack(m.pack(got), known=True).__class__ is got.__class__


def test_an_error_about_a_message_says_little_of_what_was_in_it() -> None:
    with pytest.raises(PeerError) as error:
        m.unpack(msgspec.msgpack.encode([22, "\x1b[2J" * 1_000, []]), known=True)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200
