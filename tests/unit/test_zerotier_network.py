"""Private and existing networks: ids, addresses, the file, and what a join's status means."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.zerotier import binding
from taskmessenger.net.zerotier.identity import has_address
from taskmessenger.net.zerotier.network import (
    PRIVATE_RANGE,
    JoinState,
    address_of,
    assigned_in,
    clashes,
    existing_network,
    join_status,
    matches,
    network_file,
    private_network,
)

MANAGER = "5ff51883d8"
NODE = "f6f5693a40"
node_ids = st.integers(1, 0xFEFFFFFFFF).map("{:010x}".format)


def test_a_private_network_is_named_after_its_manager() -> None:
    network = private_network(MANAGER)
    assert str(network) == f"{MANAGER}000001"
    assert network.controller == MANAGER
    assert network.private


@pytest.mark.parametrize("text", ["", "5ff51883d", "5FF51883D8", "ff51883d80", "0000000000", "5ff51883d8\n"])
def test_what_is_no_node_id_names_no_network(text: str) -> None:
    with pytest.raises(ConfigError, match="no ZeroTier node id"):
        private_network(text)


def test_an_existing_network_is_taken_as_it_is_copied() -> None:
    network = existing_network(" 8056C2E21C000001 ")
    assert str(network) == "8056c2e21c000001"
    assert not network.private


@pytest.mark.parametrize("text", ["", "8056c2e21c00000", "8056c2e21c00000g", "0" * 16, "8056c2e21c0000011"])
def test_what_is_no_network_id_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no network id"):
        existing_network(text)


def test_an_ad_hoc_network_is_refused_because_it_has_ipv6_only() -> None:
    with pytest.raises(ConfigError, match="IPv6 only"):
        existing_network("ff1e611e61000000")


@given(node_ids)
def test_an_address_follows_from_the_node_id_and_is_never_one_of_a_real_interface(node_id: str) -> None:
    address = address_of(node_id)
    assert address in IPv4Network("240.0.0.0/4")
    assert matches(node_id, address)
    assert not matches(node_id, address + 1 if address != IPv4Address("255.255.255.255") else address - 1)
    assert has_address(node_id) == (address not in {PRIVATE_RANGE[0], PRIVATE_RANGE[-1]})


@given(node_ids)
def test_the_file_of_a_private_network_holds_what_it_was_made_of(node_id: str) -> None:
    file = network_file(private_network(MANAGER), node_id, 1_700_000_000_000)
    assert assigned_in(file) == IPv4Interface(f"{address_of(node_id)}/4")
    entries = dict(line.split(b"=", 1) for line in file.splitlines())
    assert entries[b"nwid"] == f"{MANAGER}000001".encode()
    assert entries[b"id"] == node_id.encode()
    assert entries[b"ts"] == b"18bcfe56800"
    assert entries[b"R"] == b"\x01\\0"
    assert b"\0" not in file


def test_bytes_that_the_format_uses_itself_are_escaped() -> None:
    # 0x0d, 0x0a, 0x5c and 0x3d as low bytes of the address.
    file = network_file(private_network(MANAGER), "00fd0a5c3d", 1)
    assert b"I=\x04\xfd\\n\\\\\\e\\0\x04\n" in file
    assert assigned_in(file) == IPv4Interface("253.10.92.61/4")


@pytest.mark.parametrize(
    "file", [b"", b"\n", b"I=", b"I=\x04\x01", b"I=\x04\x01\x02\x03\x04\xff\xff", b"n=x"]
)
def test_a_configuration_without_an_address_has_none(file: bytes) -> None:
    assert assigned_in(file) is None


def test_an_ipv4_address_behind_one_of_ipv6_is_found() -> None:
    ipv6 = b"\x06" + b"\xfd" * 16 + b"\\0\x58"
    file = b"I=" + ipv6 + b"\x04" + b"\x0b\x93\x14\x05" + b"\\0\x18\n"
    assert assigned_in(file) == IPv4Interface("11.147.20.5/24")


@pytest.mark.parametrize(
    ("result", "state", "words"),
    [
        (binding.NETWORK_REQUESTING, JoinState.REQUESTING, "is silent so far: check that it runs"),
        (binding.NETWORK_DENIED, JoinState.DENIED, f"authorise node {NODE} at the controller"),
        (binding.NETWORK_NOT_FOUND, JoinState.NOT_FOUND, "check zerotier.network_id"),
        (binding.NETWORK_PORT_ERROR, JoinState.FAILED, "could not be set up"),
        (binding.NETWORK_TOO_OLD, JoinState.TOO_OLD, "zerotier.library_path"),
        (binding.ERR_SERVICE, JoinState.DOWN, "not running"),
    ],
)
def test_each_status_of_a_join_is_a_sentence_with_its_cure(result: int, state: JoinState, words: str) -> None:
    found = join_status(result, existing_network(f"{MANAGER}000001"), NODE, None)
    assert found.state is state
    assert words in found.sentence
    assert f"{MANAGER}000001" in found.sentence
    assert "\n" not in found.sentence


def test_a_network_without_ipv4_says_what_to_turn_on() -> None:
    found = join_status(binding.NETWORK_OK, existing_network(f"{MANAGER}000001"), NODE, None)
    assert found.state is JoinState.NO_IPV4
    assert "IPv4 auto-assign" in found.sentence


def test_an_overlay_that_holds_addresses_of_this_machine_is_noticed() -> None:
    here = [IPv4Address("127.0.0.1"), IPv4Address("10.147.20.9")]
    assert clashes(IPv4Network("10.147.0.0/16"), here) == (here[1],)
    assert clashes(PRIVATE_RANGE, here) == ()
