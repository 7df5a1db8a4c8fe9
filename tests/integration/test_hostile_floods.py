"""One member floods a real manager: others are served, the operator is answered, memory stays bounded."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from taskmessenger.handle import Group
from taskmessenger.net.security.identity import Identity
from taskmessenger.remote import attach

from tests.support.floods import MIB, Place, a_place
from tests.support.machine import NOISE, slowness
from tests.support.processes import dialler, fleet

RSS_MIB = 300
STATUS_SECONDS = 1.0
SHARE = 0.95
"""Of its throughput that the fleet keeps at least."""
SECONDS = 2.0
TRIES = 2
"""Of a comparison: others that use this machine may slow down the second part of it alone."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One fleet for all floods: each has a member of its own."""
    root = tmp_path_factory.mktemp("floods")
    with fleet(root / "f") as made:
        yield anyio.run(a_place, made, root / "members")


async def flooded(place: Place, what: str, identity: Identity, **how: Any) -> dict[str, float]:
    """What the manager does for others during this flood, beside what it did before."""
    for _ in range(TRIES):
        found = await _compared(place, what, identity, **how)
        if found["rate_during"] >= SHARE * found["rate_before"]:
            break
    return found


async def _compared(place: Place, what: str, identity: Identity, **how: Any) -> dict[str, float]:
    async with place.watched():
        before = statistics.median([await place.work() for _ in range(3)])
        calm = max(place.answers, default=0.0)
    base = place.rss_now()
    async with place.watched(), place.flood(what, identity, **how):
        start = anyio.current_time()
        rates = [await place.work()]
        while anyio.current_time() - start < SECONDS:
            rates.append(await place.work())
        worst, most = max(place.answers), max(place.rss)
    await anyio.sleep(0.5)
    found = {
        "rate_before": before, "rate_during": statistics.median(rates),
        "calm_s": calm, "worst_s": worst,
        "rss_more_mib": (most - base) / MIB, "rss_left_mib": (place.rss_now() - base) / MIB,
    }  # fmt: skip
    print(what, how, {name: round(value, 3) for name, value in found.items()})
    return found


def check(place: Place, found: dict[str, float]) -> None:
    assert place.manager.running
    assert found["rss_more_mib"] <= RSS_MIB
    assert found["worst_s"] <= found["calm_s"] + STATUS_SECONDS * slowness()
    assert found["rate_during"] >= SHARE * found["rate_before"] * NOISE / slowness()
    assert "Traceback" not in place.manager.said()


@pytest.mark.parametrize("kind", ["Holding", "Broke", "Finished", "Started"])
async def test_endless_columns_of_a_worker_hold_up_nobody(place: Place, kind: str) -> None:
    bad = await place.member("worker", f"columns-{kind}")
    check(place, await flooded(place, "columns", bad, kind=kind))


async def test_endless_tasks_of_a_client_hold_up_nobody(place: Place) -> None:
    bad = await place.member("client", "columns-submit")
    check(place, await flooded(place, "columns", bad, kind="Submit"))


async def test_questions_about_all_that_one_message_names_hold_up_nobody(place: Place) -> None:
    bad = await place.member("client", "questions")
    check(place, await flooded(place, "questions", bad))


async def test_messages_that_are_never_finished_take_bounded_memory_and_give_it_back(place: Place) -> None:
    bad = await place.member("client", "unfinished")
    found = await flooded(place, "unfinished", bad, sessions=12)
    check(place, found)
    assert found["rss_left_mib"] <= RSS_MIB / 2


async def test_answers_that_nobody_reads_take_bounded_memory(place: Place) -> None:
    async with attach(dialler(place.fleet.paths)) as remote:
        size = 30 * MIB
        payload = b"\xc6" + size.to_bytes(4, "big") + bytes(size)
        ids = [(await remote.submit([Group("echo", [payload])])).ids[0] for _ in range(3)]
        await remote.wait(ids)
    bad = await place.member("client", "unread")
    check(place, await flooded(place, "unread", bad, ids=ids, sessions=10))


async def test_small_messages_without_end_leave_the_others_their_turn(place: Place) -> None:
    bad = await place.member("worker", "chatter")
    check(place, await flooded(place, "chatter", bad))
