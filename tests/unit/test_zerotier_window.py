"""The window of a ZeroTier stream: what is under way stays within its bounds, and nothing waits for ever."""

from __future__ import annotations

import itertools
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskmessenger.core.errors import PeerError
from taskmessenger.net.zerotier.window import (
    HEADER_SIZE,
    MAX_UNPARSED,
    TELL_BYTES,
    TELL_WRITES,
    WINDOW,
    WORTHWHILE,
    WRITES,
    Kind,
    Window,
)


def frame(kind: int, size: int = 0, *, taken: int = 0, writes: int = 0) -> bytes:
    return bytes([kind, writes]) + taken.to_bytes(3) + size.to_bytes(3)


def write(window: Window, data: bytes) -> bytes:
    return window.write(memoryview(data))


def fill(sender: Window, size: int) -> bytes:
    """Writes of `size` until there is no more room for one."""
    frames = []
    while sender.room >= size:
        frames.append(write(sender, bytes(size)))
    return b"".join(frames)


class End:
    """One end of a simulated stream: a writer with a script, a reader, and what the carrier still holds."""

    def __init__(self, sizes: list[int], rng: random.Random) -> None:
        self.window = Window()
        self.data = rng.randbytes(sum(sizes))
        self.ends = list(itertools.accumulate(sizes))
        """Where each `send` of the user ends."""
        self.written = 0
        self.got = bytearray()
        self.carrier = bytearray()
        """Bytes on their way to the other end."""
        self.ledger: deque[int] = deque()
        """Where each write ended that was not taken whole, counted from the beginning of the stream."""
        self.wrote_end = False

    def write(self) -> bool:
        """Write what there is room for, as a stream does; False when it has to wait."""
        left = len(self.data) - self.written
        if not left:
            if self.wrote_end:
                return False
            self.carrier += self.window.end()
            self.wrote_end = True
            return True
        wanted = next(end for end in self.ends if end > self.written) - self.written
        if self.window.room < min(wanted, WORTHWHILE):
            return False
        size = min(wanted, self.window.room)
        self.carrier += write(self.window, self.data[self.written : self.written + size])
        self.written += size
        self.ledger.append(self.written)
        return True

    def read(self, most: int) -> bool:
        piece = self.window.take(most)
        assert len(piece) <= most
        self.got += piece
        self.carrier += self.window.tell()
        return bool(piece)

    def hear(self, other: End, size: int) -> bool:
        """Let the carrier bring some bytes of what the other end wrote."""
        piece = bytes(other.carrier[:size])
        del other.carrier[:size]
        self.window.feed(piece)
        return bool(piece)


def check(writer: End, reader: End) -> None:
    """The promise, counted from outside and by the window: what was written and not taken."""
    outstanding, writes = writer.window.outstanding
    assert outstanding <= WINDOW
    assert writes <= WRITES
    assert writer.written - len(reader.got) <= WINDOW
    while writer.ledger and writer.ledger[0] <= len(reader.got):
        writer.ledger.popleft()
    assert len(writer.ledger) <= WRITES
    assert len(writer.carrier) <= MAX_UNPARSED
    assert reader.window.held <= WINDOW


some = st.sampled_from([1, 7, 1000, 16384, 65535, 65536, 200_000])
many = st.tuples(st.sampled_from([1, 100, 1024, 3000]), st.sampled_from([63, 64, 65, 150]))
sizes = st.one_of(st.lists(some, max_size=6), many.map(lambda each: [each[0]] * each[1]))
step = st.tuples(
    st.sampled_from(["write", "read", "hear"]),
    st.booleans(),
    st.sampled_from([1, 7, 8, 9, 4096, 65536]),
    st.sampled_from([1, 1, 1, WRITES + 1]),
)
"""What, at which end, with how many bytes, how often in a row: only a burst reaches the bound on writes."""


def perform(ends: tuple[End, End], what: str, first: bool, size: int) -> bool:
    near, far = ends if first else ends[::-1]
    if what == "write":
        return near.write()
    return near.read(size) if what == "read" else near.hear(far, size)


def prepared(there: list[int], back: list[int]) -> tuple[End, End]:
    rng = random.Random(1)
    return End(there, rng), End(back, rng)


def test_the_bounds_are_those_that_libzt_bears() -> None:
    assert (WINDOW, WRITES) == (65_536, 64)


def performed(ends: tuple[End, End], steps: list[tuple[str, bool, int, int]]) -> None:
    for what, which, size, times in steps:
        for _ in range(times):
            went = perform(ends, what, which, size)
            check(*ends)
            check(*ends[::-1])
            if not went:
                break


@settings(max_examples=150)
@given(sizes, sizes, st.lists(step, max_size=300))
def test_in_any_order_of_events_the_bounds_hold_and_everything_arrives(
    there: list[int], back: list[int], steps: list[tuple[str, bool, int, int]]
) -> None:
    ends = prepared(there, back)
    performed(ends, steps)
    orders = [(what, which, 65536) for what in ("write", "read", "hear") for which in (True, False)]
    while sum(perform(ends, *order) for order in orders):
        check(*ends)
        check(*ends[::-1])
    for writer, reader in (ends, ends[::-1]):
        assert reader.got == writer.data, "a writer waits for ever"
        assert reader.window.ended


