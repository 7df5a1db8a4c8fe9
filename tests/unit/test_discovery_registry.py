"""What a listener believes, and what changes nothing: forged, replayed, foreign, oversized, mistimed."""

from __future__ import annotations

import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.discovery import registry as r
from taskmessenger.net.discovery.registry import Heard, Registry
from taskmessenger.net.discovery.sealed import MAX_DATAGRAM, Fault, Signer, Verifier
from taskmessenger.net.discovery.words import Announce, Answer, Ask, Leave, decode, encode
from taskmessenger.net.security.authority import CLOCK_TOLERANCE

from tests.support.discovery import HOME, Fleet, state
from tests.support.fleet_ca import a_member

WALL = time.time()
HERE = Announce(1, WALL, "north", (HOME,), ("hash",))
N = 256 - 1


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.found(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.found(tmp_path_factory.mktemp("stranger"), "lab-B")


def hear(registry: Registry, data: bytes, now: float = 0.0, wall: float = WALL) -> Heard | Fault:
    return registry.hear(data, "192.0.2.7", now, wall)


def forgery(said: bytes) -> bytes:
    """The same with another signature, whatever the real one is."""
    return said[:-1] + bytes([said[-1] ^ 1])


def knowing(fleet: Fleet) -> Registry:
    """A registry that has heard the manager once, as sequence 10."""
    registry = fleet.registry()
    assert isinstance(hear(registry, fleet.said(HERE, sequence=10)), Heard)
    return registry


# --- what is believed


def test_a_manager_of_the_fleet_is_found_with_its_endpoints(fleet: Fleet) -> None:
    registry = fleet.registry()
    hear(
        registry,
        fleet.manager_voice().announce([HOME, "zt://8056c2e21c000001/8056c2e21c:7711"], ["hash"], WALL),
    )
    (found,) = registry.managers(0.0)
    assert (found.name, found.wanted, found.source) == ("north", ("hash",), "192.0.2.7")
    assert registry.endpoints(0.0) == [HOME, "zt://8056c2e21c000001/8056c2e21c:7711"]


def test_the_manager_heard_last_is_dialled_first(fleet: Fleet) -> None:
    registry = fleet.registry()
    voices = {name: fleet.manager_voice(name) for name in ("a", "b")}
    for place, name in enumerate("aba"):
        hear(registry, voices[name].announce([f"tcp://{name}:1"], [], WALL + place), place)
    # One certificate: its sequence rises over both names.
    assert registry.endpoints(2.0) == ["tcp://a:1", "tcp://b:1"]


def test_who_falls_silent_is_forgotten_after_thirty_seconds(fleet: Fleet) -> None:
    registry = knowing(fleet)
    assert registry.managers(30.0)
    assert not registry.managers(30.1)


def test_every_heartbeat_extends_the_thirty_seconds(fleet: Fleet) -> None:
    registry, voice = fleet.registry(), fleet.manager_voice()
    for beat in range(10):
        hear(registry, voice.announce([HOME], [], WALL + 10 * beat), 10.0 * beat, WALL + 10 * beat)
    assert registry.managers(120.0)
    assert not registry.managers(120.1)


def test_a_manager_that_says_goodbye_is_forgotten_at_once(fleet: Fleet) -> None:
    registry, voice = fleet.registry(), fleet.manager_voice()
    before = voice.announce([HOME], [], WALL)
    hear(registry, before)
    hear(registry, voice.leave(WALL))
    assert not registry.managers(0.0)
    assert hear(registry, before) is Fault.REPLAYED


def test_a_manager_that_was_restarted_takes_its_own_place(fleet: Fleet) -> None:
    registry, old = fleet.registry(), fleet.manager_voice()
    hear(registry, old.announce([HOME], [], WALL))
    overtaken = old.announce(["tcp://192.0.2.66:1"], [], WALL + 1)
    new = Signer.load(fleet.authority.issue_manager(WALL), fleet.authority.ca_der)
    again = Fleet(fleet.authority, new, fleet.worker).manager_voice()
    hear(registry, again.announce(["tcp://192.0.2.8:7711"], [], WALL + 5), 5.0)
    assert hear(registry, overtaken, 6.0) is Fault.REPLAYED
    assert registry.endpoints(6.0) == ["tcp://192.0.2.8:7711"]


def test_an_answer_to_our_question_is_kept_as_long_as_a_manager(fleet: Fleet) -> None:
    registry, asking = fleet.registry(), fleet.worker_voice()
    sequence, question = asking.ask("hash", WALL)
    registry.asked(sequence, "hash", 0.0)
    asked = hear(fleet.registry(), question)
    assert isinstance(asked, Heard)
    assert isinstance(asked.word, Ask)
    assert asked.speaker.peer_id == "w-fern-0001"
    hear(registry, fleet.manager_voice().answer(asked.word, ["w-1", "w-2"], WALL))
    (offering,) = registry.offering("hash", 30.0)
    assert (offering.manager, offering.workers, offering.total) == ("north", ("w-1", "w-2"), 2)
    assert not registry.offering("sum", 0.0)
    assert not registry.offering("hash", 30.1)


# --- what changes nothing


def refused(registry: Registry, data: bytes, fault: Fault, now: float = 0.0, wall: float = WALL) -> None:
    before = state(registry, now)
    assert hear(registry, data, now, wall) is fault
    assert registry.faults[fault] == 1
    assert state(registry, now) == before


def test_another_fleet_says_nothing_to_us(fleet: Fleet, stranger: Fleet) -> None:
    refused(knowing(fleet), stranger.said(HERE, sequence=11), Fault.FOREIGN)


def test_another_fleet_that_wears_our_tag_is_not_believed(fleet: Fleet, stranger: Fleet) -> None:
    disguised = Signer(
        certificate=stranger.manager.certificate, fleet=fleet.manager.fleet, _key=stranger.manager._key
    )
    data = disguised.seal(encode(msgspec.structs.replace(HERE, sequence=11)))
    refused(knowing(fleet), data, Fault.UNTRUSTED)


def test_our_certificate_without_its_key_is_worth_nothing(fleet: Fleet, stranger: Fleet) -> None:
    manager = fleet.manager
    thief = Signer(certificate=manager.certificate, fleet=manager.fleet, _key=stranger.manager._key)
    refused(knowing(fleet), thief.seal(encode(msgspec.structs.replace(HERE, sequence=11))), Fault.FORGED)


def test_a_worker_cannot_pose_as_a_manager(fleet: Fleet) -> None:
    for word in (HERE, Leave(11, WALL, "north"), Answer(11, WALL, "north", 1, "hash", 0, ())):
        refused(knowing(fleet), fleet.said(word, by="worker", sequence=11), Fault.MISPLACED)


def test_a_datagram_counts_once(fleet: Fleet) -> None:
    registry = knowing(fleet)
    refused(registry, fleet.said(HERE, sequence=10), Fault.REPLAYED, now=20.0)
    assert not registry.managers(30.1), "a replay is no sign of life"


def test_the_second_form_of_a_signature_is_a_replay_too(fleet: Fleet) -> None:
    registry, data = fleet.registry(), fleet.said(HERE)
    hear(registry, data)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = (order - int.from_bytes(data[-32:], "big")).to_bytes(32, "big")
    refused(registry, data[:-32] + other, Fault.REPLAYED)


def test_replays_are_known_for_as_long_as_they_could_be_believed(fleet: Fleet) -> None:
    registry = fleet.registry()
    data = fleet.said(HERE, moment=WALL + CLOCK_TOLERANCE)  # from a clock that is ahead as far as allowed
    hear(registry, data)
    step = 60.0
    for tick in range(1, int(4 * CLOCK_TOLERANCE / step)):
        now = tick * step
        assert hear(registry, data, now, WALL + now) in {Fault.REPLAYED, Fault.MISTIMED}
        assert not registry.managers(now)


@pytest.mark.parametrize(
    "off", [CLOCK_TOLERANCE + 1, -CLOCK_TOLERANCE - 1, 1e300, float("nan"), float("inf")]
)
def test_a_clock_far_from_ours_is_not_believed(fleet: Fleet, off: float) -> None:
    refused(knowing(fleet), fleet.said(HERE, sequence=11, moment=WALL + off), Fault.MISTIMED)


def test_a_certificate_that_is_not_in_force_is_not_believed(fleet: Fleet) -> None:
    later = WALL + 500 * 86_400
    data = fleet.said(HERE, sequence=11, moment=later)
    refused(knowing(fleet), data, Fault.UNTRUSTED, wall=later)


def test_an_answer_that_nobody_asked_for_is_not_kept(fleet: Fleet) -> None:
    registry = fleet.registry()
    registry.asked(5, "hash", 0.0)
    for sequence, (asked, kind) in enumerate([(6, "hash"), (5, "sum")], 1):
        answer = Answer(sequence, WALL, "north", asked, kind, 1, ("w-1",))
        assert hear(registry, fleet.said(answer)) is Fault.UNASKED
    assert not registry.offering("hash", 0.0)
    assert not registry.offering("sum", 0.0)


def test_a_datagram_that_is_too_long_is_not_looked_at(fleet: Fleet) -> None:
    data = fleet.said(HERE, sequence=11)
    refused(knowing(fleet), data + bytes(MAX_DATAGRAM + 1 - len(data)), Fault.OVERSIZED)


@settings(max_examples=60)
@given(st.data())
def test_a_datagram_cut_short_or_with_a_changed_byte_changes_nothing(
    fleet: Fleet, data: st.DataObject
) -> None:
    registry, whole = knowing(fleet), fleet.said(HERE, sequence=11)
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place, flip = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, N))
        broken = whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
    before = state(registry)
    assert isinstance(hear(registry, broken), Fault)
    assert state(registry) == before


