"""Managers and members that find each other: who hears whom, when, and how long it lasts. Virtual time."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.address import Address
from taskmessenger.net.discovery.beacon import EACH_ASKER, Beacon, Facts
from taskmessenger.net.discovery.finder import MAX_FOUND, Finder, besides
from taskmessenger.net.discovery.sealed import Fault, Signer
from taskmessenger.net.discovery.voice import Voice
from trio.testing import MockClock

from tests.support.discovery import HOME, Ether, Fleet, facts

START = time.time()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.found(tmp_path_factory.mktemp("fleet"))


def wall() -> float:
    return START + anyio.current_time()


@asynccontextmanager
async def running(*parts: Beacon | Finder) -> AsyncIterator[anyio.CancelScope]:
    """All of them run; the scope ends them in good order."""
    async with anyio.create_task_group() as tasks:
        for part in parts:
            tasks.start_soon(part.run)
        yield tasks.cancel_scope
        tasks.cancel_scope.cancel()


def a_beacon(fleet: Fleet, ether: Ether, about: Facts | None = None, host: str = "192.0.2.1") -> Beacon:
    return Beacon(fleet.manager_voice(), fleet.registry(), [ether.hop(host)], about or facts(), wall=wall)


def a_finder(fleet: Fleet, ether: Ether, *, mute: bool = False, host: str = "192.0.2.2") -> Finder:
    voice = None if mute else fleet.worker_voice()
    return Finder(fleet.registry(), [ether.hop(host)], voice, wall=wall)


async def test_a_worker_that_asks_is_answered_at_once(fleet: Fleet) -> None:
    ether = Ether()
    async with running(a_beacon(fleet, ether)):
        await anyio.sleep(3)
        begun = anyio.current_time()
        finder = a_finder(fleet, ether)
        async with running(finder):
            assert await finder.wait((), 60) == [HOME]
            assert anyio.current_time() - begun < 0.1


async def test_who_only_listens_hears_within_a_heartbeat(fleet: Fleet) -> None:
    ether = Ether()
    finder = a_finder(fleet, ether, mute=True)
    async with running(a_beacon(fleet, ether), finder):
        await anyio.sleep(15)
        finder.registry._managers.clear()
        assert await finder.wait((), 10.1) == [HOME]


async def test_a_manager_that_is_cut_off_is_forgotten_and_found_again(fleet: Fleet) -> None:
    ether = Ether()
    finder = a_finder(fleet, ether)
    async with running(a_beacon(fleet, ether), finder):
        await anyio.sleep(25)
        assert finder.endpoints() == [HOME]
        ether.broken = True
        await anyio.sleep(19)
        assert finder.endpoints() == [HOME]
        await anyio.sleep(12)
        assert finder.endpoints() == []
        ether.broken = False
        assert await finder.wait((), 10.1) == [HOME]


async def test_a_manager_that_stops_is_forgotten_at_once(fleet: Fleet) -> None:
    ether = Ether()
    finder = a_finder(fleet, ether)
    async with running(finder):
        async with running(a_beacon(fleet, ether)):
            assert await finder.wait((), 10) == [HOME]
        await anyio.sleep(0.1)
        assert finder.endpoints() == []


async def test_an_hour_of_heartbeats_costs_what_it_should(fleet: Fleet) -> None:
    ether = Ether()
    async with running(a_beacon(fleet, ether)):
        await anyio.sleep(3600)
    assert 360 <= ether.sent <= 3600 / 9 + 2


async def test_waiting_for_a_manager_that_is_not_there_has_an_end(fleet: Fleet) -> None:
    finder = a_finder(fleet, Ether())
    async with running(finder):
        assert await finder.wait((), 7) == []
        assert anyio.current_time() == pytest.approx(7)


async def test_endpoints_that_were_tried_are_not_found_again(fleet: Fleet) -> None:
    ether = Ether()
    beacon = a_beacon(fleet, ether, facts(endpoints=[HOME, "tcp://192.0.2.9:1"]))
    finder = a_finder(fleet, ether)
    async with running(beacon, finder):
        assert await finder.wait({HOME}, 5) == ["tcp://192.0.2.9:1"]


async def test_questions_are_not_asked_more_often_than_every_two_seconds(fleet: Fleet) -> None:
    ether = Ether()
    finder = a_finder(fleet, ether)
    async with running(finder):
        for _ in range(100):
            await finder.ask()
            await anyio.sleep(0.1)
    assert ether.sent <= 6


async def test_a_manager_says_which_workers_offer_a_kind(fleet: Fleet) -> None:
    ether = Ether()
    beacon = a_beacon(fleet, ether, facts(offers={"hash": ["w-1", "w-2"]}))
    finder = a_finder(fleet, ether)
    async with running(beacon, finder):
        (offering,) = await finder.resolve("hash", 2)
        assert (offering.manager, offering.workers) == ("north", ("w-1", "w-2"))
        (nobody,) = await finder.resolve("sum", 2)
        assert nobody.total == 0


async def test_a_lost_question_is_asked_again(fleet: Fleet) -> None:
    ether = Ether(broken=True)
    finder = a_finder(fleet, ether)

    async def mend() -> None:
        await anyio.sleep(1.5)
        ether.broken = False

    beacon = a_beacon(fleet, ether, facts(offers={"hash": ["w-1"]}))
    async with running(beacon, finder), anyio.create_task_group() as tasks:
        tasks.start_soon(mend)
        (offering,) = await finder.resolve("hash", 3)
    assert offering.workers == ("w-1",)


async def test_a_revoked_worker_is_not_answered(fleet: Fleet) -> None:
    ether = Ether()
    beacon = a_beacon(fleet, ether, facts(offers={"hash": ["w-1"]}, members=[]))
    finder = a_finder(fleet, ether)
    async with running(beacon, finder):
        assert await finder.resolve("hash", 3) == []
    assert beacon.registry.faults[Fault.UNTRUSTED] >= 3


async def test_a_member_that_asks_without_end_is_answered_now_and_then(fleet: Fleet) -> None:
    ether = Ether()
    beacon = a_beacon(fleet, ether)
    voice, hop = fleet.worker_voice(), ether.hop("192.0.2.66")
    async with running(beacon):
        for _ in range(20):
            await anyio.sleep(0.06)
            await hop.send(voice.ask("hash", wall())[1])
        await anyio.sleep(0.1)
    rate, burst = EACH_ASKER
    answered = 20 - beacon.registry.faults[Fault.LIMITED]
    assert burst <= answered <= burst + rate * 20 * 0.06 + 1


async def test_a_carrier_that_cannot_send_is_told_once(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    ether = Ether(broken=True)
    with caplog.at_level(logging.INFO):
        async with running(a_beacon(fleet, ether)):
            await anyio.sleep(60)
            ether.broken = False
            await anyio.sleep(20)
    told = [record.message for record in caplog.records if "discovery" in record.message]
    assert told == ["discovery cannot send on the ether now", "discovery can send on the ether again"]


async def test_a_clock_that_is_wrong_is_pointed_out_once(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    ether = Ether()
    finder = Finder(fleet.registry(), [ether.hop("192.0.2.2")], wall=lambda: wall() + 3600)
    async with running(a_beacon(fleet, ether), finder):
        await anyio.sleep(60)
    assert [record.message for record in caplog.records if "clock" in record.message] == [
        "somebody of this fleet at 192.0.2.1 has a clock far from this machine's: set both clocks"
    ]


async def test_a_certificate_near_its_end_is_read_anew(fleet: Fleet) -> None:
    loads: list[float] = []

    def load() -> Signer:
        loads.append(anyio.current_time())
        if len(loads) == 2:
            raise ConfigError("the file is away for a moment")
        issued = START if len(loads) == 1 else wall()
        path = fleet.authority.issue_manager(issued, days=0.001 if len(loads) == 1 else 30)
        return Signer.load(path, fleet.authority.ca_der)

    ether = Ether()
    finder = a_finder(fleet, ether, mute=True)
    beacon = Beacon(Voice(load, "north"), fleet.registry(), [ether.hop("192.0.2.1")], facts(), wall=wall)
    async with running(beacon, finder):
        await anyio.sleep(200)
        assert finder.endpoints() == [HOME]
    assert len(loads) == 3


async def test_no_more_is_handed_out_than_can_be_dialled(fleet: Fleet) -> None:
    finder = a_finder(fleet, Ether())
    for number in range(20):
        data = fleet.manager_voice(f"m{number}").announce([f"tcp://192.0.2.{number}:1"], [], wall() + number)
        finder.registry.hear(data, "192.0.2.1", anyio.current_time(), wall())
    assert len(finder.endpoints()) == MAX_FOUND


async def test_a_network_whose_way_is_unknown_is_not_entered() -> None:
    way = b"way"
    known = [
        Address.parse("tcp://a:1"),
        Address("zt", "8056c2e21c", 7711, network="8056c2e21c000001", way=way),
    ]
    found = [
        "tcp://a:1",
        "tcp://b:1",
        "tcp://b:1",
        "zt://8056c2e21c000001/8056c2e21c:7711",
        "zt://8056c2e21c000001/8056c2e21c:7799",
        "zt://1234567890000001/1234567890:7711",
    ]
    new = besides(known, found)
    assert [str(one) for one in new] == ["tcp://b:1", "zt://8056c2e21c000001/8056c2e21c:7799"]
    assert new[1].way == way