@settings(max_examples=100)
@given(sizes, sizes, st.lists(step, max_size=300))
def test_a_carrier_that_breaks_anywhere_leaves_a_beginning_and_a_stream_without_its_end(
    there: list[int], back: list[int], steps: list[tuple[str, bool, int, int]]
) -> None:
    ends = prepared(there, back)
    performed(ends, steps)
    lost = [bool(end.carrier) or not end.wrote_end for end in ends]
    for end in ends:
        end.carrier.clear()
    for (writer, reader), some_lost in zip((ends, ends[::-1]), lost, strict=True):
        while reader.read(65536):
            pass
        assert writer.data.startswith(bytes(reader.got))
        assert reader.window.ended <= writer.wrote_end
        assert some_lost or reader.window.ended
        assert not reader.window.ended or reader.got == writer.data


@pytest.mark.parametrize("size", [1, 1000, WINDOW // WRITES, 4096, WINDOW])
def test_nobody_writes_more_than_the_window(size: int) -> None:
    sender = Window()
    fill(sender, size)
    assert sender.room < size
    outstanding, writes = sender.outstanding
    assert outstanding <= WINDOW
    assert writes <= WRITES
    assert outstanding + size > WINDOW or writes == WRITES


def test_a_reader_that_waits_for_more_never_leaves_its_writer_without_worthwhile_room() -> None:
    sender, reader = Window(), Window()
    for size in (1, 1000, 40_000, WINDOW):
        reader.feed(fill(sender, size))
        while reader.take(1500):
            sender.feed(reader.tell())
        assert sender.room >= WORTHWHILE


def test_an_account_goes_with_what_is_written_the_other_way() -> None:
    sender, reader = Window(), Window()
    reader.feed(write(sender, b"question"))
    assert reader.take(100) == b"question"
    assert reader.tell() == b"", "so little can wait"
    sender.feed(write(reader, b"answer"))
    assert sender.outstanding == (0, 0)
    assert sender.take(100) == b"answer"


def test_an_account_goes_alone_when_much_was_taken() -> None:
    for size, number in ((TELL_BYTES, 1), (1, TELL_WRITES)):
        sender, reader = Window(), Window()
        for _ in range(number):
            assert reader.tell() == b""
            reader.feed(write(sender, bytes(size)))
            reader.take(size)
        account = reader.tell()
        assert len(account) == HEADER_SIZE
        sender.feed(account)
        assert sender.outstanding == (0, 0)


def test_an_account_is_given_even_when_the_own_window_is_full() -> None:
    sender, reader = Window(), Window()
    fill(reader, WINDOW)
    reader.feed(fill(sender, WINDOW))
    reader.take(WINDOW)
    sender.feed(reader.tell())
    assert sender.room == WINDOW


def test_after_its_end_a_writer_still_accounts_for_what_it_reads() -> None:
    sender, reader = Window(), Window()
    sender.feed(reader.end())
    assert reader.end() == b""
    reader.feed(fill(sender, WINDOW))
    reader.take(WINDOW)
    sender.feed(reader.tell())
    assert sender.room == WINDOW
    assert sender.ended
    assert not sender.closed


def test_nobody_accounts_to_who_has_ended() -> None:
    sender, reader = Window(), Window()
    reader.feed(fill(sender, WINDOW) + sender.end())
    reader.take(WINDOW)
    assert reader.tell() == b""


def test_what_was_written_before_closing_can_still_be_taken() -> None:
    sender, reader = Window(), Window()
    reader.feed(write(sender, b"last words") + sender.close())
    assert reader.ended
    assert reader.closed
    assert reader.take(4) == b"last"
    assert reader.take(100) == b" words"
    assert reader.take(100) == b""


def test_a_part_of_a_write_can_be_taken_before_all_of_it_came() -> None:
    sender, reader = Window(), Window()
    there = write(sender, b"abcdef")
    reader.feed(there[: HEADER_SIZE + 3])
    assert reader.take(100) == b"abc"
    reader.feed(there[HEADER_SIZE + 3 :])
    assert reader.take(100) == b"def"


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"GET / HTTP/1.1\r\n", id="another protocol"),
        pytest.param(bytes(HEADER_SIZE), id="zeros"),
        pytest.param(frame(Kind.DATA, 0), id="a write of nothing"),
        pytest.param(frame(Kind.DATA, WINDOW + 1), id="a write larger than the window"),
        pytest.param(frame(Kind.TAKEN, 1), id="an account with a body"),
        pytest.param(frame(Kind.TAKEN, taken=1), id="bytes taken that were not written"),
        pytest.param(frame(Kind.TAKEN, writes=1), id="writes taken that were not written"),
        pytest.param(frame(Kind.END) + frame(Kind.DATA, 1), id="a write after the end"),
        pytest.param(frame(Kind.TAKEN), id="an account of nothing"),
        pytest.param(frame(Kind.CLOSE) + frame(Kind.END), id="anything after closing"),
        pytest.param((frame(Kind.DATA, 1) + b"x") * (WRITES + 1), id="one write too many"),
        pytest.param(frame(Kind.DATA, WINDOW) + bytes(WINDOW) + frame(Kind.DATA, 1), id="one byte too many"),
    ],
)
def test_garbage_is_refused_however_it_is_cut(garbage: bytes) -> None:
    for size in (1, 3, len(garbage)):
        window = Window()
        pieces = [garbage[start : start + size] for start in range(0, len(garbage), size)]
        with pytest.raises(PeerError):
            deque(map(window.feed, pieces), maxlen=0)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(1, 64))
def test_whatever_arrives_is_taken_or_refused(data: bytes, size: int) -> None:
    window = Window()
    try:
        for start in range(0, len(data), size):
            window.feed(data[start : start + size])
            assert window.held <= WINDOW
    except PeerError:
        pass