@settings(max_examples=100)
@given(st.binary(max_size=MAX_DATAGRAM + 50), st.booleans(), st.integers(0, 1100))
def test_noise_changes_nothing(fleet: Fleet, noise: bytes, headed: bool, length: int) -> None:
    registry = knowing(fleet)
    before = state(registry)
    head = struct.pack("!4s8sH", b"tmd1", fleet.manager.fleet, length) if headed else b""
    assert isinstance(hear(registry, head + noise), Fault)
    assert state(registry) == before


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_noise_signed_by_a_member_changes_nothing(fleet: Fleet, noise: bytes) -> None:
    registry = knowing(fleet)
    before = state(registry)
    heard = hear(registry, fleet.manager.seal(noise))
    assert heard is Fault.MALFORMED or decode(noise) is not None
    assert state(registry) == before


_text = st.text(max_size=200)
_any = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | _text, st.lists, max_leaves=8
)


@settings(max_examples=100)
@given(st.lists(st.integers(0, 5) | _any, max_size=8))
def test_a_word_outside_its_bounds_is_no_word(fields: list[object]) -> None:
    word = decode(msgspec.msgpack.encode(fields))
    if word is not None:
        assert decode(encode(word)) == word or word.moment != word.moment
        assert word.sequence >= 1
        assert len(getattr(word, "name", "")) <= 64


