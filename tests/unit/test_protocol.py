"""Two ends of a session, without a network: rights, rhythm, silence, and the last word."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskmessenger.core.errors import FrameTooLarge, PeerError
from taskmessenger.net import messages as m
from taskmessenger.net import protocol
from taskmessenger.net.framing import FRAGMENT, FrameReader, FrameWriter
from taskmessenger.net.messages import MAY_SAY
from taskmessenger.net.protocol import GREETING_SECONDS, PeerSilent, Phase, Wire

from tests.support.messages import EVERY, TYPES, names

HEARTBEAT, DEAD_AFTER = 5.0, 15.0
HELLO = m.Hello(1, 1, "worker", "1.0", b"i" * 16)
WELCOME = m.Welcome(1, "lab", "fleet", "w-1", HEARTBEAT, DEAD_AFTER, 30.0, 1024)
ROLES = ("worker", "client", "operator")


def drain(wire: Wire) -> bytes:
    data = b""
    while part := wire.to_send(1 << 20):
        data += part
    return data


def a_pair(role: str = "worker", now: float = 100.0) -> tuple[Wire, Wire]:
    """A manager's end and a member's, both open."""
    manager, member = Wire("stranger", now), Wire("greeter", now)
    manager.establish(role, heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=now)
    member.establish(f"manager to {role}", heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=now)
    return manager, member


def frames(*messages: m.Message) -> bytes:
    writer = FrameWriter()
    for message in messages:
        writer.put(m.pack(message))
    data = b""
    while part := writer.take(1 << 20):
        data += part
    return data


def said(wire: Wire, data: bytes, now: float = 100.0) -> list[m.Message]:
    return [one for one in wire.receive(data, now) if not isinstance(one, m.Beat)]


# ---- the handshake --------------------------------------------------------------------------------------


def test_a_handshake_goes_word_by_word() -> None:
    manager, member = Wire("stranger", 0.0), Wire("greeter", 0.0)
    member.send(HELLO)
    assert manager.receive(drain(member), 0.1) == []
    assert manager.greeting() == HELLO
    assert manager.greeting() is None
    manager.send(WELCOME)
    member.receive(drain(manager), 0.2)
    assert member.greeting() == WELCOME


def test_what_follows_the_handshake_is_read_by_the_rules_after_it() -> None:
    manager = Wire("stranger", 0.0)
    offer = m.Offer(["a"], [], 1, 1)
    assert manager.receive(frames(HELLO, offer, m.Holding([], [])), 0.0) == []
    assert manager.greeting() == HELLO
    manager.establish("worker", heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=0.0)
    assert manager.receive(b"", 0.0) == [offer, m.Holding([], [])]


def test_what_follows_the_handshake_without_right_is_refused_after_it() -> None:
    manager = Wire("stranger", 0.0)
    manager.receive(frames(HELLO, m.Submit(1, [])), 0.0)
    assert manager.greeting() == HELLO
    manager.establish("worker", heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=0.0)
    with pytest.raises(PeerError):
        manager.receive(b"", 0.0)


def test_a_greeting_has_four_kilobytes() -> None:
    manager = Wire("stranger", 0.0)
    fits = m.Hello(1, 1, "worker", "v" * 4_000)
    manager.receive(frames(fits), 0.0)
    assert manager.greeting() == fits
    with pytest.raises(FrameTooLarge):
        manager.receive(frames(m.Hello(1, 1, "worker", "v" * 4_090)), 0.0)


def test_a_greeting_has_ten_seconds_however_much_is_said() -> None:
    manager = Wire("stranger", 0.0)
    assert manager.deadline() == GREETING_SECONDS
    for second in range(9):
        manager.receive(b"\0", float(second)) if second == 0 else manager.tick(float(second))
    with pytest.raises(PeerSilent):
        manager.tick(GREETING_SECONDS)


def test_nobody_beats_before_the_handshake_is_done() -> None:
    wire = Wire("stranger", 0.0)
    wire.tick(9.0)
    assert not wire.pending


# ---- rights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", EVERY, ids=names(EVERY))
@pytest.mark.parametrize("who", sorted(MAY_SAY))
def test_who_may_say_what(who, message) -> None:
    wire = Wire(who, 0.0)
    allowed = type(message) in MAY_SAY[who]
    if who in {"stranger", "greeter"}:
        wire.receive(frames(message), 0.0)
        if allowed:
            assert wire.greeting() == message
        else:
            with pytest.raises(PeerError):
                wire.greeting()
        return
    wire.establish(who, heartbeat=HEARTBEAT, dead_after=DEAD_AFTER, now=0.0)
    if not allowed:
        with pytest.raises(PeerError, match="has no place here"):
            wire.receive(frames(message), 0.0)
    elif not isinstance(message, m.Beat):
        assert wire.receive(frames(message), 0.0) == [message]


def test_rights_are_what_each_role_needs_and_no_more() -> None:
    common = {m.Beat, m.Goodbye}
    for role in ROLES:
        assert MAY_SAY[role] & MAY_SAY[f"manager to {role}"] == common
        assert not MAY_SAY[role] & (MAY_SAY["stranger"] - common)
    assert MAY_SAY["worker"] & MAY_SAY["client"] == common
    assert MAY_SAY["worker"] & {m.Submit, m.Command, m.Ask, m.FindTasks, m.MakeInvite} == set()
    assert frozenset().union(*MAY_SAY.values()) == set(TYPES)


# ---- any chunking ---------------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_messages_arrive_whole_however_the_bytes_are_cut(data) -> None:
    manager, member = a_pair()
    allowed = [one for one in EVERY if type(one) in MAY_SAY["worker"] - {m.Goodbye, m.Beat}]
    large = m.Finished([1], [1], [b"r" * (2 * FRAGMENT)], [0.1])
    sent = data.draw(st.lists(st.sampled_from([*allowed, large]), max_size=8))
    for message in sent:
        member.send(message)
    member.close("left")
    wire = drain(member)
    got: list[m.Message] = []
    at = 0
    while at < len(wire):
        size = data.draw(st.integers(1, max(1, min(len(wire) - at, 70_000))))
        got += said(manager, wire[at : at + size])
        at += size
    assert got[-1] == m.Goodbye("left")
    small = [one for one in sent if one is not large]
    assert [one for one in got[:-1] if one != large] == small, "small ones keep their order"
    assert got.count(large) == sent.count(large)


@given(st.binary(max_size=300))
def test_garbage_is_a_peers_fault_and_nothing_else(data) -> None:
    manager, _ = a_pair()
    try:
        manager.receive(data, 100.0)
    except PeerError:
        with pytest.raises(PeerError):
            manager.receive(b"\0" * 16, 100.0)


# ---- heartbeats -----------------------------------------------------------------------------------------


def test_beats_go_out_in_their_rhythm_with_what_the_machine_does() -> None:
    _, member = a_pair()
    member.load = {"cpu": 0.5}
    beats = []
    for tick in range(100, 121):
        member.tick(float(tick))
        member.last_heard = float(tick)
        beats += [m.unpack(body, known=True) for body in bodies(drain(member))]
    assert [one.sequence for one in beats] == [1, 2, 3, 4, 5]
    assert all(one == m.Beat(one.sequence, 0, {"cpu": 0.5}) for one in beats)


def bodies(data: bytes) -> list[bytes]:
    return FrameReader().feed(data)


def test_a_round_trip_is_measured_and_says_until_when_we_were_known_to_live() -> None:
    manager, member = a_pair()
    member.tick(100.0)
    assert member.acknowledged == 100.0
    (beat,) = manager.receive(drain(member), 100.2)
    assert beat.sequence == 1, "a beat is a sign of life to whoever handles it"
    assert member.receive(drain(manager), 100.5) == [], "an echo is none"
    assert member.rtt == pytest.approx(0.5)
    member.tick(105.0)
    assert member.acknowledged == 100.0, "only an echo proves it"
    manager.receive(drain(member), 105.1)
    member.receive(drain(manager), 105.2)
    assert member.acknowledged == 105.0


def test_an_echo_of_a_beat_that_was_never_sent_means_nothing() -> None:
    manager, member = a_pair()
    for echo in (99, -1, 2**63):
        member.receive(frames(m.Beat(0, echo)), 101.0)
    assert member.rtt is None
    assert member.acknowledged == 100.0
    assert manager.rtt is None


def test_of_many_beats_only_the_newest_is_echoed() -> None:
    manager, _ = a_pair()
    manager.receive(frames(*(m.Beat(n) for n in range(1, 1_001))), 100.0)
    assert manager.pending < 100
    assert [m.unpack(body, known=True) for body in bodies(drain(manager))] == [m.Beat(0, 1_000)]
    assert manager.pending == 0


def test_beats_that_are_never_echoed_are_not_remembered_for_ever() -> None:
    _, member = a_pair()
    for second in range(100, 1_000, 5):
        member.last_heard = float(second)
        member.tick(float(second))
    assert len(member._beats) <= 8


def test_what_a_machine_says_of_itself_is_kept_short() -> None:
    manager, _ = a_pair()
    manager.receive(frames(m.Beat(1, 0, {"cpu": 0.5, "bad": math.nan, "worse": math.inf})), 100.0)
    assert manager.peer_load == {"cpu": 0.5}
    for load in ({f"n{n}": 1.0 for n in range(17)}, {"n" * 33: 1.0}):
        with pytest.raises(PeerError):
            a_pair()[0].receive(frames(m.Beat(1, 0, load)), 100.0)


# ---- silence --------------------------------------------------------------------------------------------


def silent_until(wire: Wire, start: float, end: float, step: float = 1.0) -> float:
    """Tick until it gives up; the moment."""
    now = start
    while now < end:
        now += step
        try:
            wire.tick(now)
        except PeerSilent:
            return now
    raise AssertionError("it never gave up")


def test_silence_is_given_up_after_its_time_and_not_before() -> None:
    manager, _ = a_pair()
    assert silent_until(manager, 100.0, 200.0) == pytest.approx(100.0 + DEAD_AFTER)


def test_any_byte_is_a_sign_of_life() -> None:
    manager, _ = a_pair()
    manager.tick(105.0)
    manager.receive(frames(m.Steered(1))[:3], 110.0)
    manager.tick(110.0)
    assert silent_until(manager, 110.0, 200.0) == pytest.approx(110.0 + DEAD_AFTER)


def test_a_stall_of_this_end_is_not_the_silence_of_the_other() -> None:
    manager, _ = a_pair()
    manager.tick(101.0)
    manager.tick(161.0)  # stopped for a minute; what came meanwhile waits in the kernel
    assert silent_until(manager, 161.0, 300.0) == pytest.approx(161.0 + DEAD_AFTER - 1.0)
    assert protocol.STALL > 1.0


def test_a_stall_never_makes_the_last_word_a_future_one() -> None:
    manager, _ = a_pair()
    manager.receive(frames(m.Steered(1)), 130.0)
    manager.tick(130.5)
    assert manager.last_heard <= 130.5


def test_who_does_not_read_does_not_count_the_silence() -> None:
    manager, _ = a_pair()
    manager.busy(101.0)
    for now in range(101, 200):
        manager.tick(float(now))
    manager.ready(200.0)
    assert silent_until(manager, 200.0, 300.0) == pytest.approx(200.0 + DEAD_AFTER)


def test_the_next_look_at_the_clock_is_for_the_next_beat_or_the_end() -> None:
    manager, _ = a_pair()
    manager.tick(100.0)
    assert manager.deadline() == 105.0
    manager.last_heard = 88.0
    assert manager.deadline() == 103.0


# ---- the last word --------------------------------------------------------------------------------------


def test_a_goodbye_leaves_after_all_that_was_said_before_large_or_small() -> None:
    manager, member = a_pair()
    large = m.Finished([1], [1], [b"r" * (5 * FRAGMENT)], [0.1])
    member.send(large)
    member.send(m.Steered(1))
    member.close("left", "bye")
    assert member.phase is Phase.CLOSING
    assert said(manager, drain(member)) == [m.Steered(1), large, m.Goodbye("left", "bye")]
    assert member.pending == 0


def test_nothing_is_said_after_a_goodbye() -> None:
    _, member = a_pair()
    member.close("left")
    member.send(m.Steered(1))
    member.close("other")
    member.tick(105.0)
    assert [m.unpack(body, known=True) for body in bodies(drain(member))] == [m.Goodbye("left")]


def test_nothing_is_heard_after_a_goodbye() -> None:
    manager, _ = a_pair()
    late = m.Finished([1], [1], [b"\xc0"], [0.1])
    assert said(manager, frames(m.Goodbye("left"), late)) == [m.Goodbye("left")]
    assert manager.receive(frames(late), 100.0) == []
    assert manager.receive(b"garbage" * 10, 100.0) == []


def test_who_is_cut_off_gets_the_last_word_and_nothing_else() -> None:
    manager, member = a_pair()
    manager.send(m.Assign([("echo", [(1, 1, None, b"p" * (5 * FRAGMENT))])]))
    manager.send(m.Steer(1, "pause"))
    started = manager.to_send(FRAGMENT)
    manager.cut("refused", "revoked")
    got = said(member, started + drain(manager))
    assert got[-1] == m.Goodbye("refused", "revoked")
    assert not any(isinstance(one, m.Assign) for one in got), "a payload that is half sent stays half"
    assert manager.receive(frames(m.Finished([1], [1], [b"\xc0"], [0.1])), 100.0) == []
    manager.cut("refused", "again")
    assert not manager.pending


def test_who_has_said_goodbye_is_not_answered() -> None:
    manager, _ = a_pair()
    manager.receive(frames(m.Goodbye("left")), 100.0)
    manager.cut("refused")
    assert manager.phase is Phase.CLOSING
    assert not manager.pending


def test_a_side_that_leaves_still_listens() -> None:
    manager, _ = a_pair()
    manager.close("stopping")
    result = m.Finished([1], [1], [b"\xc0"], [0.1])
    assert said(manager, frames(result)) == [result]
    manager.receive(frames(m.Beat(1)), 100.0)
    assert [m.unpack(b, known=True) for b in bodies(drain(manager))] == [m.Goodbye("stopping")]
