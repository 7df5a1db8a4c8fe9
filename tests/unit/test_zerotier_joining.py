"""A node that its network has not let in yet: it is seen, it can be stopped, and nobody else waits for it.

A fake at the binding seam stands for libzt and the controller; no node is started.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner
from taskmessenger.cli import doctor
from taskmessenger.cli.connect import dialler
from taskmessenger.cli.zerotier import zerotier
from taskmessenger.config.model import ManagerConfig, ManagerZeroTier, Transport, WorkerZeroTier
from taskmessenger.core.errors import AddressTaken, TaskMessengerError, Unreachable
from taskmessenger.net import approach as approaches
from taskmessenger.net import client
from taskmessenger.net import transport as transports
from taskmessenger.net.address import Address
from taskmessenger.net.approach import Approach
from taskmessenger.net.carriers import Listening, approach_for_a_command
from taskmessenger.net.client import Connected
from taskmessenger.net.tcp import TcpTransport
from taskmessenger.net.transport import Listener
from taskmessenger.net.zerotier import binding, library, report
from taskmessenger.net.zerotier import node as nodes
from taskmessenger.net.zerotier import overlay as overlays
from taskmessenger.net.zerotier import search as searches
from taskmessenger.net.zerotier import status as looks
from taskmessenger.net.zerotier.network import address_of, private_network
from taskmessenger.net.zerotier.node import running
from taskmessenger.net.zerotier.overlay import Overlay, Places, places_of
from taskmessenger.net.zerotier.roots import OwnRoots, own_roots
from taskmessenger.net.zerotier.status import root_answers
from taskmessenger.net.zerotier.way import Way
from taskmessenger.paths import find, under
from taskmessenger.remote import attach
from taskmessenger.roles import entrances
from taskmessenger.roles.checkup import Checkup
from taskmessenger.roles.manager import Manager
from taskmessenger.store.sqlite import SqliteStore

from tests.support.zerotier_fake import AN_IDENTITY, FakeLibzt, loaded

NETWORK = "8056c2e21c000001"
THERE = Address("zt", host="1111111111", port=7711, network=NETWORK)
TCP = Address.parse("tcp://127.0.0.1:1")
AUTHORISE = "authorise node 8056c2e21c at the controller"
BOUND = 10.0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibzt]:
    fake = FakeLibzt()

    async def own(_: Overlay) -> tuple[object, object]:
        return loaded(fake), AN_IDENTITY

    monkeypatch.setattr(nodes, "_current", None)
    monkeypatch.setattr(nodes, "service", lambda _: int(fake.up))
    monkeypatch.setattr(Overlay, "_own", own)
    monkeypatch.setattr(Overlay, "_roots_of", lambda *_: own_roots([(AN_IDENTITY.public, ["10.88.0.1/1"])]))
    monkeypatch.setattr(report, "LOOK_SECONDS", 0.01)
    yield fake
    assert not fake.up, "nobody has stopped the node"


@asynccontextmanager
async def an_overlay(home: Path) -> AsyncIterator[Overlay]:
    made = Overlay(WorkerZeroTier(), Places(identity=home / "identity", state=home / "state"))
    yield made
    await made.stop()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(BOUND):
        while not condition():
            await anyio.sleep(0.01)


async def test_with_a_fake_at_the_binding_seam_a_denied_node_is_seen_by_status_and_doctor_and_then_let_in(
    fake: FakeLibzt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "load", lambda *_: loaded(fake))
    paths = find()
    made = Overlay(WorkerZeroTier(), places_of("worker", WorkerZeroTier(), paths))

    def joined_as() -> str:
        found = report.read(paths.node_state("worker"))
        return "" if found is None else str(found.status["join"]["state"])

    def said() -> str:
        return "".join(
            CliRunner().invoke(command, words).output
            for command, words in ((zerotier, ["status"]), (doctor.doctor, []))
        )

    fake.status = binding.NETWORK_REQUESTING
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.report)
        tasks.start_soon(made.prepare, THERE)
        await until(lambda: joined_as() == "requesting")
        assert (await anyio.to_thread.run_sync(said)).count("is silent so far") == 2
        fake.status = binding.NETWORK_NOT_FOUND
        await until(lambda: joined_as() == "not_found")
        assert (await anyio.to_thread.run_sync(said)).count("does not exist at controller") == 2
        fake.status = binding.NETWORK_DENIED
        await until(lambda: joined_as() == "denied")
        assert (await anyio.to_thread.run_sync(said)).count(AUTHORISE) == 2
        fake.status = binding.NETWORK_OK
        await until(lambda: joined_as() == "ready")
        assert AUTHORISE not in await anyio.to_thread.run_sync(said)
        tasks.cancel_scope.cancel()
    await made.stop()


async def test_with_a_fake_at_the_binding_seam_who_has_the_address_of_the_manager_is_told_so_and_dials_nobody(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    manager = f"{int(AN_IDENTITY.node_id, 16) ^ 1 << 39:010x}"
    assert address_of(manager) == address_of(AN_IDENTITY.node_id), "two nodes, one address"
    network = private_network(manager)
    fake.address = str(address_of(AN_IDENTITY.node_id))
    there = Address("zt", host=manager, port=7711, network=str(network))
    async with an_overlay(tmp_path) as overlay:
        with pytest.raises(
            AddressTaken, match=f"belongs to {there}: node {AN_IDENTITY.node_id} needs another"
        ):
            await overlay.prepare(there)


async def test_with_a_fake_at_the_binding_seam_a_node_that_is_not_let_in_can_be_stopped_meanwhile(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    fake.status = binding.NETWORK_DENIED
    async with an_overlay(tmp_path) as overlay:
        with anyio.fail_after(BOUND):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_in_vain, overlay.prepare)
                await until(lambda: fake.up and overlay.running)
                await overlay.stop()
        assert not fake.up
        assert running() is None


async def _in_vain(prepare: Callable[[Address], Awaitable[object]]) -> None:
    with pytest.raises(Unreachable):
        await prepare(THERE)


async def test_with_a_fake_at_the_binding_seam_tcp_does_not_wait_for_a_network_that_lets_nobody_in(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    fake.status = binding.NETWORK_DENIED
    async with an_overlay(tmp_path) as overlay:

        async def attempt(address: Address) -> str:
            if address.scheme == "zt":
                await overlay.prepare(address)
            await until(lambda: fake.up)
            return address.scheme

        with anyio.fail_after(BOUND):
            assert await client._first(attempt, [TCP, THERE]) == "tcp"
        assert overlay.running, "whoever holds it knows that there is something to stop"


async def test_with_a_fake_at_the_binding_seam_a_worker_outlives_its_authorisation(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_overlay(tmp_path) as overlay, Approach(lambda: overlay) as approach:

        async def connect(*_: object, **options: Any) -> Connected:
            await options["prepare"](THERE)
            if fake.status == binding.NETWORK_OK and not fake.calls.count("zts_net_leave"):
                return Connected(None, None, THERE)  # type: ignore[arg-type]
            raise Unreachable("nobody answers")

        monkeypatch.setattr(approaches, "connect", connect)
        await approach.connect(None, [THERE])  # type: ignore[arg-type]
        assert overlay.node is not None
        overlay.node.settings = replace(overlay.node.settings, join_seconds=0.1)
        fake.status = binding.NETWORK_DENIED
        with pytest.raises(Unreachable, match=AUTHORISE):  # `Refused` would be the manager's last word
            await approach.connect(None, [THERE])  # type: ignore[arg-type]
        with pytest.raises(Unreachable, match=AUTHORISE):
            await overlay.restart()
        fake.status = binding.NETWORK_OK
        await approach.connect(None, [THERE])  # type: ignore[arg-type]


async def test_with_a_fake_at_the_binding_seam_a_newcomer_that_is_not_let_in_is_seen_while_it_joins(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approaches, "LOOK_SECONDS", 0.01)
    fake.status = binding.NETWORK_DENIED

    async def join(*_: object, **options: Any) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(options["prepare"], THERE)
            await until(lambda: report.read(tmp_path / "state"))
            tasks.cancel_scope.cancel()
        raise Unreachable("nobody answers")

    monkeypatch.setattr(approaches, "join", join)
    async with an_overlay(tmp_path) as overlay, Approach(lambda: overlay) as approach:
        with pytest.raises(Unreachable, match="nobody answers"):
            await approach.join(None, "fern", tmp_path)  # type: ignore[arg-type]


class OverTcp(TcpTransport):
    """In place of sockets on the overlay, which a fake has not."""

    async def listen(self, address: Address) -> Listener:
        return await super().listen(Address.parse("tcp://127.0.0.1:0"))


async def test_with_a_fake_at_the_binding_seam_a_manager_that_is_not_let_in_serves_tcp_and_goes_on_waiting(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(entrances, "FIRST_SECONDS", 0.05)
    monkeypatch.setitem(transports._TRANSPORTS, "zt", OverTcp)  # type: ignore[arg-type]
    fake.status = binding.NETWORK_DENIED
    paths = under(tmp_path)
    config = ManagerConfig(
        transport=Transport(listen=("zt://:7711", "tcp://127.0.0.1:0")),
        zerotier=ManagerZeroTier(network="existing", network_id=NETWORK),
    )
    for folder in (paths.database.parent, paths.socket.parent):
        folder.mkdir(mode=0o700, parents=True)
    carriers = Listening(config, paths)
    role = Manager(config, paths, SqliteStore(paths.database, ballast=0, low_water=0), carriers)
    with anyio.fail_after(BOUND):
        async with carriers, anyio.create_task_group() as tasks:
            (only,) = await tasks.start(role.run)
            assert only.startswith("tcp://")
            assert AUTHORISE in caplog.text
            assert (await asked(paths)).listening == (only,)
            tasks.start_soon(carriers.report)
            await until(lambda: report.read(paths.node_state("manager")))
            found = report.read(paths.node_state("manager"))
            assert found is not None
            assert AUTHORISE in found.status["problems"][0]
            role.view.network_rows = Checkup(paths, carriers.look).rows
            rows = {row.what: row for row in (await role.view.network()).rows}
            assert (rows["zerotier"].state, rows["zerotier"].cure) == ("bad", AUTHORISE)
            assert ("zerotier node" in rows, rows["network"].state) == (True, "warn")
            assert rows["listening"].value == "not yet at zt://:7711"
            fake.status = binding.NETWORK_OK
            await until(lambda: len(role.desk.listening) == 2)
            overlay, direct = map(Address.parse, (await asked(paths)).listening)
            assert (str(direct), overlay.scheme) == (only, "zt")
            assert Way.unpack(role._listening[0].way).address == fake.address
            role.stop(0.0)
            await until(lambda: not paths.socket.exists())
            tasks.cancel_scope.cancel()


async def asked(paths: Any) -> Any:
    async with attach(dialler(paths)) as remote:
        return await remote.status()


async def test_a_manager_that_stops_does_not_wait_for_its_network(tmp_path: Path) -> None:
    class Never:
        async def before_listening(self, address: Address, patience: float = 1e9) -> Address:
            await anyio.sleep(0 if patience < BOUND else patience)
            raise Unreachable("not let in")

    told: list[object] = []
    ways = entrances.Entrances(Never(), told.append)  # type: ignore[arg-type]
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as tasks, ways:
            await ways.open([THERE])
            ways.serve(tasks, None)  # type: ignore[arg-type]
            await anyio.sleep(0)
    assert told == [[]]


def test_commands_of_clients_and_operators_take_what_is_set_about_zerotier(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "ENABLED": "false", "NETWORK": "existing", "NETWORK_ID": NETWORK, "PORT": "7799",
        "ROOTS": "/opt/planet", "LIBRARY_PATH": "/opt/libzt.so", "IDENTITY_PATH": "/opt/worker",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"TASKMESSENGER_ZEROTIER_{name}", value)
    paths = under(own_home)
    overlay = approach_for_a_command("client", paths)._make()
    assert overlay.config == WorkerZeroTier(
        enabled=False,
        network="existing",
        network_id=NETWORK,
        roots="/opt/planet",
        library_path="/opt/libzt.so",
    ), "and neither the worker's port nor its identity"
    assert overlay.places.identity == paths.node("client")


def test_a_command_is_told_what_is_wrong_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMESSENGER_ZEROTIER_NETWORK", "existing")
    with pytest.raises(TaskMessengerError, match="network_id"):
        approach_for_a_command("client", find())._make()


def where(overlay: Overlay) -> tuple[str, ...]:
    """The endpoints of its root that its node was given."""
    assert overlay.node is not None
    roots = overlay.node.settings.roots
    assert isinstance(roots, OwnRoots)
    return roots.roots[0].endpoints


@pytest.fixture
def silent(fake: FakeLibzt, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, ...]]:
    """A root with three endpoints; the node hears nothing where it was given one of these sets."""
    fake.status = binding.NETWORK_OK
    quiet: set[tuple[str, ...]] = set()
    endpoints = tuple(f"10.88.0.{n}/1" for n in (1, 2, 3))

    def answers(node: nodes.Node) -> bool:
        assert isinstance(node.settings.roots, OwnRoots)
        return node.settings.roots.roots[0].endpoints not in quiet

    monkeypatch.setattr(searches, "_distance", endpoints.index)
    monkeypatch.setattr(Overlay, "_roots_of", lambda *_: own_roots([(AN_IDENTITY.public, endpoints)]))
    monkeypatch.setattr(overlays, "root_answers", answers)
    monkeypatch.setattr(overlays, "can_tell", lambda _: True)
    monkeypatch.setattr(overlays, "ROOT_SECONDS", 0.01)
    monkeypatch.setattr(overlays, "ROOT_POLL_SECONDS", 0.001)
    return quiet


FIRST, SECOND, THIRD = ("10.88.0.1/1",), ("10.88.0.2/1",), ("10.88.0.3/1",)


async def test_with_a_fake_at_the_binding_seam_a_silent_root_is_looked_for_at_its_other_endpoints(
    silent: set[tuple[str, ...]], tmp_path: Path
) -> None:
    silent |= {FIRST, SECOND}
    async with an_overlay(tmp_path) as overlay:
        await overlay.prepare(THERE)
        assert where(overlay) == THIRD
        silent.add(THIRD)
        await overlay.prepare(THERE)  # it was found there, and may be coming back
        assert where(overlay) == THIRD
        await overlay.restart()
        assert where(overlay) == THIRD
        await overlay.prepare(THERE)
        assert where(overlay) == FIRST + SECOND + THIRD
        silent -= {SECOND, FIRST + SECOND + THIRD}
        await overlay.restart()
        silent.add(FIRST + SECOND + THIRD)
        await overlay.restart()
        await overlay.prepare(THERE)
        assert where(overlay) == SECOND


async def test_with_a_fake_at_the_binding_seam_a_root_that_does_not_come_back_is_looked_for_elsewhere(
    silent: set[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_overlay(tmp_path) as overlay:
        await overlay.prepare(THERE)
        silent |= {FIRST}
        monkeypatch.setattr(searches, "LOST_SECONDS", -1.0)
        await overlay.prepare(THERE)
        assert where(overlay) == SECOND


async def test_a_node_that_cannot_be_looked_at_just_now_has_not_heard_a_root(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.status = binding.NETWORK_OK
    async with an_overlay(tmp_path) as overlay:
        await overlay.prepare(THERE)
        assert overlay.node is not None
        assert root_answers(overlay.node)  # this library never tells
        monkeypatch.setattr(looks, "can_tell", lambda _: True)
        assert not root_answers(overlay.node)


async def test_with_a_fake_at_the_binding_seam_two_look_for_a_root_as_one(
    silent: set[tuple[str, ...]], tmp_path: Path
) -> None:
    silent |= {FIRST, SECOND}
    async with an_overlay(tmp_path) as overlay:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(overlay.prepare, THERE)
            tasks.start_soon(overlay.prepare, THERE)
        assert where(overlay) == THIRD


async def test_with_a_library_that_does_not_tell_a_node_is_given_all_endpoints(
    silent: set[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlays, "can_tell", lambda _: False)
    monkeypatch.setattr(overlays, "root_answers", root_answers)
    async with an_overlay(tmp_path) as overlay:
        await overlay.prepare(THERE)
        assert where(overlay) == FIRST + SECOND + THIRD


async def test_with_a_fake_at_the_binding_seam_a_root_that_is_nowhere_is_asked_for_at_all_its_endpoints(
    silent: set[tuple[str, ...]], tmp_path: Path
) -> None:
    silent |= {FIRST, SECOND, THIRD, FIRST + SECOND + THIRD}
    async with an_overlay(tmp_path) as overlay:
        await overlay.prepare(THERE)
        assert where(overlay) == FIRST + SECOND + THIRD
        starts = overlay.node
        await overlay.prepare(THERE)
        assert overlay.node is starts


async def test_with_a_fake_at_the_binding_seam_a_node_is_stopped_while_it_looks_for_its_root(
    silent: set[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent.add(FIRST)
    monkeypatch.setattr(overlays, "ROOT_SECONDS", 0.2)
    errors: list[BaseException] = []

    async def look(overlay: Overlay) -> None:
        try:
            await overlay.prepare(THERE)
        except Unreachable as error:
            errors.append(error)

    async with an_overlay(tmp_path) as overlay, anyio.create_task_group() as tasks:
        tasks.start_soon(look, overlay)
        await until(lambda: overlay.running)
        await overlay.stop()
    assert "was stopped while" in str(errors[0])
    assert not overlay.running
