"""Roots: what libzt would be handed. Nothing is started here, least of all with public roots."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.zerotier.roots import (
    PUBLIC_WORLD,
    PlanetFile,
    PublicRoots,
    blob,
    check_endpoint,
    own_roots,
    world_id,
)

from tests.support.zerotier_fake import AN_IDENTITY, ANOTHER, FakeLibzt

AT = ["10.88.0.1/9993"]


def test_public_roots_are_nothing_that_libzt_is_told() -> None:
    fake = FakeLibzt()
    assert blob(PublicRoots(), fake) is None
    assert fake.calls == []


def test_a_planet_file_is_handed_over_as_it_is(tmp_path: Path) -> None:
    planet = b"\x01" + bytes(300)
    (tmp_path / "planet").write_bytes(planet)
    assert blob(PlanetFile(tmp_path / "planet"), FakeLibzt()) == planet


@pytest.mark.parametrize(
    "content", [b"", b"\x01", b"\x7f" + bytes(300), b"\x01" + bytes(5000), b"planet.json here"]
)
def test_what_is_no_planet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "planet").write_bytes(content)
    with pytest.raises(ConfigError, match="no planet file"):
        blob(PlanetFile(tmp_path / "planet"), FakeLibzt())


def test_a_planet_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"zerotier\.roots"):
        blob(PlanetFile(tmp_path / "planet"), FakeLibzt())


def test_the_same_roots_make_the_same_world_whoever_lists_them_at_whatever_endpoint() -> None:
    one = own_roots([(AN_IDENTITY.public, AT), (ANOTHER.public, AT)])
    other = own_roots([(ANOTHER.public, ["203.0.113.7/9993"]), (AN_IDENTITY.public, AT)])
    assert world_id(one) == world_id(other) != PUBLIC_WORLD
    assert world_id(one) != world_id(own_roots([(AN_IDENTITY.public, AT)]))


@pytest.mark.parametrize("text", ["10.88.0.1/9993", "2001:db8::7/1", "203.0.113.7/65535"])
def test_an_endpoint_is_an_address_and_a_port(text: str) -> None:
    check_endpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.88.0.1",
        "10.88.0.1:9993",
        "10.88.0.1/0",
        "10.88.0.1/70000",
        "manager.example/9993",
        "10.88.0.1/+1",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no endpoint of a root"):
        check_endpoint(text)


@pytest.mark.parametrize("text", ["127.0.0.1/9993", "0.0.0.0/9993", "::1/9993", "224.0.0.1/9993"])
def test_an_endpoint_that_others_cannot_reach_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a root's endpoint"):
        check_endpoint(text)


def test_roots_are_neither_none_nor_too_many() -> None:
    with pytest.raises(ConfigError, match="not 0"):
        own_roots([])
    with pytest.raises(ConfigError, match="not 17"):
        own_roots([(AN_IDENTITY.public, AT)] * 17)
    with pytest.raises(ConfigError, match="endpoints, not 0"):
        own_roots([(AN_IDENTITY.public, [])])


def test_a_secret_is_not_taken_for_a_public_identity() -> None:
    with pytest.raises(ConfigError, match="no public identity") as refusal:
        own_roots([(AN_IDENTITY.text, AT)])
    assert AN_IDENTITY.secret not in str(refusal.value)


def test_what_libzt_will_not_sign_ends_in_a_sentence() -> None:
    fake = FakeLibzt()
    fake.answers["zts_util_sign_root_set"] = -3
    with pytest.raises(ConfigError, match="makes no set of these roots: invalid argument"):
        blob(own_roots([(AN_IDENTITY.public, AT)]), fake)
