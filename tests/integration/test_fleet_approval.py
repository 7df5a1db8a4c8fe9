"""Members that wait for an operator, and those that do not stay, over real connections."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import time

import anyio
import anyio.to_thread
import pytest
from taskmessenger import hosted
from taskmessenger import node as program
from taskmessenger.config.model import WorkerConfig
from taskmessenger.core.errors import Conflict, NotApproved, NotFound, Refused
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Act
from taskmessenger.net import client
from taskmessenger.net import messages as m
from taskmessenger.net.carriers import approach_of
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.invites import Invite, decode, encode
from taskmessenger.paths import under

from tests.support.fleet import Fleet, a_fleet, results, submit, unpacked
from tests.support.nodes import a_manager
from tests.support.nodes import until as seen
from tests.support.runtimes import until


async def an_invite(fleet: Fleet, role: str = "worker", uses: int = 1, **terms: bool) -> Invite:
    text, _ = await fleet.manager.make_invite(
        m.MakeInvite(0, uses, 900.0, role, **(terms or {"approve": True}))
    )
    return decode(text, time())


async def a_waiting_one(fleet: Fleet, name: str = "fern", role: str = "worker") -> Identity:
    return await client.join(await an_invite(fleet, role), name, fleet.home / name, "Linux, 8 processors")


def refusals(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the manager wrote of those whom it did not let in."""
    return [record for record in caplog.records if "was refused" in record.message]


async def test_a_worker_waits_says_so_once_and_works_once_it_is_approved(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "taskmessenger")
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        member = await a_waiting_one(fleet)
        (task,) = await submit(remote, "echo", "hello")
        node = await fleet.worker(identity=member, connected=False)
        await until(lambda: node.worker.controls.reason == member.waits)
        await until(lambda: len(refusals(caplog)) > 1)  # it has asked more than once
        assert [record.message for record in caplog.records].count(member.waits) == 1
        assert {record.levelno for record in refusals(caplog)} == {logging.DEBUG}
        (row,) = await remote.pending()
        assert (row.id, row.role, row.fingerprint) == (
            member.peer_id,
            "worker",
            member.certificate.fingerprint,
        )
        assert row.inventory == "Linux, 8 processors"
        assert await remote.workers() == [], "it is no worker yet"
        await remote.command("approve", scope=member.peer_id)
        await node.connected()
        assert unpacked((await results(remote, [task]))[task]) == "hello"
        assert await remote.pending() == []
        assert [row.id for row in await remote.workers()] == [member.peer_id]


