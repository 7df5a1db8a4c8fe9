"""Frames: any chunking, bounded memory, and a large message that holds nobody up."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskmessenger.core.errors import FrameTooLarge, PeerError
from taskmessenger.net.framing import (
    FRAGMENT,
    HEADER_SIZE,
    MAX_STREAMS,
    UNAUTHENTICATED,
    FrameReader,
    FrameWriter,
)

SMALL = 16
"""A fragment size at which short examples are large messages."""


def a_header(length: int, *, flags: int = 1, reserved: int = 0, stream: int = 0) -> bytes:
    return struct.pack("!IBBH", length, flags, reserved, stream)


def a_frame(body: bytes, **fields: int) -> bytes:
    return a_header(len(body), **fields) + body


def all_of(writer: FrameWriter, limit: int = FRAGMENT) -> bytes:
    taken = []
    while data := writer.take(limit):
        taken.append(data)
    return b"".join(taken)


def cut(wire: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({c % (len(wire) + 1) for c in cuts}), len(wire)]
    return [wire[a:b] for a, b in pairwise(edges)]


def numbered(index: int, size: int) -> bytes:
    """A message that tells its place, of `size` bytes or what the number needs."""
    return struct.pack("!H", index).ljust(size, b".")


@given(
    sizes=st.lists(st.integers(2, 5 * SMALL), max_size=30),
    takes=st.lists(st.integers(1, 4 * SMALL), max_size=30),
    cuts=st.lists(st.integers(0, 10_000), max_size=60),
)
def test_messages_survive_any_chunking_and_interleaving(
    sizes: list[int], takes: list[int], cuts: list[int]
) -> None:
    writer, wire = FrameWriter(fragment=SMALL), b""
    sent = [numbered(i, size) for i, size in enumerate(sizes)]
    limits = iter(takes)
    for message in sent:
        writer.put(message)
        wire += writer.take(next(limits, 1))
    assert len(wire) + writer.pending == sum(map(len, sent)) + HEADER_SIZE * sum(
        -(-len(m) // SMALL) for m in sent
    )
    wire += all_of(writer)
    assert writer.pending == 0
    reader = FrameReader()
    got = [message for piece in cut(wire, cuts) for message in reader.feed(piece)]
    assert sorted(got) == sent
    assert [m for m in got if len(m) <= SMALL] == [m for m in sent if len(m) <= SMALL]
    assert reader.buffered == 0


@given(
    puts=st.lists(st.tuples(st.booleans(), st.integers(2, SMALL)), max_size=40),
    take=st.integers(1, 8 * SMALL),
)
def test_small_and_urgent_messages_each_keep_their_order(puts: list[tuple[bool, int]], take: int) -> None:
    writer = FrameWriter(fragment=SMALL)
    writer.put(bytes(20 * SMALL))
    wire = b""
    sent: dict[bool, list[bytes]] = {True: [], False: []}
    for index, (urgent, size) in enumerate(puts):
        message = numbered(index + 1, size)
        writer.put(message, urgent=urgent)
        sent[urgent].append(message)
        if index % 3 == 0:
            wire += writer.take(take)
    got = [m for m in FrameReader().feed(wire + all_of(writer)) if len(m) <= SMALL]
    assert [m for m in got if m in sent[True]] == sent[True]
    assert [m for m in got if m in sent[False]] == sent[False]


@pytest.mark.parametrize("size", [1, FRAGMENT - 1, FRAGMENT, FRAGMENT + 1, 3 * FRAGMENT, 3 * FRAGMENT + 1])
@pytest.mark.parametrize("step", [1 << 20, FRAGMENT, 1021])
def test_sizes_around_a_fragment_arrive_whole(size: int, step: int) -> None:
    message = os.urandom(size)
    writer = FrameWriter()
    writer.put(message)
    wire = all_of(writer)
    reader = FrameReader()
    assert [m for i in range(0, len(wire), step) for m in reader.feed(wire[i : i + step])] == [message]


def test_a_message_may_be_put_in_pieces_of_any_kind() -> None:
    pieces = [b"head", bytearray(b"-" * 40), b"", memoryview(b"tail")]
    for fragment in (7, 16, 1024):
        writer = FrameWriter(fragment=fragment)
        writer.put(pieces)
        assert FrameReader().feed(all_of(writer)) == [b"head" + b"-" * 40 + b"tail"]


def test_a_heartbeat_comes_out_within_the_next_fragment_of_a_64_mib_message() -> None:
    writer, reader = FrameWriter(), FrameReader()
    writer.put(bytes(64 << 20))
    for _ in range(5):
        reader.feed(writer.take())
    writer.put(b"beat", urgent=True)
    assert reader.feed(writer.take()[:FRAGMENT]) == [b"beat"]


def test_a_small_message_overtakes_a_large_one_but_no_small_one() -> None:
    writer, reader = FrameWriter(), FrameReader()
    writer.put(bytes(10 * FRAGMENT))
    writer.put(b"first")
    writer.put(b"second")
    writer.put(b"beat", urgent=True)
    got = [m for _ in range(3) for m in reader.feed(writer.take())]
    assert got == [b"beat", b"first", b"second"]


def test_large_messages_share_the_link_evenly() -> None:
    writer, reader = FrameWriter(), FrameReader()
    for index in range(3):
        writer.put(numbered(index, 8 * FRAGMENT))
    done_after = [len(reader.feed(writer.take(1))) for _ in range(24)]
    assert done_after == [0] * 21 + [1] * 3


def test_a_flood_of_small_messages_does_not_starve_a_large_one() -> None:
    writer, reader = FrameWriter(), FrameReader()
    writer.put(numbered(7, 8 * FRAGMENT))
    got: list[bytes] = []
    for _ in range(2 * 8 + 1):
        for _ in range(3):
            writer.put(bytes(FRAGMENT))
        got += reader.feed(writer.take())
    assert numbered(7, 8 * FRAGMENT) in got


def test_only_so_many_large_messages_are_under_way_and_the_others_wait_in_order() -> None:
    writer = FrameWriter(fragment=SMALL)
    for index in range(3 * MAX_STREAMS):
        writer.put(numbered(index, 4 * SMALL))
    reader = FrameReader(max_streams=MAX_STREAMS)
    got = reader.feed(all_of(writer))
    assert got == [numbered(index, 4 * SMALL) for index in range(3 * MAX_STREAMS)]


@given(sizes=st.lists(st.integers(1, 12 * SMALL), max_size=40))
def test_a_writer_stays_within_what_its_reader_holds(sizes: list[int]) -> None:
    writer = FrameWriter(fragment=SMALL, max_streams=3, max_buffered=12 * SMALL)
    reader = FrameReader(max_streams=3, max_buffered=12 * SMALL)
    for size in sizes:
        writer.put(bytes(size))
    assert sorted(map(len, reader.feed(all_of(writer)))) == sorted(sizes)


def test_a_message_larger_than_the_bound_of_all_goes_alone() -> None:
    writer = FrameWriter(fragment=SMALL, max_buffered=2 * SMALL)
    writer.put(bytes(3 * SMALL))
    writer.put(b"x" * 2 * SMALL)
    assert FrameReader().feed(all_of(writer)) == [bytes(3 * SMALL), b"x" * 2 * SMALL]


@pytest.mark.parametrize("message", [b"", [], [b"", b""]])
def test_an_empty_message_is_a_bug_of_the_caller(message: list[bytes] | bytes) -> None:
    with pytest.raises(ValueError, match="empty"):
        FrameWriter().put(message)


def test_an_urgent_message_must_fit_one_frame() -> None:
    with pytest.raises(ValueError, match="too large to be urgent"):
        FrameWriter().put(bytes(FRAGMENT + 1), urgent=True)


@pytest.mark.parametrize(
    "header",
    [
        a_header(0xFFFF_FFFF),
        a_header(0xFFFF_FFFF, flags=0, stream=1),
        a_header(FRAGMENT + 1),
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_a_length_bomb_is_refused_at_its_header_before_anything_is_held(header: bytes) -> None:
    reader = FrameReader()
    tracemalloc.start()
    try:
        with pytest.raises(PeerError):
            reader.feed(header)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()
    assert reader.buffered == 0


def test_before_authentication_4_kib_are_the_limit_and_it_can_be_raised() -> None:
    reader = FrameReader(max_message=UNAUTHENTICATED)
    hello = bytes(UNAUTHENTICATED)
    assert reader.feed(a_frame(hello)) == [hello]
    reader.limit(FRAGMENT)
    assert reader.feed(a_frame(bytes(FRAGMENT))) == [bytes(FRAGMENT)]
    reader.limit(UNAUTHENTICATED)
    with pytest.raises(FrameTooLarge, match="4097"):
        reader.feed(a_header(UNAUTHENTICATED + 1))


def test_before_authentication_fragments_do_not_get_around_the_limit() -> None:
    reader = FrameReader(max_message=UNAUTHENTICATED)
    reader.feed(a_frame(bytes(UNAUTHENTICATED), flags=0, stream=1))
    with pytest.raises(FrameTooLarge):
        reader.feed(a_header(1, stream=1))


def test_fragments_that_together_exceed_a_message_are_refused_at_the_header() -> None:
    reader = FrameReader(max_message=3 * FRAGMENT)
    fragment = a_frame(bytes(FRAGMENT), flags=0, stream=9)
    for _ in range(3):
        reader.feed(fragment)
    with pytest.raises(FrameTooLarge):
        reader.feed(fragment[:HEADER_SIZE])


def test_one_stream_too_many_is_refused() -> None:
    reader = FrameReader(max_streams=2)
    reader.feed(a_frame(b"a", flags=0, stream=1) + a_frame(b"b", flags=0, stream=2))
    assert reader.feed(a_frame(b"a", stream=1)) == [b"aa"]
    reader.feed(a_frame(b"c", flags=0, stream=3))
    with pytest.raises(FrameTooLarge, match="2 large messages"):
        reader.feed(a_header(1, flags=0, stream=4))


def test_unfinished_messages_together_are_bounded() -> None:
    reader = FrameReader(max_message=4 * FRAGMENT, max_buffered=5 * FRAGMENT)
    for stream in range(5):
        reader.feed(a_frame(bytes(FRAGMENT), flags=0, stream=stream + 1))
    with pytest.raises(FrameTooLarge, match="together"):
        reader.feed(a_header(1, flags=0, stream=6))


@pytest.mark.parametrize(
    "header",
    [
        a_header(1, flags=2),
        a_header(1, flags=0x81),
        a_header(1, reserved=1),
        a_header(1, flags=0),
        a_header(0),
        a_header(0, stream=5),
        a_header(0, flags=0, stream=5),
    ],
)
def test_a_header_that_means_nothing_is_the_peers_fault(header: bytes) -> None:
    with pytest.raises(PeerError):
        FrameReader().feed(header)


def test_after_an_error_nothing_is_believed() -> None:
    reader = FrameReader()
    with pytest.raises(PeerError):
        reader.feed(a_header(1, flags=0))
    with pytest.raises(PeerError):
        reader.feed(a_frame(b"innocent"))


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_random_bytes_give_messages_or_a_peer_error_and_nothing_else(pieces: list[bytes]) -> None:
    feed_garbage(pieces)


@given(st.data())
@settings(max_examples=200)
def test_a_damaged_wire_gives_messages_or_a_peer_error_and_nothing_else(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers()))
    writer = FrameWriter(fragment=SMALL)
    for _ in range(rng.randrange(1, 12)):
        writer.put(rng.randbytes(rng.randrange(1, 6 * SMALL)))
    wire = bytearray(all_of(writer, rng.randrange(1, 200)))
    for _ in range(rng.randrange(1, 4)):
        wire[rng.randrange(len(wire))] ^= 1 << rng.randrange(8)
    feed_garbage(cut(bytes(wire), [rng.randrange(len(wire)) for _ in range(rng.randrange(8))]))


def feed_garbage(pieces: list[bytes]) -> None:
    reader = FrameReader(max_message=64, max_streams=2, max_buffered=100)
    try:
        for piece in pieces:
            for message in reader.feed(piece):
                assert 0 < len(message) <= 64
            assert reader.buffered <= 100 + 64 + HEADER_SIZE
    except PeerError:
        pass


def test_reading_allocates_little_more_than_twice_the_message() -> None:
    size = 16 << 20
    writer = FrameWriter()
    writer.put(bytes(size))
    wire = [writer.take() for _ in range(size // FRAGMENT)]
    reader = FrameReader(max_message=size)
    tracemalloc.start()
    try:
        got = [message for piece in wire for message in reader.feed(piece)]
        assert tracemalloc.get_traced_memory()[1] <= 2 * size + size // 8 + (1 << 20)
    finally:
        tracemalloc.stop()
    assert list(map(len, got)) == [size]


@pytest.mark.parametrize("piece", [1_000, 5_000, 70_000])
def test_a_large_message_is_the_same_whatever_the_size_of_the_pieces_it_comes_in(piece: int) -> None:
    message = numbered(7, 3 * FRAGMENT + 5)
    writer, reader = FrameWriter(), FrameReader()
    writer.put(message)
    wire = all_of(writer)
    got = [m for start in range(0, len(wire), piece) for m in reader.feed(wire[start : start + piece])]
    assert got == [message]
    assert reader.buffered == 0
