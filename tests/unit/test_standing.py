"""Links that stand and that have ended, as consoles see them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from taskmessenger.net.protocol import Phase
from taskmessenger.roles.standing import ENDED, ENDED_HERE, Standing


def begins(
    standing: Standing, number: int, address: str, carrier: str = "", phase: Phase = Phase.OPEN
) -> None:
    wire = SimpleNamespace(rtt=None, sent=1, received=2, last_heard=40.0, phase=phase)
    guest: Any = SimpleNamespace(
        peer=f"p{number}", role="worker", address=address, hello=SimpleNamespace(carrier=carrier)
    )
    standing.begins(number, guest, SimpleNamespace(wire=wire))  # type: ignore[arg-type]


def test_commands_on_this_machine_do_not_push_out_why_workers_were_lost() -> None:
    standing = Standing()
    begins(standing, 1, "tcp://10.0.0.2:4000")
    standing.ends(1, "no sign of life for 15 s")
    for number in range(2, 4 * ENDED):
        begins(standing, number, "unix://")
        standing.ends(number, "closed")
    rows = standing.rows(1.0)
    assert [row.peer for row in rows if row.transport == "tcp"] == ["p1"]
    assert len([row for row in rows if row.transport == "unix"]) == ENDED_HERE
    ended = [row.ended_at or 0.0 for row in rows]
    assert ended == sorted(ended, reverse=True), "newest first"


def test_how_a_zerotier_link_goes_is_asked_of_whoever_knows_its_node() -> None:
    standing = Standing()
    standing.path = {"1c77d2e0aa": "relayed"}.get  # type: ignore[assignment]
    begins(standing, 1, "zt://240.1.2.3:4000", "1c77d2e0aa:0:abcd")
    begins(standing, 2, "tcp://10.0.0.2:4000")
    assert [row.path for row in standing.rows(1.0)] == ["relayed", ""]


def test_a_link_tells_how_long_ago_it_was_heard_and_whether_it_is_closing() -> None:
    standing = Standing()
    begins(standing, 1, "tcp://10.0.0.2:4000")
    begins(standing, 2, "tcp://10.0.0.3:4000", phase=Phase.CLOSING)
    rows = standing.rows(42.5)
    assert [(row.state, row.last_heard) for row in rows] == [("connected", 2.5), ("closing", 2.5)]
    assert [row.last_heard for row in standing.rows(39.0)] == [0.0, 0.0], "heard while the rows were made"
    standing.ends(1, "closed")
    (ended,) = [row for row in standing.rows(50.0) if row.state == "ended"]
    assert (ended.last_heard, ended.reason) == (None, "closed")


def test_links_that_ended_are_told_newest_first_wherever_they_came_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter(range(100))
    monkeypatch.setattr("taskmessenger.roles.standing.time", lambda: float(next(moments)))
    standing = Standing()
    addresses = ["tcp://10.0.0.2:1", "unix://", "tcp://10.0.0.3:1", "unix://", "zt://240.1.2.3:1"]
    for number, address in enumerate(addresses):
        begins(standing, number, address)
    for number in (3, 0, 4, 1):
        standing.ends(number, "closed")
    assert [row.id for row in standing.rows(1.0)] == [2, 1, 4, 0, 3]
    assert [row.state for row in standing.rows(1.0)] == ["connected", *["ended"] * 4]
