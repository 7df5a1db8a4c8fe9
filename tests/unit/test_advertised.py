"""What an invite names of the places where a manager listens."""

from __future__ import annotations

import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.net.address import Address
from taskmessenger.roles.endpoints import advertised, endpoints_for

OVERLAY = "zt://8056c2e21c000001/8056c2e21c:7711"


def named(*addresses: str) -> list[str]:
    return [str(endpoint) for endpoint in endpoints_for([Address.parse(text) for text in addresses])]


def test_direct_ways_come_before_the_overlay() -> None:
    assert named(OVERLAY, "tcp://10.0.0.1:1") == ["tcp://10.0.0.1:1", OVERLAY]


def test_many_direct_ways_leave_room_for_the_overlay() -> None:
    found = named(*(f"tcp://10.0.0.{n}:1" for n in range(1, 9)), OVERLAY)
    assert found == ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1", "tcp://10.0.0.3:1", OVERLAY]


def test_the_overlay_alone_is_enough() -> None:
    assert named("unix:///run/x", OVERLAY) == [OVERLAY]


def test_the_way_into_the_overlay_goes_with_it() -> None:
    (endpoint,) = endpoints_for([Address.parse(OVERLAY + "?AQID")])
    assert endpoint.roots == b"\x01\x02\x03"


def test_nothing_that_others_could_dial_is_said_so() -> None:
    with pytest.raises(UsageError, match=r"set transport\.advertise"):
        named("unix:///run/x")


def test_what_is_advertised_replaces_what_is_listened_on_of_the_same_kind() -> None:
    listening = [Address.parse("tcp://0.0.0.0:1"), Address.parse(OVERLAY)]
    given = [Address.parse("tcp://manager.example:1")]
    assert advertised(listening, given) == [given[0], listening[1]]
    assert advertised(listening, []) == listening
