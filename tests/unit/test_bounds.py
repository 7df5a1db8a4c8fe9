"""How large a message may be by what it says: honest ones pass, others stop at a frame."""

from __future__ import annotations

import msgspec
import pytest
from taskmessenger.core.errors import FrameTooLarge, PeerError
from taskmessenger.handle import Act, ErrorInfo, Group
from taskmessenger.net import messages as m
from taskmessenger.net.bounds import HEAD, MAX_ERROR, MAX_TASKS, SMALL, bound_for, overfull
from taskmessenger.net.framing import MAX_MESSAGE, FrameWriter
from taskmessenger.net.protocol import Wire

from tests.support.messages import EVERY

MIB = 1 << 20
BIG = 2**63 - 1
KEYS = [f"key {n}" for n in range(19_000)]
HONEST = {
    "a result": ("worker", m.Finished([BIG], [BIG], [bytes(3 * MIB)], [1e9])),
    "a small result": ("worker", m.Finished([1], [1], [bytes(SMALL)], [0.1])),
    "an error": ("worker", m.Broke([(BIG, BIG, 6, 1e9, bytes(MAX_ERROR - 1))])),
    "an offer": ("worker", m.Offer([f"{n:064}" for n in range(1_000)], [], 1, 1)),
    "one large payload": ("client", m.Submit(BIG, [Group("k" * 64, [bytes(3 * MIB)])], watch=True)),
    "a large payload for a task that is edited": (
        "operator", m.Do(BIG, Act("edit", ids=(2**40,), payload=bytes(5 * MIB)))
    ),
    "many payloads": ("client", m.Submit(7, [Group("k", [b"\xc0" * 60] * 19_000), Group("l", [b"\xc0"])])),
    "payloads with keys": (
        "operator",
        m.Submit(300, [Group("k", [b"\xc0" * 9] * 19_000, KEYS, 5, 1.5, 3, 0.5, "b", "w")]),
    ),
    "many ids": ("client", m.Watch(1, [BIG] * 100_000)),
    "many ids to cancel": ("client", m.Command(1, "cancel", [BIG] * 100_000)),
    "many outcomes": ("operator", m.GetOutcomes(BIG, [BIG] * 100_000)),
}  # fmt: skip
TOO_MUCH = {
    "leases": m.Holding([1] * 50_000, [1] * 50_000),
    "beginnings": m.Started([1] * 50_000, [1] * 50_000),
    "results in columns": m.Finished([1] * 50_000, [1] * 50_000, [b"\xc0"] * 50_000, [0.1] * 50_000),
    "results for one task": m.Finished([1], [1], [b"\xc0"] * 50_000, [0.1]),
    "times for one task": m.Finished([1], [1], [b"\xc0"], [0.1] * 50_000),
    "ends": m.Broke([(1, 1, 1, 0.1, None)] * 50_000),
    "an endless error": m.Broke([(1, 1, 1, 0.1, bytes(MIB))]),
    "an order": m.RenewMe(bytes(MIB)),
}


def heard(role: str, body: bytes) -> list[m.Message]:
    """What the manager understands of a body that comes from somebody of this role."""
    writer = FrameWriter()
    writer.put(body)
    wire = Wire("stranger", 0.0)
    wire.establish(role, heartbeat=5.0, dead_after=15.0, now=0.0)
    found: list[m.Message] = []
    while data := writer.take(100_000):
        found += wire.receive(data, 0.0)
    return found


@pytest.mark.parametrize(("role", "message"), HONEST.values(), ids=HONEST.keys())
def test_what_an_honest_peer_may_have_to_say_is_heard(role: str, message: m.Message) -> None:
    assert heard(role, m.pack(message)) == [message]


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_any_message_may_have_a_frame(message: m.Message) -> None:
    for role in ("worker", "client"):
        bound = bound_for(role, MAX_MESSAGE)
        assert bound is not None
        assert SMALL <= bound(m.pack(message)[:HEAD]) <= MAX_MESSAGE


@pytest.mark.parametrize("message", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_columns_of_a_worker_fit_into_a_frame_or_are_not_even_held(message: m.Message) -> None:
    with pytest.raises(FrameTooLarge):
        heard("worker", m.pack(message))


def test_what_is_encoded_oddly_gets_no_more_than_a_frame() -> None:
    plain = m.pack(m.Finished([1], [1], [bytes(MIB)], [0.1]))
    long = b"\xdd\0\0\0\5\xcd\0\x17" + plain[2:]
    assert msgspec.msgpack.decode(long)[0] == 23
    for body in (b"\xdc\0\5" + plain[1:2] + b"\xdc\0\2" + plain[3:], b"\xc6" + plain, b"\x90" * MIB):
        with pytest.raises(FrameTooLarge):
            heard("worker", body)


def test_the_first_byte_alone_decides_nothing_in_favour_of_the_sender() -> None:
    body = m.pack(m.Finished([1], [1], [b"\xc0"] * 30_000, [0.1]))
    wire = Wire("stranger", 0.0)
    wire.establish("worker", heartbeat=5.0, dead_after=15.0, now=0.0)
    assert wire.receive(b"\0\0\0\1\0\0\0\1" + body[:1], 0.0) == []
    with pytest.raises(FrameTooLarge):
        wire.receive(b"\0\1\0\0\0\0\0\1" + body[1:65_537], 0.0)


@pytest.mark.parametrize(
    "groups",
    [
        [Group("k", [b"\xc0" * 60] * (MAX_TASKS + 1))],
        [Group("k", [b"\xc0" * 60] * (MAX_TASKS // 2))] * 3,
        [Group("k", [])] * 400_000,
    ],
    ids=["in one group", "in several", "groups of nothing"],
)
def test_too_many_tasks_are_told_so_without_making_them(groups: list[Group]) -> None:
    body = m.pack(m.Submit(77, groups))
    assert overfull(body) == 77
    (told,) = heard("client", body)
    assert isinstance(told, m.Submit)
    assert (told.request, len(told.groups) > MAX_TASKS) == (77, True)


@pytest.mark.parametrize(
    "value",
    [
        [40, 1, [["k", [b"x" * 2 * MIB]]], False, [0] * 100_000],
        [40, 1, [["k", [b"x" * 2 * MIB], None, 0, None, None, 0.0, None, None, [[0]] * 10]]],
        [40, 1, [["k", [[1] * 2 * MIB]]]],
        [40, 1, {"k": [b"x" * 2 * MIB]}],
        [40, "x" * 2 * MIB],
    ],
    ids=["more behind it", "more in a group", "payloads that are none", "no groups", "no number"],
)
def test_a_large_submission_that_no_client_makes_is_not_decoded(value: list[object]) -> None:
    with pytest.raises(PeerError):
        heard("client", msgspec.msgpack.encode(value))


def test_a_message_that_does_not_go_on_ends_the_session() -> None:
    wire = Wire("stranger", 0.0)
    wire.establish("worker", heartbeat=5.0, dead_after=15.0, now=0.0)
    writer = FrameWriter()
    writer.put(m.pack(m.Finished([1], [1], [bytes(MIB)], [0.1])))
    wire.receive(writer.take(), 0.0)
    for second in range(60):
        wire.last_heard = float(second)
        wire.tick(float(second))
    wire.last_heard = 61.0
    with pytest.raises(PeerError, match="not finished"):
        wire.tick(61.0)


def test_an_error_has_room_for_all_that_a_runtime_says() -> None:
    info = ErrorInfo("failed", "x" * 2_048, "y" * 16_384, {"output": "z" * 65_536})
    assert len(msgspec.msgpack.encode(info)) < MAX_ERROR