def test_addresses_inside_a_machine_are_not_learned_from_others(fleet: Fleet) -> None:
    registry = fleet.registry()
    bad = (
        "unix:///run/manager.sock",
        "mem://x",
        "nonsense",
        "tcp://",
        HOME,
        "tcp://h:99999",
        "zt://x\x1b[2J",
    )
    hear(registry, fleet.said(HERE, endpoints=bad))
    assert registry.endpoints(0.0) == [HOME]


def test_text_of_others_is_made_safe_to_show(fleet: Fleet) -> None:
    registry = fleet.registry()
    hear(registry, fleet.said(HERE, name="\x1b[2Jnorth", wanted=("ha\u202esh",)))
    (found,) = registry.managers(0.0)
    assert (found.name, found.wanted) == ("\\x1b[2Jnorth", ("ha\\u202esh",))


# --- bounds


def test_an_address_that_floods_is_not_looked_at_and_others_are(fleet: Fleet) -> None:
    registry = fleet.registry()
    forged = forgery(fleet.said(HERE))
    for _ in range(1_000):
        registry.hear(forged, "192.0.2.66", 0.0, WALL)
    rate, burst = r.EACH_SOURCE
    assert registry.faults[Fault.LIMITED] == 1_000 - burst
    assert isinstance(hear(registry, fleet.said(HERE)), Heard)
    assert registry.hear(forged, "192.0.2.66", 1.0 / rate, WALL) is not Fault.LIMITED


def test_many_addresses_that_flood_are_bounded_together(fleet: Fleet) -> None:
    registry = fleet.registry()
    forged = forgery(fleet.said(HERE))
    for number in range(1_500):
        registry.hear(forged, f"192.0.{number // 256}.{number % 256}", 0.0, WALL)
    assert registry.faults[Fault.FORGED] + registry.faults[Fault.UNTRUSTED] == r.ALL_SOURCES[1]
    assert len(registry._budget) <= 1_024


def test_what_is_remembered_is_bounded(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r, "MAX_MANAGERS", 3)
    monkeypatch.setattr(r, "MAX_ANSWERS", 3)
    monkeypatch.setattr(r, "MAX_QUESTIONS", 5)
    monkeypatch.setattr(r, "MAX_MARKS", 4)
    registry = fleet.registry()
    for number in range(1, 9):
        now = float(number)
        registry.asked(number, "hash", now)
        hear(registry, fleet.said(HERE, sequence=2 * number, name=f"m{number}"), now)
        answer = Answer(2 * number + 1, WALL, f"m{number}", number, "hash", 0, ())
        assert isinstance(hear(registry, fleet.said(answer), now), Heard)
    assert [found.name for found in registry.managers(9.0)] == ["m8", "m7", "m6"]
    assert len(registry.offering("hash", 9.0)) == 3
    assert len(registry._questions) == 5
    assert len(registry._marks) == 4


