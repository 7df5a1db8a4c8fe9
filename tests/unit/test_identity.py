"""What a member keeps: its parts belong together, or it is said what is wrong; what is good stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from taskmessenger.core.errors import ConfigError, Refused
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.identity import FACTS_FILE, KEY_FILE, Identity

from tests.support.fleet_ca import a_fleet, a_member

JOIN_AGAIN = r"move it away, then run `taskmessenger --role worker --no-ui --join -` and paste an invite"


@pytest.fixture
def member(tmp_path: Path) -> Identity:
    return a_member(a_fleet(tmp_path / "fleet"), tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Identity:
    """Another member of the same fleet."""
    fleet = tmp_path / "other"
    return a_member(a_fleet(fleet), fleet, peer_id="w-moss-0002")


def facts(member: Identity, **changes: object) -> None:
    path = member.folder / FACTS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_kept_is_what_is_loaded(member: Identity) -> None:
    assert identities.is_joined(member.folder)
    assert identities.load(member.folder, "worker") == member


def test_a_certificate_for_another_key_is_not_kept_over_a_good_one(member: Identity, other: Identity) -> None:
    wrong = replace(member, certificate=other.certificate)
    with pytest.raises(ConfigError, match="the certificate is not for this key: join again"):
        identities.save(wrong, identities.load_key(member))
    with pytest.raises(ConfigError, match="not for this key"):
        identities.save(member, identities.new_key())
    assert identities.load(member.folder, "worker") == member


def test_a_key_and_a_certificate_of_different_members_are_damage(member: Identity, other: Identity) -> None:
    key = member.key_path.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]
    member.key_path.write_bytes(key + other.certificate.pem)
    with pytest.raises(ConfigError, match=rf"{KEY_FILE}: is damaged: {JOIN_AGAIN}"):
        identities.load(member.folder, "worker")


@pytest.mark.parametrize(
    "changes", [{"peer_id": "w-moss-0002"}, {"role": "operator"}, {"fleet_id": "0123456789abcdef"}]
)
def test_facts_that_the_certificate_does_not_confirm_are_damage(
    member: Identity, changes: dict[str, object]
) -> None:
    facts(member, **changes)
    with pytest.raises(ConfigError, match=f"is damaged: {JOIN_AGAIN}"):
        identities.load(member.folder, "worker")


@pytest.mark.parametrize(
    "damage", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_damaged_key_file_says_how_to_join_again(member: Identity, damage: bytes) -> None:
    member.key_path.write_bytes(damage)
    with pytest.raises(ConfigError, match=rf"{KEY_FILE}: is damaged: {JOIN_AGAIN}"):
        identities.load(member.folder, "worker")
    with pytest.raises(ConfigError, match=f"{KEY_FILE}: is gone or damaged: run `taskmessenger"):
        identities.load_key(member)


def test_a_key_of_another_kind_is_damage(member: Identity) -> None:
    wrong = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    member.key_path.write_bytes(wrong + member.certificate.pem)
    with pytest.raises(ConfigError, match="is damaged"):
        identities.load(member.folder, "worker")
    with pytest.raises(ConfigError, match="is gone or damaged"):
        identities.load_key(member)


def test_a_new_key_is_on_the_one_curve_that_the_fleet_uses() -> None:
    key = identities._load_key(identities.new_key())
    assert isinstance(key.curve, ec.SECP256R1)


@pytest.mark.parametrize("damage", ["", "{", '{"version": 1}', "[]", '{"version": "one"}'])
def test_damaged_facts_are_named(member: Identity, damage: str) -> None:
    (member.folder / FACTS_FILE).write_text(damage)
    with pytest.raises(ConfigError, match=rf"{FACTS_FILE}: is damaged .*: move it away and join again"):
        identities.load(member.folder, "worker")


def test_facts_of_a_newer_version_ask_for_an_update(member: Identity) -> None:
    facts(member, version=2)
    with pytest.raises(ConfigError, match=rf"{FACTS_FILE}: is of version 2, this program reads 1: update it"):
        identities.load(member.folder, "worker")


def test_what_a_newer_version_added_is_left_alone(member: Identity) -> None:
    facts(member, invented="later")
    assert identities.load(member.folder, "worker") == member


@pytest.mark.parametrize(
    ("role", "how"),
    [("worker", "run `taskmessenger --role worker --no-ui --join -`"), ("client", "an invite for a client")],
)
def test_who_has_not_joined_is_told_how_to(tmp_path: Path, role: str, how: str) -> None:
    with pytest.raises(Refused, match=f"has not joined a fleet as a {role}") as said:
        identities.load(tmp_path / "nothing", role)
    assert how in str(said.value)


@pytest.mark.parametrize("gone", [KEY_FILE, FACTS_FILE])
def test_with_one_file_gone_it_has_not_joined(member: Identity, gone: str) -> None:
    (member.folder / gone).unlink()
    with pytest.raises(Refused, match="has not joined a fleet as a worker"):
        identities.load(member.folder, "worker")
    if gone == KEY_FILE:
        with pytest.raises(ConfigError, match="is gone or damaged"):
            identities.load_key(member)


def test_the_identity_of_another_role_is_not_acted_with(member: Identity) -> None:
    with pytest.raises(Refused, match="holds the identity of a worker, not of a client: join with an invite"):
        identities.load(member.folder, "client")
