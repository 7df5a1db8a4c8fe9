"""Places: who gets in when many are at the door, and who makes room."""

from __future__ import annotations

from contextlib import ExitStack

import anyio
import pytest
from taskmessenger.core.errors import Overloaded
from taskmessenger.net.security.limiter import origin
from taskmessenger.roles import places as module
from taskmessenger.roles.places import KEPT, Places, Seats

SEATS = Seats(strangers=20, strangers_per_address=8, sessions=10, per_member=3, operators=2, local=4)


class Crowd:
    """Strangers that wait until they are sent away."""

    def __init__(self, places: Places, group) -> None:
        self.places, self.group = places, group
        self.gone: list[str] = []

    async def come(self, name: str, place: str, *, spoke: bool = False) -> None:
        entered = anyio.Event()
        self.group.start_soon(self._stay, name, place, spoke, entered)
        await entered.wait()

    async def _stay(self, name: str, place: str, spoke: bool, entered: anyio.Event) -> None:
        try:
            with self.places.stranger(place) as one:
                if spoke:
                    one.makes_sense()
                entered.set()
                await anyio.sleep_forever()
        except Overloaded:
            self.gone.append(name)
            entered.set()


async def test_whoever_comes_from_elsewhere_gets_the_place_of_the_largest_crowd() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(Places(SEATS), group)
        for number in range(20):
            await crowd.come(f"{number}", f"address {number % 3}", spoke=True)
        for number in range(5):
            await crowd.come(f"honest {number}", f"elsewhere {number}", spoke=True)
        await anyio.wait_all_tasks_blocked()
        assert len(crowd.gone) == 5
        assert not [name for name in crowd.gone if name.startswith("honest")]
        group.cancel_scope.cancel()


async def test_an_endless_crowd_from_many_addresses_sends_no_lone_one_away() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(Places(SEATS), group)
        await crowd.come("honest", "home", spoke=True)
        for number in range(500):
            await crowd.come(f"{number}", f"address {number % 4}", spoke=True)
        await anyio.wait_all_tasks_blocked()
        assert "honest" not in crowd.gone
        group.cancel_scope.cancel()


async def test_of_one_address_those_go_first_that_have_said_nothing() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(Places(SEATS), group)
        await crowd.come("speaks", "one", spoke=True)
        for number in range(7):
            await crowd.come(f"mute {number}", "one")
        await crowd.come("newest", "one", spoke=True)
        await anyio.wait_all_tasks_blocked()
        assert crowd.gone == ["mute 0"]
        group.cancel_scope.cancel()


async def test_a_handshake_that_is_under_way_does_not_yield_to_another_from_there(monkeypatch) -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(Places(SEATS), group)
        monkeypatch.setattr(module, "HANDSHAKE", 1_000.0)
        for number in range(9):
            await crowd.come(f"{number}", "one", spoke=True)
        assert crowd.gone == ["8"], "the newest is told to try again"
        monkeypatch.setattr(module, "HANDSHAKE", 0.0)
        await crowd.come("9", "one", spoke=True)
        await anyio.wait_all_tasks_blocked()
        assert crowd.gone == ["8", "0"], "but not for ever"
        group.cancel_scope.cancel()


async def test_places_that_were_left_are_free_again() -> None:
    places = Places(SEATS)
    for _ in range(100):
        with places.stranger("one"), places.here(), places.member("c", "client"):
            pass
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(places.member("c", "client"))
        with pytest.raises(Overloaded, match="c has 3 connections"):
            stack.enter_context(places.member("c", "client"))


def test_members_take_no_place_of_an_operator_nor_of_this_machine() -> None:
    places = Places(SEATS)
    with ExitStack() as stack:
        for number in range(10):
            stack.enter_context(places.member(f"w{number}", "worker"))
        with pytest.raises(Overloaded, match="10 sessions"):
            stack.enter_context(places.member("w10", "worker"))
        stack.enter_context(places.member("boss", "operator"))
        for _ in range(4):
            stack.enter_context(places.here())
        with pytest.raises(Overloaded):
            stack.enter_context(places.here())


@pytest.mark.parametrize("descriptors", [64, 128, 256, 1_024, 4_096, 2**31])
def test_all_places_together_leave_files_to_the_manager(descriptors: int) -> None:
    wanted = Seats(strangers=1_024, strangers_per_address=64, sessions=1_200, per_member=32)
    seats = wanted.within(descriptors)
    taken = seats.strangers + seats.sessions + seats.local + seats.operators
    assert taken + KEPT <= max(descriptors, KEPT + 8 + 128 // 8 + 128 // 16)
    assert min(seats.strangers, seats.sessions, seats.local, seats.operators) >= 1
    assert (seats == wanted) == (descriptors >= wanted.wanted)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("[2001:db8::1%eth0]", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


def test_operators_and_workers_have_so_many_places_and_free_them() -> None:
    places = Places(SEATS)
    for _ in range(20):
        with places.member("boss", "operator"), places.member("w", "worker"):
            pass
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(places.member(f"boss {number}", "operator"))
        with pytest.raises(Overloaded, match="2 sessions of operators"):
            stack.enter_context(places.member("boss 2", "operator"))
        for _ in range(4):
            stack.enter_context(places.member("w", "worker"))
        with pytest.raises(Overloaded, match="w has 4 connections"):
            stack.enter_context(places.member("w", "worker"))
        stack.enter_context(places.member("v", "worker"))


async def test_of_crowds_of_one_size_the_one_that_says_nothing_makes_room() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(Places(Seats(4, 8, 10, 3)), group)
        for name, place in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")):
            await crowd.come(name, place, spoke=place == "a")
        await crowd.come("new", "elsewhere", spoke=True)
        await anyio.wait_all_tasks_blocked()
        assert crowd.gone == ["b1"]
        group.cancel_scope.cancel()


async def test_an_address_takes_no_place_from_one_that_has_no_more_than_it() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(Places(Seats(4, 8, 10, 3)), group)
        for name, place in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")):
            await crowd.come(name, place, spoke=place == "a")
        await crowd.come("a3", "a", spoke=True)
        await anyio.wait_all_tasks_blocked()
        assert crowd.gone == ["a3"]
        group.cancel_scope.cancel()
