"""Large values travel without being copied: nobody else waits for them, and the wire does not tell."""

from __future__ import annotations

import msgpack
import pytest
from taskmessenger.core.errors import PeerError
from taskmessenger.handle import Group, Outcome
from taskmessenger.net import large_messages
from taskmessenger.net import messages as m
from taskmessenger.net.framing import FrameReader, FrameWriter
from taskmessenger.roles.results import bad_in_parts

from tests.support.messages import EVERY

VALUE = msgpack.packb(b"v" * (3 << 20))
GROUP = Group("echo", [VALUE], ["k"], 5, 9.5, 3, 1.5, "batch", "w")
LARGE = [
    m.Finished([2**40], [3], [VALUE], [0.25]),
    m.Assign([("echo", [(2**40, 3, None, VALUE)])]),
    m.Outcomes(0, [Outcome(7, 4, 1, "w", VALUE, None, 0.5)]),
    m.Outcomes(9, [Outcome(7, 4, 1, "w", VALUE, None, 0.5)], [8], 2),
    m.Submit(1, [GROUP], True),
]


@pytest.mark.parametrize(
    "message", [*LARGE, *EVERY, m.Submit(1, [GROUP, GROUP]), m.Assign([("a", []), ("b", [])])]
)
def test_the_bytes_are_the_same_and_so_is_the_message(message) -> None:
    packed = large_messages.pack(message)
    whole = packed if isinstance(packed, bytes) else b"".join(packed)
    assert whole == m.pack(message)
    assert large_messages.unpack(bytearray(whole)) == message
    assert type(large_messages.unpack(whole)) is type(message)


@pytest.mark.parametrize("message", LARGE)
def test_what_is_sent_is_the_value_itself(message) -> None:
    assert any(part is VALUE for part in large_messages.pack(message))
    writer, reader = FrameWriter(), FrameReader()
    writer.put(large_messages.pack(message))
    done = []
    while data := writer.take():
        done += reader.feed(data)
    assert done == [m.pack(message)]


def test_what_comes_in_is_looked_at_where_it_is() -> None:
    body = bytearray(m.pack(m.Finished([1], [1], [VALUE], [0.5])))
    (result,) = large_messages.unpack(body).results
    assert result.obj is body
    body = bytearray(m.pack(m.Submit(1, [Group("echo", [b"\xc0", VALUE])])))
    small, large = large_messages.unpack(body).groups[0].payloads
    assert type(small) is bytes, "a small one must not keep the whole message in memory"
    assert large.obj is body


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_what_is_no_message_is_refused_as_ever(cut) -> None:
    for message in LARGE:
        with pytest.raises(PeerError):
            large_messages.unpack(m.pack(message)[:-cut])


@pytest.mark.parametrize(
    ("result", "good"),
    [
        (msgpack.packb(b"x" * 2_000_000), True),
        (msgpack.packb("x" * 2_000_000), True),
        (msgpack.packb([{"a": [b"y" * 30]}] * 50_000), True),
        (msgpack.packb([b"z" * 1_500_000, 1]), True),
        (msgpack.packb(b"x" * 2_000_000)[:-1], False),
        (msgpack.packb(b"x" * 2_000_000) + b"\xc0", False),
        (msgpack.packb([1] * 2_000_000)[:-1], False),
        (msgpack.packb([1] * 2_000_000) + b"\xc0", False),
        (b"\xc1" * 2_000_000, False),
        (b"\x91" * 2_000_000 + b"\xc0", False),
    ],
)
async def test_a_large_result_that_is_looked_at_in_parts_is_judged_alike(result, good) -> None:
    assert (await bad_in_parts(result, 1 << 30) == {}) is good
    assert await bad_in_parts(memoryview(bytearray(result)), 1000) != {}
