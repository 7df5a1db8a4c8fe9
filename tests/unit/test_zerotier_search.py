"""Where a member looks for its root when that has several endpoints. Nothing is sent; routes are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskmessenger.net.zerotier import search as searches
from taskmessenger.net.zerotier.roots import OwnRoots, PlanetFile, PublicRoots, Root, Roots
from taskmessenger.net.zerotier.search import MAX_TURNS, Search, choices, search_for

IDENTITY = "8056c2e21c:0:" + "5a" * 64
OTHER = "1111111111:0:" + "5a" * 64
REAL_DISTANCE = searches._distance
HERE = ["192.168.7.20"]
DISTANCES = {
    "172.17.0.1/1": 30,
    "192.168.7.4/1": 5,
    "192.168.7.20/1": 33,
    "10.0.0.1/1": 32,
    "2001:db8::7/1": 40,
}


@pytest.fixture(autouse=True)
def _routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "_distance", DISTANCES.get)
    monkeypatch.setattr(searches, "own_addresses", lambda _: [*HERE])


def at(*endpoints: str) -> OwnRoots:
    return OwnRoots((Root(identity=IDENTITY, endpoints=endpoints),))


def test_the_nearest_is_tried_first_and_in_the_end_all_are() -> None:
    found = choices(at("10.0.0.1/1", "172.17.0.1/1", "192.168.7.4/1"))
    near = ("192.168.7.4/1", "172.17.0.1/1", "10.0.0.1/1")
    assert found == (*(at(one) for one in near), at(*near))


def test_an_address_of_this_machine_itself_is_the_last_guess() -> None:
    assert choices(at("192.168.7.20/1", "10.0.0.1/1"))[0] == at("10.0.0.1/1")


def test_a_node_asks_at_one_endpoint_of_each_family_at_a_time() -> None:
    found = choices(at("2001:db8::7/1", "10.0.0.1/1", "192.168.7.4/1"))
    assert found[0] == at("192.168.7.4/1", "2001:db8::7/1")
    assert found[1] == at("10.0.0.1/1")
    assert choices(at("2001:db8::7/1", "10.0.0.1/1")) == (at("10.0.0.1/1", "2001:db8::7/1"),)


def test_where_no_route_leads_nobody_is_looked_for_unless_there_is_no_other_place() -> None:
    assert choices(at("192.0.2.1/1", "10.0.0.1/1", "192.0.2.2/1")) == (at("10.0.0.1/1"),)
    assert choices(at("192.0.2.1/1", "192.0.2.2/1")) == (at("192.0.2.1/1", "192.0.2.2/1"),)


def test_several_roots_and_those_of_others_are_taken_as_they_are() -> None:
    several = OwnRoots((*at("10.0.0.1/1").roots, Root(identity=OTHER, endpoints=("172.17.0.1/1",))))
    others: tuple[Roots, ...] = (several, PublicRoots(), PlanetFile(Path("planet")))
    assert all(choices(roots) == (roots,) for roots in others)


def test_a_search_is_over_when_a_root_was_found_or_nothing_is_left() -> None:
    search = Search(at("10.0.0.1/1", "192.168.7.4/1"))
    assert not search.over
    search.next()
    assert search.current == at("10.0.0.1/1")
    search.succeed()
    assert search.over
    search.found = False
    search.next()
    assert search.over
    assert search.current == at("192.168.7.4/1", "10.0.0.1/1")


def test_a_search_begins_where_the_last_one_ended_well() -> None:
    search = Search(at("10.0.0.1/1", "192.168.7.4/1"))
    search.next()
    search.succeed()
    again = search.again()
    assert not again.over
    assert again.current == at("10.0.0.1/1")
    again.next()
    assert again.current == at("192.168.7.4/1")


def test_where_a_library_does_not_tell_who_answers_all_endpoints_are_named() -> None:
    search = Search(at("10.0.0.1/1", "192.168.7.4/1"), tells=False)
    assert search.current == search.again().current == search.roots
    assert search.over


def test_few_endpoints_are_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(f"10.0.0.{n}/1" for n in range(9))
    monkeypatch.setattr(searches, "_distance", many.index)
    found = choices(at(*many))
    assert found == (*(at(one) for one in many[:MAX_TURNS]), at(*many))


def test_on_a_machine_with_other_addresses_a_search_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(at("10.0.0.1/1"))
    assert not search.outdated
    assert search_for(search.roots, search, tells=True) is search
    assert search_for(at("192.168.7.4/1"), search, tells=True) is not search
    monkeypatch.setattr(searches, "own_addresses", lambda _: ["10.0.0.9"])
    assert search.outdated
    assert search_for(search.roots, search, tells=True) is not search


def test_the_system_says_how_near_an_endpoint_is() -> None:
    assert REAL_DISTANCE("127.0.0.1/9") == 33  # this machine itself
    assert REAL_DISTANCE("255.255.255.255/9") is None  # which needs a permission that is not asked for
