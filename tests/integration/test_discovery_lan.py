"""Discovery over real multicast, within the loopback interface: nothing leaves this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import anyio
import psutil
import pytest
from taskmessenger.core.errors import Conflict, UsageError
from taskmessenger.net.discovery import lan as lan_module
from taskmessenger.net.discovery.beacon import Beacon
from taskmessenger.net.discovery.carrier import Carrier, Place
from taskmessenger.net.discovery.finder import Finder
from taskmessenger.net.discovery.lan import GROUP, Lan
from taskmessenger.net.discovery.sealed import MAX_DATAGRAM, Fault

from tests.support.discovery import HOME, Fleet, facts
from tests.support.runtimes import until

LOOPBACK = ("127.0.0.1",)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.found(tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def port() -> int:
    """One that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@asynccontextmanager
async def running(*parts: Beacon | Finder) -> AsyncIterator[None]:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for part in parts:
                tasks.start_soon(part.run)
            yield
            tasks.cancel_scope.cancel()


def a_beacon(fleet: Fleet, port: int) -> Beacon:
    about = facts(offers={"hash": ["w-1"]})
    return Beacon(fleet.manager_voice(), fleet.registry(), [Lan(port, LOOPBACK)], about)


def a_finder(fleet: Fleet, port: int) -> Finder:
    return Finder(fleet.registry(), [Lan(port, LOOPBACK)], fleet.worker_voice())


async def test_members_on_one_network_find_their_manager_and_ask_it(fleet: Fleet, port: int) -> None:
    beacon, one, two = a_beacon(fleet, port), a_finder(fleet, port), a_finder(fleet, port)
    async with running(beacon, one, two):
        assert await one.wait((), 20) == [HOME]
        assert await two.wait((), 20) == [HOME]
        (offering,) = await one.resolve("hash", 1.0)
        assert offering.workers == ("w-1",)
        assert one.registry.managers(anyio.current_time())[0].source == "127.0.0.1"


async def test_goodbye_reaches_the_network(fleet: Fleet, port: int) -> None:
    finder = a_finder(fleet, port)
    async with running(finder):
        async with running(a_beacon(fleet, port)):
            assert await finder.wait((), 20) == [HOME]
        await until(lambda: finder.endpoints() == [])


async def test_rubbish_on_the_network_harms_nobody(fleet: Fleet, port: int) -> None:
    finder = a_finder(fleet, port)
    async with running(finder):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            good = fleet.manager_voice().announce([HOME], [], time.time())
            for data in (b"", b"x", bytes(60_000), good[:-1], good + bytes(MAX_DATAGRAM)):
                stranger.sendto(data, (GROUP, port))
            await until(lambda: finder.registry.faults.total() >= 4)
            assert finder.registry.faults[Fault.OVERSIZED] == 2
            assert not finder.endpoints()
            stranger.sendto(good, (GROUP, port))
            await until(lambda: finder.endpoints() == [HOME])


async def test_what_is_sent_stays_within_one_hop(port: int) -> None:
    lan = Lan(port, LOOPBACK)
    try:
        sender = lan._senders["127.0.0.1"]
        assert sender.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1
        assert lan._mouth.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
    finally:
        lan.close()


async def test_an_interface_that_comes_later_is_used_then(
    fleet: Fleet, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    present: list[str] = ["192.0.2.1"]  # an address that no machine has
    monkeypatch.setattr("taskmessenger.net.discovery.lan._own_addresses", lambda: present)
    heard: list[tuple[bytes, Place]] = []

    async def hear(data: bytes, place: Place, _: Carrier) -> None:
        heard.append((data, place))

    lan = Lan(port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lan.listen, hear)
        await anyio.lowlevel.checkpoint()
        assert not await lan.send(b"nowhere")
        assert not await lan.send(b"nowhere")
        present[:] = LOOPBACK
        assert await lan.send(b"here")
        await until(lambda: bool(heard))
        assert heard[0][0] == b"here"
        assert await lan.send(b"to you alone", heard[0][1])
        await until(lambda: len(heard) == 2)
        present.clear()
        assert not await lan.send(b"gone again")
        tasks.cancel_scope.cancel()
    present[:] = LOOPBACK
    assert await lan.send(b"goodbye"), "who does not listen any more can still speak"
    lan.close()
    assert [record.message for record in caplog.records if "192.0.2.1" in record.message] == [
        "discovery cannot use the network of 192.0.2.1: Cannot assign requested address"
    ]


def test_the_machine_is_asked_for_the_addresses_of_interfaces_that_are_up() -> None:
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    told = {
        entry.address: name
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    }
    found = lan_module._own_addresses()
    assert found == sorted(set(found))
    assert not [address for address in found if address.startswith("127.")]
    assert set(found) == {
        address for address, name in told.items() if name in up and not address.startswith("127.")
    }


def test_an_interface_that_is_down_or_loops_back_is_none_to_send_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(address: str, family: int = socket.AF_INET) -> SimpleNamespace:
        return SimpleNamespace(address=address, family=family)

    there = {
        "lo": [entry("127.0.0.1")],
        "eth0": [entry("192.0.2.9"), entry("fe80::1", socket.AF_INET6), entry("192.0.2.1")],
        "eth1": [entry("198.51.100.1")],
    }
    up = {name: SimpleNamespace(isup=name != "eth1") for name in there}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: there)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: up)
    assert lan_module._own_addresses() == ["192.0.2.1", "192.0.2.9"]


async def test_what_is_sent_to_this_machine_alone_is_not_heard(port: int) -> None:
    heard: list[bytes] = []

    async def hear(data: bytes, _place: Place, _: Carrier) -> None:
        heard.append(data)

    lan = Lan(port, LOOPBACK)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lan.listen, hear)
            await anyio.lowlevel.checkpoint()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(b"to you alone", ("127.0.0.1", port))
            assert await lan.send(b"to all")
            await until(lambda: bool(heard))
            tasks.cancel_scope.cancel()
    finally:
        lan.close()
    assert heard == [b"to all"]


def test_a_port_that_somebody_has_for_himself_is_named(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((GROUP, port))
        with pytest.raises(Conflict, match=rf"UDP port {port} .*set discovery\.port"):
            Lan(port, LOOPBACK)


def test_an_interface_is_an_address(port: int) -> None:
    with pytest.raises(UsageError, match=r"not `eth0`"):
        Lan(port, ["eth0"])
