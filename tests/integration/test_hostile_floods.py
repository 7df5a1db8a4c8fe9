"""One member floods a real manager: others are served, the operator is answered, memory stays bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from taskmessenger.handle import Group
from taskmessenger.net.security.identity import Identity
from taskmessenger.remote import attach

from tests.support.floods import MIB, Place, a_place
from tests.support.machine import slowness
from tests.support.processes import dialler, fleet

RSS_MIB = 300
STATUS_SECONDS = 1.0
SHARE = 0.3
"""Of its throughput that the fleet keeps at least. The flood itself takes processors of this machine."""
SECONDS = 3.0


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with fleet(tmp_path / "f") as made:
        yield await a_place(made, tmp_path / "members")


async def flooded(place: Place, what: str, identity: Identity, **how: Any) -> dict[str, float]:
    """What the manager does for others during this flood, beside what it did before."""
    await place.work(100)
    async with place.watched():
        before = await place.work()
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
        "rate_before": before, "rate_during": sorted(rates)[len(rates) // 2],
        "calm_s": calm, "worst_s": worst,
        "rss_more_mib": (most - base) / MIB, "rss_left_mib": (place.rss_now() - base) / MIB,
    }  # fmt: skip
    print(what, how, {name: round(value, 3) for name, value in found.items()})
    return found


def check(place: Place, found: dict[str, float]) -> None:
    assert place.manager.running
    assert found["rss_more_mib"] <= RSS_MIB
    assert found["worst_s"] <= found["calm_s"] + STATUS_SECONDS * slowness()
    assert found["rate_during"] >= SHARE * found["rate_before"] / slowness()
    assert "Traceback" not in place.manager.said()


@pytest.mark.parametrize("kind", ["Holding", "Broke", "Finished", "Started"])
async def test_endless_columns_of_a_worker_hold_up_nobody(place: Place, kind: str) -> None:
    bad = await place.member("worker", "bad")
    check(place, await flooded(place, "columns", bad, kind=kind))


async def test_endless_tasks_of_a_client_hold_up_nobody(place: Place) -> None:
    bad = await place.member("client", "bad")
    check(place, await flooded(place, "columns", bad, kind="Submit"))


async def test_questions_about_all_that_one_message_names_hold_up_nobody(place: Place) -> None:
    bad = await place.member("client", "bad")
    check(place, await flooded(place, "questions", bad))


async def test_messages_that_are_never_finished_take_bounded_memory_and_give_it_back(place: Place) -> None:
    bad = await place.member("client", "bad")
    found = await flooded(place, "unfinished", bad, sessions=12)
    check(place, found)
    assert found["rss_left_mib"] <= RSS_MIB / 2


async def test_answers_that_nobody_reads_take_bounded_memory(place: Place) -> None:
    async with attach(dialler(place.fleet.paths)) as remote:
        size = 30 * MIB
        payload = b"\xc6" + size.to_bytes(4, "big") + bytes(size)
        ids = [(await remote.submit([Group("echo", [payload])])).ids[0] for _ in range(3)]
        await remote.wait(ids)
    bad = await place.member("client", "bad")
    check(place, await flooded(place, "unread", bad, ids=ids, sessions=10))


async def test_small_messages_without_end_leave_the_others_their_turn(place: Place) -> None:
    bad = await place.member("worker", "bad")
    check(place, await flooded(place, "chatter", bad))
