"""Discovery over real ZeroTier nodes: a manager in a process of its own, a member in this one."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from taskmessenger.net.discovery.finder import Finder
from taskmessenger.net.discovery.overlay import OverlayCarrier, broadcast_of, manager_of
from taskmessenger.net.discovery.registry import Offering, Registry
from taskmessenger.net.discovery.sealed import Verifier
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.zerotier.library import load
from taskmessenger.net.zerotier.network import private_network
from taskmessenger.net.zerotier.node import Node, ensure, running

from tests.support.discovery import Fleet
from tests.support.discovery_node import end, manager_process
from tests.support.namespaces import HOST, identity
from tests.support.processes import fleet
from tests.support.zerotier_nodes import ROOT_PORT, settings

pytestmark = pytest.mark.zerotier
PORT = 7713
BOUND = 40.0


def home_of(manager: int = 0) -> str:
    node_id = identity(manager).node_id
    return f"zt://{private_network(node_id)}/{node_id}:7711"


@asynccontextmanager
async def listening(finder: Finder) -> AsyncIterator[None]:
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(finder.run)
            yield
            tasks.cancel_scope.cancel()


async def test_a_member_finds_its_manager_and_asks_it(tmp_path: Path) -> None:
    fleet = Fleet.found(tmp_path)
    with manager_process(tmp_path / "root", fleet.authority.folder, PORT) as other:
        await ensure(settings(tmp_path / "home", 1), load())
        finder = Finder(fleet.registry(), [OverlayCarrier(PORT, peers=manager_of)], fleet.worker_voice())
        async with listening(finder):
            assert await finder.wait((), BOUND) == [home_of()]
            offerings: list[Offering] = []
            while not offerings:  # the first packets between two new nodes may be lost
                offerings = await finder.resolve("hash", 3.0)
            (offering,) = offerings
            assert offering.workers == ("w-1",)
            await anyio.to_thread.run_sync(end, other)
            while finder.endpoints():
                await anyio.sleep(0.05)


async def test_who_only_listens_hears_the_broadcast(tmp_path: Path) -> None:
    fleet = Fleet.found(tmp_path)
    with manager_process(tmp_path / "root", fleet.authority.folder, PORT):
        await ensure(settings(tmp_path / "home", 1), load())
        finder = Finder(fleet.registry(), [OverlayCarrier(PORT)])
        async with listening(finder):
            assert await finder.wait((), BOUND) == [home_of()]


async def test_a_node_that_is_started_again_is_used_again(tmp_path: Path) -> None:
    fleet = Fleet.found(tmp_path)
    with manager_process(tmp_path / "root", fleet.authority.folder, PORT):
        node = await ensure(settings(tmp_path / "home", 1), load())
        finder = Finder(fleet.registry(), [OverlayCarrier(PORT, peers=manager_of)], fleet.worker_voice())
        async with listening(finder):
            assert await finder.wait((), BOUND)
            await node.restart()
            finder.registry._managers.clear()
            assert await finder.wait((), BOUND) == [home_of()]


async def test_without_a_node_nothing_is_sent_and_nothing_breaks(tmp_path: Path) -> None:
    carrier = OverlayCarrier(PORT)
    assert running() is None
    assert not await carrier.send(b"nowhere")
    node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    assert await carrier.send(b"hello")
    await node.stop()
    assert not await carrier.send(b"nowhere")
    node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    assert await carrier.send(b"hello")
    carrier.close()
    await node.stop()


async def test_many_lives_leave_no_socket_behind(tmp_path: Path) -> None:
    node: Node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    for _ in range(1_100):  # more than a node has sockets
        carrier = OverlayCarrier(PORT)
        assert await carrier.send(b"hello")
        carrier.close()
    assert node._hooks == []
    assert str(broadcast_of(node)) == "255.255.255.255"


def test_a_manager_announces_itself_on_the_network_that_it_listens_on(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet") as one:
        file = one.paths.config_file("manager")
        file.parent.mkdir(parents=True, mode=0o700)
        overlay = {"port": ROOT_PORT, "advertise": [f"{HOST}:{ROOT_PORT}"]}
        file.write_text(json.dumps({"zerotier": overlay, "name": "north"}), encoding="utf-8")
        ensure_identity(one.paths.node("manager"))
        one.manager("--listen", "zt://:7711")
        authority = Authority.load_or_create(one.paths.authority, "", time.time())
        finder = Finder(Registry(Verifier(authority.ca_der)), [OverlayCarrier(PORT)])

        async def find() -> list[str]:
            await ensure(settings(tmp_path / "home", 1), load())
            async with listening(finder):
                return await finder.wait((), BOUND)

        assert home_of() in anyio.run(find)


def ensure_identity(folder: Path) -> None:
    """Let the manager be the first identity, that of the network of `settings`."""
    own = identity(0)
    folder.mkdir(parents=True, mode=0o700)
    for name, text in (("identity.public", own.public), ("identity.secret", own.text)):
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o600)


def test_a_fleet_that_meets_over_zerotier_alone_tells_who_offers_a_kind(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet") as one:
        one._listen = "zt://:7711"
        one.manager()
        one.worker()
        client = tmp_path / "client"
        assert one.run("join", "-", stdin=one.invite("client"), home=client).returncode == 0
        for home in (client, one.worker_home("fern"), one.home):
            done = one.run("discover", "--seconds", "8s", "--kind", "hash", "--json", home=home)
            assert done.returncode == 0, done.stderr
            (offered,) = json.loads(done.stdout)["offered_by"]
            assert offered["workers"] == [one.worker_id()]
        done = one.run("discover", "--seconds", "8s", "--json", home=client)
        (manager,) = json.loads(done.stdout)["managers"]
        assert manager["endpoints"] == [one._listen]
