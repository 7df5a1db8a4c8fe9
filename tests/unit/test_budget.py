"""Budget: what all sessions hold together is bounded, and whoever holds most has to go."""

from __future__ import annotations

from taskmessenger.net.budget import UNCOUNTED, Budget

MIB = 1 << 20


class Fleet:
    def __init__(self, most: int) -> None:
        self.budget = Budget(most * MIB, 20 * MIB)
        self.cut: list[tuple[str, bool]] = []

    def open(self, owner: str):
        return self.budget.open(owner, lambda why, greedy: self.cut.append((owner, greedy)))


def test_within_the_bound_nobody_is_cut_off() -> None:
    fleet = Fleet(100)
    for number in range(10):
        fleet.open(f"m{number}").hold(10 * MIB)
    assert fleet.cut == []
    assert fleet.budget.held == 100 * MIB


def test_the_member_with_most_goes_however_it_spreads_it() -> None:
    fleet = Fleet(100)
    fleet.open("large").hold(40 * MIB)
    for _ in range(8):
        fleet.open("many").hold(10 * MIB)
    assert {owner for owner, _ in fleet.cut} == {"many"}
    assert all(greedy for _, greedy in fleet.cut)
    assert fleet.budget.held <= 100 * MIB


def test_what_is_let_go_is_room_for_others() -> None:
    fleet = Fleet(100)
    for _ in range(50):
        one = fleet.open("one")
        one.hold(90 * MIB)
        one.hold(MIB)
        one.hold(0)
        one.hold(60 * MIB)
        one.close()
    assert fleet.cut == []
    assert fleet.budget.held == 0
    assert not fleet.budget._accounts


def test_who_has_good_reasons_is_no_criminal() -> None:
    fleet = Fleet(100)
    for number in range(6):
        fleet.open(f"m{number}").hold((15 + number) * MIB)
    assert fleet.cut == [("m5", False)]


def test_small_ones_cost_no_count() -> None:
    fleet = Fleet(100)
    for number in range(10_000):
        fleet.open(f"m{number}").hold(UNCOUNTED)
    assert fleet.budget.held == 0