# --- what is said fits


def test_every_announcement_fits_a_datagram(fleet: Fleet) -> None:
    chance = Random(7)
    for _ in range(50):
        endpoints = [f"tcp://{'h' * chance.randrange(1, 115)}:7711" for _ in range(chance.randrange(12))]
        wanted = ["k" * chance.randrange(70) for _ in range(chance.randrange(100))]
        registry = fleet.registry()
        data = fleet.manager_voice("n" * 64).announce(endpoints, wanted, WALL)
        assert len(data) <= MAX_DATAGRAM
        assert isinstance(hear(registry, data), Heard)
        (found,) = registry.managers(0.0)
        assert list(found.endpoints) == endpoints[: len(found.endpoints)]


def test_an_answer_with_too_many_workers_is_cut_and_says_how_many_there_are(fleet: Fleet) -> None:
    question = Ask(1, WALL, "k" * 64)
    data = fleet.manager_voice("n" * 64).answer(question, [f"w-{n:062d}" for n in range(500)], WALL)
    registry = fleet.registry()
    registry.asked(1, question.kind, 0.0)
    hear(registry, data)
    (offering,) = registry.offering(question.kind, 0.0)
    assert len(data) <= MAX_DATAGRAM
    assert offering.total == 500
    assert 4 <= len(offering.workers) < 500


def test_a_member_with_the_longest_name_can_ask(fleet: Fleet, tmp_path: Path) -> None:
    member = a_member(fleet.authority, tmp_path, role="operator", peer_id="w" * 64)
    signer = Signer.load(member.key_path, member.ca_der)
    asking = Fleet(fleet.authority, fleet.manager, signer).worker_voice()
    _, data = asking.ask("k" * 64, WALL)
    assert len(data) <= MAX_DATAGRAM
    assert isinstance(hear(fleet.registry(), data), Heard)


def test_sequences_rise_though_the_clock_is_set_back(fleet: Fleet) -> None:
    registry, voice = fleet.registry(), fleet.manager_voice()
    for wall in (WALL, WALL, WALL - 100, WALL + 1):
        assert isinstance(hear(registry, voice.announce([HOME], [], wall)), Heard)


def test_a_key_that_is_gone_is_named(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pem"):
        Signer.load(tmp_path / "none.pem", fleet.authority.ca_der)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256R1()], ids=["another curve", "another key"])
def test_a_key_that_does_not_go_with_the_certificate_signs_nothing(
    fleet: Fleet, tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    member = a_member(fleet.authority, tmp_path)
    pem = member.key_path.read_bytes()
    key = ec.generate_private_key(curve).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    member.key_path.write_bytes(key + pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    with pytest.raises(ConfigError, match="is gone or damaged, so nothing can be signed"):
        Signer.load(member.key_path, member.ca_der)


def test_a_key_on_another_curve_signs_nothing_though_its_certificate_is_for_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    member = a_member(fleet.authority, tmp_path)
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    now = datetime.now(UTC)
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    member.key_path.write_bytes(pem + own.public_bytes(Encoding.PEM))
    with pytest.raises(ConfigError, match="is gone or damaged, so nothing can be signed"):
        Signer.load(member.key_path, member.ca_der)


def test_questions_and_replays_are_forgotten_just_after_their_time(fleet: Fleet) -> None:
    registry = knowing(fleet)
    registry.asked(1, "hash", 0.0)
    registry.forget(r.EXPIRY_SECONDS)
    assert len(registry._questions) == 1
    registry.forget(r.EXPIRY_SECONDS + 0.1)
    assert not registry._questions
    registry.forget(r.MARK_SECONDS)
    assert registry._marks
    registry.forget(r.MARK_SECONDS + 0.1)
    assert not registry._marks


def test_checked_certificates_are_remembered_up_to_a_bound(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.net.discovery.sealed.KNOWN_CERTIFICATES", 2)
    verifier = Verifier(fleet.authority.ca_der)
    registry = Registry(verifier)
    for number in range(4):
        signer = Signer.load(fleet.authority.issue_manager(WALL), fleet.authority.ca_der)
        voice = Fleet(fleet.authority, signer, fleet.worker).manager_voice()
        assert isinstance(hear(registry, voice.announce([HOME], [], WALL + number)), Heard)
    assert len(verifier._known) == 2


def test_numbers_that_no_signature_has_are_forged(fleet: Fleet) -> None:
    whole = fleet.said(HERE, sequence=11)
    for signature in (bytes(64), b"\xff" * 64):
        refused(knowing(fleet), whole[:-64] + signature, Fault.FORGED)
