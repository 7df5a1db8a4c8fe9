"""Addresses: read, checked, written back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import UsageError
from taskmessenger.net.address import DEFAULT_PORT, Address
from taskmessenger.net.transport import transport_for


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://203.0.113.7:7711", Address("tcp", host="203.0.113.7", port=7711)),
        ("tcp://manager.example:1", Address("tcp", host="manager.example", port=1)),
        ("tcp://127.0.0.1:0", Address("tcp", host="127.0.0.1", port=0)),
        ("tcp://[2001:db8::7]:80", Address("tcp", host="2001:db8::7", port=80)),
        ("tcp://[fe80::1%eth0]:80", Address("tcp", host="fe80::1%eth0", port=80)),
        ("unix:///run/user/1000/tm.sock", Address("unix", path="/run/user/1000/tm.sock")),
        (
            "unix:///Users/me/Application Support/tm.sock",
            Address("unix", path="/Users/me/Application Support/tm.sock"),
        ),
        ("mem://manager", Address("mem", host="manager")),
        ("zt://:7711", Address("zt", port=7711)),
        (
            "zt://8056c2e21c000001/8056c2e21c:7711",
            Address("zt", host="8056c2e21c", port=7711, network="8056c2e21c000001"),
        ),
    ],
)
def test_an_address_is_read_and_written_back_the_same(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("tcp://manager.example", f"tcp://manager.example:{DEFAULT_PORT}"),
        ("tcp://[::1]", f"tcp://[::1]:{DEFAULT_PORT}"),
        ("  TCP://10.0.0.1:7711/ ", "tcp://10.0.0.1:7711"),
        ("zt://", f"zt://:{DEFAULT_PORT}"),
        ("ZT://8056C2E21C000001/8056C2E21C", f"zt://8056c2e21c000001/8056c2e21c:{DEFAULT_PORT}"),
    ],
)
def test_what_is_left_out_is_filled_in(text: str, canonical: str) -> None:
    assert str(Address.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "empty"),
        ("10.0.0.1:7711", "did you mean tcp://10.0.0.1:7711"),
        ("/run/tm.sock", "did you mean unix:///run/tm.sock"),
        ("http://10.0.0.1", "there are tcp://, unix://, mem://, zt://"),
        ("tcp://", "tcp://127.0.0.1:7711"),
        ("tcp://:7711", "tcp://127.0.0.1:7711"),
        ("tcp://host:", "default is 7711"),
        ("tcp://host:port", "default is 7711"),
        ("tcp://host:65536", "up to 65535"),
        ("tcp://host:-1", "up to 65535"),
        ("tcp://host:٣", "up to 65535"),
        ("tcp://::1:7711", "brackets"),
        ("tcp://[::1:7711", "brackets"),
        ("tcp://[::1]7711", "brackets"),
        ("tcp://[1:2:3]:7711", "no IPv6 address"),
        ("tcp://user@host:7711", "HOST:PORT"),
        ("tcp://host:7711/path", "port must be a number"),
        ("tcp://a b:7711", "HOST:PORT"),
        ("tcp://host\x1b[31m:7711", "control characters"),
        ("tcp://" + "h" * 254, "HOST:PORT"),
        ("tcp://" + "h" * 600, "too long"),
        ("unix://run/tm.sock", "absolute path"),
        ("unix:///run/", "absolute path"),
        ("unix:///run/../etc/x", "absolute path"),
        ("unix:///" + "p" * 110, "shorter"),
        ("mem://", "mem://NAME"),
        ("zt://:", "default is 7711"),
        ("zt://:70000", "up to 65535"),
        ("zt://8056c2e21c000001:7711", "NETWORK/NODE:PORT"),
        ("zt://8056c2e21c/8056c2e21c:7711", "NETWORK/NODE:PORT"),
        ("zt://8056c2e21c000001/8056c2e21c/x:7711", "NETWORK/NODE:PORT"),
        ("zt://203.0.113.7:7711", "zt://:7711 to listen"),
        ("zt://:7711?AAAA", "NETWORK/NODE:PORT"),
        ("zt://8056c2e21c000001/8056c2e21c:7711?A", "damaged"),
        ("zt://8056c2e21c000001/8056c2e21c:7711?A$AA", "damaged"),
        ("zt://8056c2e21c000001/8056c2e21c:7711?" + "A" * 324, "damaged"),
    ],
)
def test_what_is_no_address_is_refused_with_a_hint_in_one_line(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert hint in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(
    st.text(max_size=80)
    | st.text(max_size=80).map("tcp://{}".format)
    | st.text(max_size=80).map("unix:///{}".format)
    | st.text("zt:/0123abf?-_=.", max_size=80).map("zt://{}".format)
)
def test_any_text_gives_an_address_that_reads_back_or_a_usage_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except UsageError as error:
        said = str(error)
    else:
        said = address.whole
        assert Address.parse(said) == address
    assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.9.9.9:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://[::ffff:127.0.0.1]:1", True),
        ("tcp://LOCALHOST:1", True),
        ("unix:///run/x", True),
        ("mem://x", True),
        ("tcp://0.0.0.0:1", False),
        ("tcp://[::]:1", False),
        ("tcp://10.0.0.1:1", False),
        ("tcp://localhost.example:1", False),
    ],
)
def test_loopback_is_what_stays_on_this_machine(text: str, loopback: bool) -> None:
    assert Address.parse(text).is_loopback is loopback


@given(st.binary(max_size=240))
def test_the_way_into_a_network_is_kept_by_the_whole_address_and_left_out_for_people(way: bytes) -> None:
    address = Address("zt", host="8056c2e21c", port=1, network="8056c2e21c000001", way=way)
    assert Address.parse(address.whole) == address
    assert str(address) == "zt://8056c2e21c000001/8056c2e21c:1"
    assert "way" not in repr(address)


def test_nothing_carries_an_unknown_scheme() -> None:
    with pytest.raises(UsageError, match="nothing here carries ftp://"):
        transport_for(Address("ftp", host="a", port=1))


@pytest.mark.parametrize("scheme", ["tcp", "unix", "mem", "zt"])
def test_every_scheme_that_is_read_is_carried(scheme: str) -> None:
    assert transport_for(Address(scheme)).scheme == scheme
