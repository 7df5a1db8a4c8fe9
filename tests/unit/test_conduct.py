"""Conduct: members that break the protocol are kept out ever longer, shown, and in the end forgiven."""

from __future__ import annotations

import pytest
from taskmessenger.core.errors import Overloaded
from taskmessenger.roles import conduct as module
from taskmessenger.roles.conduct import (
    FORGIVEN_SECONDS,
    FREE,
    MAX_MEMBERS,
    MAX_WAIT,
    Complaints,
    Conduct,
    Rates,
)


def wait_of(conduct: Conduct, peer: str, now: float) -> int:
    """Seconds, whole, for which it is kept out."""
    seconds = 0
    while True:
        try:
            conduct.check(peer, now + seconds)
        except Overloaded:
            seconds += 1
        else:
            return seconds


def test_each_crime_beyond_the_free_ones_doubles_the_wait_up_to_a_bound() -> None:
    conduct, waits = Conduct(), []
    for _ in range(FREE + 12):
        conduct.crime("w", "worker", "columns", 0.0)
        waits.append(wait_of(conduct, "w", 0.0))
    assert waits[:FREE] == [0] * FREE
    assert waits[FREE : FREE + 4] == [1, 2, 4, 8]
    assert waits[-1] == MAX_WAIT
    assert wait_of(conduct, "another", 0.0) == 0


def test_who_was_good_for_long_begins_anew() -> None:
    conduct = Conduct()
    for _ in range(FREE + 5):
        conduct.crime("w", "worker", "x", 0.0)
    conduct.crime("w", "worker", "x", FORGIVEN_SECONDS + 1)
    assert wait_of(conduct, "w", FORGIVEN_SECONDS + 1) == 0
    assert not list(conduct.offenders(FORGIVEN_SECONDS + 1))


def test_an_operator_sees_who_did_what_how_often() -> None:
    conduct = Conduct()
    for n in range(FREE):
        assert not list(conduct.offenders(1.0))
        conduct.crime("w", "worker", f"crime {n}", 1.0)
    assert list(conduct.offenders(1.0)) == [("w", "worker", FREE, f"crime {FREE - 1}")]
    conduct.forget("w")
    assert not list(conduct.offenders(1.0))


@pytest.mark.parametrize("many", [MAX_MEMBERS * 2])
def test_what_is_remembered_is_bounded(many: int) -> None:
    conduct, complaints = Conduct(), Complaints()
    for n in range(many):
        conduct.crime(f"w{n}", "worker", "x", float(n))
        complaints.due(f"w{n}", float(n))
    assert len(conduct._records) <= MAX_MEMBERS
    assert len(complaints._last) <= MAX_MEMBERS


def test_one_member_gets_few_lines_whatever_it_does_and_another_its_own() -> None:
    complaints = Complaints(10.0)
    lines = [complaints.due("w", second / 100) for second in range(1_500)]
    assert [line for line in lines if line is not None] == ["", " (and 999 more like it)"]
    assert complaints.due("v", 3.0) == ""


def test_among_too_many_the_one_that_has_been_good_for_longest_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 3)
    conduct, complaints = Conduct(), Complaints(1_000.0)
    for peer in ("old", "a", "b", "old", "c"):
        for _ in range(FREE + 1):
            conduct.crime(peer, "worker", "x", 0.0)
    assert [one.peer for one in conduct.offenders(0.0)] == ["b", "old", "c"]
    assert wait_of(conduct, "a", 0.0) == 0
    assert wait_of(conduct, "c", 0.0) == 1
    lines = [complaints.due(peer, 0.0) for peer in ("a", "b", "c", "d", "d", "a")]
    assert lines == ["", "", "", "", None, ""], "the newest is remembered, the oldest is not"


def test_a_member_has_one_rate_whatever_sessions_it_opens(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    rates = Rates()
    first, other = rates.of("a"), rates.of("b")
    assert rates.of("a") is first
    assert rates.of("b") is other
    assert first is not other
    rates.of("a")
    rates.of("c")
    assert rates.of("a") is first, "who speaks is not forgotten for somebody new"
    assert rates.of("b") is not other


def test_an_offender_is_shown_until_it_is_forgiven() -> None:
    conduct = Conduct()
    for _ in range(FREE):
        conduct.crime("w", "worker", "x", 0.0)
    assert [one.crimes for one in conduct.offenders(FORGIVEN_SECONDS)] == [FREE]
    assert not list(conduct.offenders(FORGIVEN_SECONDS + 0.1))
    conduct.crime("w", "worker", "x", FORGIVEN_SECONDS)
    assert [one.crimes for one in conduct.offenders(FORGIVEN_SECONDS)] == [FREE + 1], "not forgiven yet"
