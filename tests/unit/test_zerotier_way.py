"""The way into a ZeroTier network: what an invite holds of it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import UsageError
from taskmessenger.net.address import MAX_WAY, Address
from taskmessenger.net.security import invites
from taskmessenger.net.security.endpoints import ZeroTierEndpoint, address_of, endpoint_of
from taskmessenger.net.zerotier.way import Root, Way, planet_mark

IDENTITY = "8056c2e21c:0:" + "5a" * 64
NEAR = Root(IDENTITY, ("203.0.113.7/7712",))

identities = st.builds("{:010x}:0:{:0128x}".format, st.integers(0, 2**40 - 1), st.integers(0, 2**512 - 1))
endpoints = st.builds("{}/{}".format, st.ip_addresses(), st.integers(0, 65535))
ways = st.builds(
    Way,
    roots=st.lists(st.builds(Root, identities, st.lists(endpoints, max_size=3).map(tuple)), max_size=1).map(
        tuple
    ),
    planet=st.sampled_from((b"", planet_mark(b"a planet"))),
    address=st.just("") | st.ip_addresses(v=4).map(str),
)


@given(ways)
def test_what_was_packed_is_unpacked(way: Way) -> None:
    assert Way.unpack(way.pack()) == way


def test_zero_tiers_own_roots_cost_nothing() -> None:
    assert Way().pack() == b""
    assert Way.unpack(b"") == Way()


def test_a_manager_that_is_its_own_root_fits_into_a_short_invite() -> None:
    endpoint = ZeroTierEndpoint(0x8056C2E21C000001, 0x8056C2E21C, 7711, Way(roots=(NEAR,)).pack())
    invite = invites.Invite(
        id="7F3KQ9ZD", secret=bytes(16), ca_hash=bytes(16), endpoints=(endpoint,), expires_at=2_000_000_000
    )
    text = invites.encode(invite)
    assert len(text) <= 300
    assert invites.decode(text, 0.0) == invite


def test_parts_of_a_later_version_are_skipped() -> None:
    packed = bytes((99, 3)) + b"abc" + Way(roots=(NEAR,)).pack() + bytes((77, 0)) + bytes((2, 1, 0))
    assert Way.unpack(packed) == Way(roots=(NEAR,))


@given(st.binary(max_size=MAX_WAY))
def test_no_bytes_are_answered_with_anything_but_a_way_or_a_sentence(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        Way.unpack(data)


def test_a_way_that_is_too_long_for_an_invite_says_what_to_leave_out() -> None:
    with pytest.raises(UsageError, match=r"fewer endpoints in zerotier\.advertise"):
        Way(roots=(Root(IDENTITY, tuple(f"2001:db8::{n}/1" for n in range(12))),)).pack()


@pytest.mark.parametrize(
    "root", [Root("8056c2e21c", ()), Root(IDENTITY, ("name/1",)), Root(IDENTITY, ("::1/x",))]
)
def test_a_malformed_root_is_refused(root: Root) -> None:
    with pytest.raises(UsageError, match=r"hex digits|IP address and a port"):
        Way(roots=(root,)).pack()


@given(ways)
def test_an_endpoint_becomes_an_address_and_an_endpoint_again(way: Way) -> None:
    endpoint = ZeroTierEndpoint(0x8056C2E21C000001, 0x56C2E21C, 7711, way.pack())
    address = address_of(endpoint)
    assert endpoint_of(Address.parse(address.whole)) == endpoint
    assert str(address) == str(endpoint)


def test_an_address_that_only_listens_is_no_endpoint() -> None:
    for text in ("zt://:7711", "unix:///run/x", "mem://x"):
        with pytest.raises(UsageError, match="nobody else could dial it"):
            endpoint_of(Address.parse(text))