async def test_a_worker_that_is_rejected_ends(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        member = await a_waiting_one(fleet)
        node = await fleet.worker(identity=member, connected=False)
        await until(lambda: node.worker.controls.reason == member.waits)
        await remote.command("revoke", scope=member.peer_id)
        await node.gone()
        assert type(node.error) is Refused
        assert await remote.pending() == []
        with pytest.raises(Conflict, match="was revoked"):
            await remote.command("approve", scope=member.peer_id)


async def test_unknown_ones_and_those_approved_before_are_told_apart(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        member = await a_waiting_one(fleet)
        with pytest.raises(NotFound):
            await remote.command("approve", scope="w-nobody-0000")
        await remote.command("approve", scope=member.peer_id)
        with pytest.raises(Conflict, match="approved already"):
            await remote.command("approve", scope=member.peer_id)


async def test_who_waits_still_waits_when_the_manager_comes_back(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await a_waiting_one(fleet)
        node = await fleet.worker(identity=member, connected=False)
        await until(lambda: node.worker.controls.reason == member.waits)
        await fleet.kill()
        await until(lambda: node.worker.controls.reason != member.waits)
        await fleet.start()
        await until(lambda: node.worker.controls.reason == member.waits)
        assert [row.id for row in await fleet.manager.desk.pending()] == [member.peer_id]
        await fleet.manager.approve(member.peer_id)
        await node.connected()


async def test_a_machine_that_is_started_again_while_it_waits_takes_no_second_use(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        invite = await an_invite(fleet, uses=3)
        paths, config = under(tmp_path / "machine"), WorkerConfig(name="fern")
        approach = approach_of("worker", config.zerotier, paths)
        for _ in range(2):
            await program._join(encode(invite), config, paths, approach)
        assert len(await fleet.manager.desk.pending()) == 1
        late = replace(invite, expires_at=int(time()) - 60)
        await program._join(encode(late), config, paths, approach)


async def test_an_invite_lets_no_more_wait_than_it_has_uses(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        invite = await an_invite(fleet, uses=2)
        for name in ("one", "two"):
            await client.join(invite, name, tmp_path / name)
        with pytest.raises(Refused, match="used up"):
            await client.join(invite, "three", tmp_path / "three")
        assert len(await fleet.manager.desk.pending()) == 2


@pytest.mark.parametrize("role", ["client", "operator"])
async def test_a_client_or_operator_is_refused_until_it_is_approved(tmp_path, role: str) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await a_waiting_one(fleet, "moss", role)
        with pytest.raises(NotApproved) as said:
            await client.connect(member, [fleet.address])
        assert str(said.value) == member.waits
        await fleet.manager.approve(member.peer_id)
        async with fleet.client(member) as remote:
            await remote.status()
            if role == "client":
                with pytest.raises(Refused):
                    await remote.command("approve", scope="w-x")


async def test_after_its_approval_its_certificate_is_renewed_and_keeps_its_fingerprint(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await a_waiting_one(fleet)
        await fleet.manager.approve(member.peer_id)
        node = await fleet.worker(identity=member)
        before = member.certificate
        key = node.worker._renewal_key = identities.load_key(member)
        assert node.worker.connected is not None
        node.worker.connected.session.send(m.RenewMe(identities.make_csr(key)))
        await until(lambda: node.worker.identity.certificate.serial != before.serial)
        assert node.worker.identity.certificate.fingerprint == before.fingerprint


async def test_an_alarm_says_that_somebody_waits(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await a_waiting_one(fleet)
        telemetry = fleet.manager.view.telemetry

        async def codes() -> list[str]:
            await anyio.sleep(0.3)
            await telemetry.refresh()
            return [alarm.text for alarm in telemetry.feed.newest.alarms if alarm.code == "pending"]

        with anyio.fail_after(10):
            while await codes() != ["1 member waits for approval"]:
                pass
        await fleet.manager.approve(member.peer_id)
        with anyio.fail_after(10):
            while await codes():
                pass


async def test_an_ephemeral_worker_that_leaves_is_forgotten_with_its_work_kept(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        invite = await an_invite(fleet, ephemeral=True)
        member = await client.join(invite, "fern", tmp_path / "fern")
        node = await fleet.worker(identity=member)
        (task,) = await submit(remote, "echo", "kept")
        assert (await results(remote, [task]))[task].state == TaskState.SUCCEEDED
        node.worker.stop()
        await node.gone()
        with anyio.fail_after(10):
            while await fleet.manager.store.peers():
                await anyio.sleep(0.02)
        with pytest.raises(Refused, match="not known"):
            await client.connect(member, [fleet.address])


async def test_an_ephemeral_worker_stays_while_only_its_link_is_lost(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await client.join(await an_invite(fleet, ephemeral=True), "fern", tmp_path / "fern")
        node = await fleet.worker(identity=member)
        await node.kill()
        await until(lambda: not fleet.manager.delivery.links)
        await fleet.worker(identity=member)


async def test_a_workers_own_console_says_what_it_waits_for_and_its_fingerprint(tmp_path) -> None:
    with a_manager(tmp_path) as (manager, _paths):
        text, _ = await manager.make_invite(1, 60.0, "worker", True)
        config = WorkerConfig(name="fern", capacity=1)
        hosting = hosted.worker(config, under(tmp_path / "worker"), text, {})
        worker = await anyio.to_thread.run_sync(hosting.start)
        try:
            await seen(lambda: "waits for approval" in worker.snapshot().worker.reason)
            (row,) = await manager.pending()
            assert row.fingerprint in worker.snapshot().worker.reason
            assert worker.snapshot().worker.state == "connecting"
            await manager.act(Act("approve", scope=f"worker:{row.id}"))
            await seen(lambda: worker.snapshot().worker.state == "connected")
            assert not worker.snapshot().worker.reason
        finally:
            await anyio.to_thread.run_sync(hosting.stop, 0.0)
