"""Joining, being revoked, and keeping a certificate fresh, over real connections."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import time

import anyio
import pytest
from anyio.abc import ByteStream
from taskmessenger import node as program
from taskmessenger.config.model import Leases, ManagerLimits, WorkerConfig
from taskmessenger.core.errors import (
    Conflict,
    InviteError,
    Refused,
    TaskMessengerError,
    Unreachable,
    UsageError,
)
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.net import client
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.carriers import approach_of
from taskmessenger.net.security import authority as authorities
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.certificates import Certificate
from taskmessenger.net.security.invites import encode
from taskmessenger.paths import under

from tests.support.fleet import BOUND, a_fleet, results, running, submit, unpacked
from tests.support.hostile import a_bad_worker, lease
from tests.support.runtimes import until

JOINERS = 100


async def peers(fleet, role: str = "worker") -> list[str]:
    return [row.id for row in await fleet.manager.store.peers() if row.role == role]


async def test_of_a_hundred_with_the_same_invite_exactly_one_joins(tmp_path) -> None:
    limits = ManagerLimits(unauthenticated_per_address=256)
    async with a_fleet(tmp_path, limits=limits) as fleet:
        invite = await fleet.invite()
        joined: list[str] = []
        refused: list[str] = []

        async def one(number: int) -> None:
            try:
                found = await client.join(invite, f"n{number}", tmp_path / f"joiner-{number}")
                joined.append(found.peer_id)
            except InviteError as error:
                refused.append(str(error))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for number in range(JOINERS):
                    group.start_soon(one, number)
        assert (len(joined), len(refused)) == (1, JOINERS - 1)
        assert await peers(fleet) == joined
        assert all("used up" in text for text in refused)
        assert sum(identities.is_joined(tmp_path / f"joiner-{n}") for n in range(JOINERS)) == 1


@pytest.fixture
def no_head_start(monkeypatch) -> None:
    monkeypatch.setattr(client, "STAGGER_SECONDS", 0.0)


async def test_an_invite_with_several_ways_to_one_manager_costs_one_use(tmp_path, no_head_start) -> None:
    async with a_fleet(tmp_path) as fleet:
        ways = [str(fleet.address), f"tcp://localhost:{fleet.address.port}"]
        invite = await fleet.invite(uses=5, endpoints=ways)
        assert len(invite.endpoints) == 2
        identity = await client.join(invite, "fern", tmp_path / "fern")
        row = await fleet.manager.store.invite(invite.id)
        assert row is not None
        assert row.uses_left == 4
        assert await peers(fleet) == [identity.peer_id]


async def test_several_ways_to_one_manager_make_one_session(tmp_path, no_head_start) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member()
        for _ in range(5):
            connected = await client.connect(member, [fleet.address] * 4)
            await until(lambda: len(fleet.manager.delivery.links) == 1)
            await connected.session.aclose()
            await until(lambda: not fleet.manager.delivery.links)
        assert fleet.manager._sessions._next == 5


async def test_a_way_that_leads_nowhere_delays_nobody_for_long(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member()
        nowhere = Address.parse("tcp://127.0.0.1:9")
        connected = await client.connect(member, [nowhere, fleet.address])
        assert connected.address == fleet.address
        await connected.session.aclose()
        with pytest.raises(Unreachable):
            await client.connect(member, [nowhere])


async def test_the_secret_is_not_shown_to_another_manager(tmp_path, monkeypatch) -> None:
    async with a_fleet(tmp_path / "one") as ours, a_fleet(tmp_path / "two") as theirs:
        heard: list[object] = []
        registrar = theirs.manager.registrar

        async def record(request, *more):
            heard.append(request)
            raise InviteError("no")

        monkeypatch.setattr(type(registrar), "enrol", record)
        invite = await ours.invite(endpoints=[str(theirs.address)])
        with pytest.raises(Refused):
            await client.join(invite, "fern", tmp_path / "fern")
        assert heard == []
        assert not identities.is_joined(tmp_path / "fern")


async def test_what_is_wrong_with_an_invite_is_said_in_words(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        used = await fleet.invite()
        await client.join(used, "fern", tmp_path / "fern")
        revoked = await fleet.invite()
        await fleet.manager.revoke_invite(revoked.id)
        said = []
        for invite in (used, revoked):
            with pytest.raises(InviteError) as error:
                await client.join(invite, "fern", tmp_path / "again")
            said.append(str(error.value))
        assert "used up" in said[0]
        assert "revoked" in said[1]
        with pytest.raises(TaskMessengerError, match="make a new one"):
            await client.join(changed_secret(used), "fern", tmp_path / "again")


def changed_secret(invite):
    return replace(invite, secret=bytes(len(invite.secret)))


async def test_a_machine_that_is_started_again_with_its_invite_joins_once(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        invite = await fleet.invite(uses=3)
        paths, config = under(tmp_path / "machine"), WorkerConfig(name="fern")
        approach = approach_of("worker", config.zerotier, paths)
        for _ in range(2):
            await program._join(encode(invite), config, paths, approach)
        (member,) = await peers(fleet)
        late = replace(invite, expires_at=int(time()) - 60)
        await program._join(encode(late), config, paths, approach)
        await fleet.manager.revoke(member)
        with pytest.raises(InviteError, match="expired"):
            await program._join(encode(late), config, paths, approach)
        await program._join(encode(invite), config, paths, approach)
        assert len(await peers(fleet)) == 2
        await fleet.kill()  # so it cannot be asked: what is on disk has to do
        await program._join(encode(invite), config, paths, approach)
        await fleet.start()
        assert len(await peers(fleet)) == 2
        with pytest.raises(UsageError, match="for a client"):
            await program._join(encode(await fleet.invite("client")), config, paths, approach)


async def test_a_worker_that_is_revoked_while_it_works_is_out_at_once(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad, limit=1) as peer:
            (task,) = await submit(remote, "hold", 1)
            await lease(peer)
            await peer.say(m.Started([task], [1]))
            await running(fleet, task)
            await remote.command("revoke", scope=bad.peer_id)
            assert (await peer.goodbye()).code == "refused"
            await peer.say(m.Finished([task], [1], [b"\xa6forged"], [0.1]))
            await peer.closed()
            await until(lambda: fleet.pool.tasks[task].state is TaskState.QUEUED)
        honest = await fleet.worker("w-good-0002")
        await running(fleet, task)
        honest.puppet.finish(task, "true")
        assert unpacked((await results(remote, [task]))[task]) == "true"
        with pytest.raises(Refused, match="revoked"):
            await client.connect(bad, [fleet.address])
        assert (await remote.workers())[0].state == "revoked"


async def test_a_revoked_worker_that_reads_nothing_is_out_all_the_same(tmp_path) -> None:
    # Its silence is long in coming: what ends it is the revocation.
    leases = Leases(ttl=2 * BOUND, dead_after=2 * BOUND)
    async with a_fleet(tmp_path, leases=leases) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad, capacity=64, limit=64):
            await submit(remote, "hold", *(bytes(1024 * 1024) for _ in range(32)))
            (link,) = (k for k in fleet.manager.delivery.links.values() if hasattr(k, "worker"))
            await until(lambda: link.pending > 1024 * 1024)
            await fleet.manager.revoke(bad.peer_id)
            with anyio.fail_after(BOUND):
                while link.number in fleet.manager.delivery.links:
                    await anyio.sleep(0.01)
        await until(lambda: not fleet.pool.workers)


async def test_an_honest_worker_that_is_revoked_ends_and_says_so(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        await fleet.manager.revoke(node.id)
        await node.gone()
        assert isinstance(node.error, Refused)
        assert node.puppet.closed


async def test_a_revoked_client_is_cut_off_too(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        customer = await fleet.member("client", "c-fern-0001")
        async with fleet.client(customer, patience=10) as remote:
            await remote.status()
            await fleet.manager.revoke(customer.peer_id)
            await until(lambda: not remote.connected)
            with pytest.raises(Refused), anyio.fail_after(BOUND):
                await remote.status()


def short_lived(monkeypatch, seconds: float) -> None:
    """Let certificates of members be good for so long, and from now on, not from ten minutes ago."""
    issue = authorities.Authority.issue

    def brief(self, csr_der, role, peer_id, now, days=0.0):
        return issue(self, csr_der, role, peer_id, now, seconds / 86_400)

    monkeypatch.setattr(authorities, "CLOCK_TOLERANCE", 0.0)
    monkeypatch.setattr(authorities.Authority, "issue", brief)


async def test_a_certificate_is_renewed_while_tasks_run(tmp_path, monkeypatch) -> None:
    short_lived(monkeypatch, 6)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        first: Certificate = node.worker.identity.certificate
        assert first.not_after - time() < 10
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        sessions = fleet.manager._sessions._next
        await until(lambda: node.worker.identity.certificate.serial != first.serial)
        await until(lambda: time() > first.not_after + 0.5)
        assert node.worker.connected is not None, "the session outlives the certificate that opened it"
        second = node.worker.identity.certificate
        await until(lambda: node.worker.identity.certificate.serial != second.serial)
        node.puppet.finish(task)
        found = (await results(remote, [task]))[task]
        assert (found.state, found.attempt) == (TaskState.SUCCEEDED, 1)
        assert fleet.manager._sessions._next == sessions, "one session, all the time"
        kept = identities.load(node.worker.identity.folder, "worker")
        assert kept.certificate.serial == node.worker.identity.certificate.serial


async def test_a_renewal_that_is_lost_on_the_way_is_asked_for_again(tmp_path, monkeypatch) -> None:
    short_lived(monkeypatch, 9)
    async with a_fleet(tmp_path) as fleet:
        registrar = fleet.manager.registrar
        renew, asked = registrar.renew, []

        async def lose_the_first(self, *arguments):
            granted = await renew(*arguments)
            asked.append(granted)
            if len(asked) == 1:
                next(iter(fleet.manager.delivery.links.values())).cut("overloaded", "try again")
            return granted

        monkeypatch.setattr(type(registrar), "renew", lose_the_first)
        node = await fleet.worker()
        first = node.worker.identity.certificate
        await until(lambda: node.worker.identity.certificate.serial != first.serial)
        assert len(asked) >= 2


async def test_the_second_of_two_processes_with_one_identity_stays(tmp_path, caplog) -> None:
    caplog.set_level(logging.ERROR)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        older = await fleet.worker()
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        newer = await fleet.worker(identity=older.worker.identity)
        await older.gone()
        assert isinstance(older.error, Conflict)
        assert newer.worker.connected is not None
        await running(fleet, task)
        assert newer.puppet.begun == [(task, 2)]
        newer.puppet.finish(task)
        assert (await results(remote, [task]))[task].state == TaskState.SUCCEEDED
        assert (await remote.status()).workers == 1
    assert not caplog.records


async def test_a_stream_that_ends_in_the_middle_of_joining_takes_no_use(tmp_path, monkeypatch) -> None:
    async with a_fleet(tmp_path) as fleet:
        invite = await fleet.invite()
        shown = client.Session.hear

        async def hear_and_lose(self):
            message = await shown(self)
            stream: ByteStream = self._stream
            await anyio.aclose_forcefully(stream)
            return message

        with monkeypatch.context() as patch:
            patch.setattr(client.Session, "hear", hear_and_lose)
            with pytest.raises(TaskMessengerError):
                await client.join(invite, "fern", tmp_path / "fern")
        await client.join(invite, "fern", tmp_path / "fern")
        assert len(await peers(fleet)) == 1
