"""Two nodes with one address: found when the second one comes."""

from __future__ import annotations

import pytest
from taskmessenger.core.errors import AddressTaken, Refused, by_code
from taskmessenger.net.zerotier.neighbours import MAX_REMEMBERED, REMEMBERED_SECONDS, Neighbours
from taskmessenger.net.zerotier.network import address_of

KEYS = ":0:" + "5a" * 64
ONE, OTHER = "1256c2e21c" + KEYS, "3456c2e21c" + KEYS
HERE = f"zt://{address_of(ONE[:10])}:49153"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_two_share_an_address() -> None:
    assert address_of(ONE[:10]) == address_of(OTHER[:10])


def test_a_second_node_with_the_same_address_is_told_to_take_another() -> None:
    known = Neighbours()
    known.check(HERE, ONE)
    known.admitted(HERE, ONE)
    known.check(HERE, ONE)
    with pytest.raises(AddressTaken, match=f"belongs to node {ONE[:10]} .*{OTHER[:10]} needs another"):
        known.check(HERE, OTHER)


def test_what_was_not_admitted_keeps_nobody_out() -> None:
    known = Neighbours()
    known.check(HERE, ONE)
    known.check(HERE, OTHER)


def test_an_address_is_kept_for_a_while_after_its_node_was_last_here() -> None:
    clock = Clock()
    known = Neighbours(clock)
    known.admitted(HERE, ONE)
    clock.now = REMEMBERED_SECONDS - 1
    with pytest.raises(AddressTaken):
        known.check(HERE, OTHER)
    clock.now = REMEMBERED_SECONDS + 1
    known.check(HERE, OTHER)


@pytest.mark.parametrize(
    "carrier", ["", "x", ONE[:10], "ff56c2e21c" + KEYS, "1256c2e21d" + KEYS, ONE.upper()]
)
def test_who_claims_to_be_another_node_is_refused(carrier: str) -> None:
    with pytest.raises(Refused, match="not the address of the node"):
        Neighbours().check(HERE, carrier)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "unix://", "zt://10.147.17.5:1", "zt://999.0.0.1:1", "zt://:1"]
)
def test_addresses_that_are_not_derived_are_not_looked_at(address: str) -> None:
    known = Neighbours()
    known.check(address, "anything")
    assert not known.admitted(address, "anything")
    known.check(address, "anything else")


def test_no_more_is_remembered_than_has_room() -> None:
    known = Neighbours()
    for number in range(1, MAX_REMEMBERED + 100):
        node = f"12{number:08x}"
        assert known.admitted(f"zt://{address_of(node)}:1", node + KEYS)
    assert len(known._known) == MAX_REMEMBERED


def test_the_error_travels_under_its_code() -> None:
    assert by_code("address_taken") is AddressTaken
