"""Many connections at once: of strangers, or of one member. Honest ones get in, above all the operator."""

from __future__ import annotations

import resource
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import anyio
import pytest
from taskmessenger.config.model import ManagerLimits
from taskmessenger.core.errors import Overloaded, TaskMessengerError
from taskmessenger.handle import Group
from taskmessenger.net import client
from taskmessenger.net import messages as m

from tests.support.fleet import BOUND, a_fleet, alarms, results, submit
from tests.support.hostile import LONG, Peer, a_guest, a_peer, hello
from tests.support.processes import Fleet as Processes
from tests.support.processes import fleet as processes
from tests.support.runtimes import until

HONEST = 10
MIB = 1 << 20


@asynccontextmanager
async def half_open(port: int, addresses: int, each: int) -> AsyncIterator[None]:
    """So many connections from so many addresses; each that is closed is opened again."""

    async def keep(host: str) -> None:
        while True:
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.bind((host, 0))
                sock.connect_ex(("127.0.0.1", port))
                try:
                    await anyio.wait_writable(sock)
                    sock.send(b"\x16\x03\x01")
                    await anyio.wait_readable(sock)  # it is hung up on
                except OSError:
                    pass
            await anyio.sleep(0.2)

    async with anyio.create_task_group() as group:
        for number in range(addresses * each):
            group.start_soon(keep, f"127.0.3.{1 + number % addresses}")
        await anyio.sleep(0.5)
        yield
        group.cancel_scope.cancel()


async def last_word(peer: Peer) -> str:
    """Why the manager does not want it; a link that is cut may break before that is read."""
    try:
        return str((await peer.goodbye()).code)
    except AssertionError:
        return "peer_error"


async def test_crowds_from_many_addresses_keep_no_honest_one_out(tmp_path) -> None:
    limits = ManagerLimits(unauthenticated=100, unauthenticated_per_address=16)
    async with a_fleet(tmp_path, limits=limits) as fleet:
        member = await fleet.member()
        async with half_open(fleet.address.port, 12, 16):
            for _ in range(HONEST):
                with anyio.fail_after(BOUND):
                    connected = await client.connect(member, [fleet.address])
                await connected.session.aclose()
            async with fleet.operator() as remote:
                assert (await remote.status()).accepted == 0


async def test_a_crowd_behind_the_address_of_an_honest_one_keeps_it_out_no_more(tmp_path) -> None:
    limits = ManagerLimits(unauthenticated=100, unauthenticated_per_address=16)
    async with a_fleet(tmp_path, limits=limits) as fleet, AsyncExitStack() as stack:
        member = await fleet.member()
        for _ in range(40):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", fleet.address.port))
        await anyio.sleep(0.2)
        for _ in range(HONEST):
            with anyio.fail_after(BOUND):
                connected = await client.connect(member, [fleet.address])
            await connected.session.aclose()


async def test_handshakes_without_a_certificate_without_end_keep_no_honest_one_out(tmp_path) -> None:
    done = 0

    async def shake_hands(fleet) -> None:
        nonlocal done
        while True:
            with suppress(TaskMessengerError, OSError, anyio.BrokenResourceError):
                async with a_peer(fleet, None):
                    done += 1

    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote, anyio.create_task_group() as group:
        member = await fleet.member()
        for _ in range(12):
            group.start_soon(shake_hands, fleet)
        await until(lambda: done >= 100)
        for _ in range(HONEST):
            with anyio.fail_after(BOUND):
                connected = await client.connect(member, [fleet.address])
            await connected.session.aclose()
        assert (await remote.status()).accepted == 0
        before = done
        await until(lambda: done > before)
        group.cancel_scope.cancel()


async def test_guesses_of_a_secret_wait_longer_and_tell_nothing(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        invite = await fleet.invite(uses=3)
        said = []
        for number in range(7):
            guess = replace(invite, secret=secrets.token_bytes(len(invite.secret)))
            unknown = replace(guess, id=invite.id[::-1])
            with pytest.raises(TaskMessengerError) as refusal:
                await client.join(unknown if number % 2 else guess, "fern", tmp_path / "guess")
            said.append(str(refusal.value))
        assert len({text.replace(invite.id[::-1], invite.id) for text in said[:4]}) == 1, said
        assert all("too many failed" in text for text in said[5:]), said
        assert not await fleet.manager.store.peers()


async def test_one_certificate_takes_nobody_elses_place(tmp_path) -> None:
    limits = ManagerLimits(sessions=40, sessions_per_member=8)
    async with a_fleet(tmp_path, leases=LONG, limits=limits) as fleet, AsyncExitStack() as stack:
        greedy = await fleet.member("client", "c-greedy-0001")
        for _ in range(8):
            await stack.enter_async_context(a_guest(fleet, greedy))
        for _ in range(20):
            async with a_peer(fleet, greedy) as peer:
                await peer.say(hello("client"))
                assert (await peer.goodbye()).code == "overloaded"
        await fleet.worker()
        other = await fleet.member("client", "c-honest-0002")
        async with fleet.client(other) as remote:
            ids = await submit(remote, "echo", 1, 2)
            assert len(await results(remote, ids)) == 2


async def test_when_all_sessions_are_taken_operators_still_come_in_and_end_them(tmp_path) -> None:
    limits = ManagerLimits(sessions=6, sessions_per_member=8)
    async with a_fleet(tmp_path, leases=LONG, limits=limits) as fleet, AsyncExitStack() as stack:
        greedy = await fleet.member("client", "c-greedy-0001")
        for _ in range(6):
            await stack.enter_async_context(a_guest(fleet, greedy))
        worker = await fleet.member()
        with pytest.raises(Overloaded, match="6 sessions"):
            await client.connect(worker, [fleet.address])
        boss = await fleet.member("operator", "o-boss-0002")
        async with fleet.client(boss) as remote:
            await remote.status()
        async with fleet.operator() as remote:
            await remote.command("revoke", scope=greedy.peer_id)
        await until(lambda: len(fleet.manager.delivery.links) == 0)
        connected = await client.connect(worker, [fleet.address])
        await connected.session.aclose()


async def test_who_breaks_the_protocol_again_and_again_is_kept_out_shown_and_revoked(
    tmp_path, caplog
) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        answers: list[str] = []
        for _ in range(30):
            async with a_peer(fleet, bad) as peer:
                await peer.say(hello(), m.Finished([1, 2], [1], [b"\xc0"], [0.1]))
                answers.append(await last_word(peer))
        assert answers.count("peer_error") <= 10, "it is kept out for longer each time"
        assert answers.count("overloaded") >= 20
        lines = [r for r in caplog.records if "w-bad-0001 broke the protocol" in r.getMessage()]
        assert 1 <= len(lines) <= 5
        (alarm,) = await alarms(fleet, "misbehaves")
        assert "taskmessenger worker revoke w-bad-0001" in alarm
        await remote.command("revoke", scope="w-bad-0001")
        with pytest.raises(TaskMessengerError, match="revoked"):
            await client.connect(bad, [fleet.address])


@pytest.mark.parametrize("files", [256, 1_024])
async def test_few_descriptors_and_a_crowd_end_no_manager(tmp_path, files: int) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = min(1_216, soft - 500)
    assert crowd >= files // 2, "this test itself needs more files"
    with processes(tmp_path / "f") as fleet:
        fleet.limits = f"ulimit -n {files}"
        manager = await anyio.to_thread.run_sync(fleet.manager)
        await anyio.to_thread.run_sync(fleet.worker)
        port = int(fleet._listen.rpartition(":")[2])
        async with half_open(port, 19, crowd // 19):
            ids = await anyio.to_thread.run_sync(_work, fleet)
        assert len(ids) == 3
        assert manager.running
        assert "disk failed" not in manager.said()
        assert f"too few files ({files})" in manager.said()


def _work(fleet: Processes) -> list[int]:
    """A large payload is handed in, and comes back."""

    async def there_and_back(remote) -> list[int]:
        payload = b"\xc4" + bytes([255]) + bytes(255)
        large = b"\xc6" + (2 * MIB).to_bytes(4, "big") + bytes(2 * MIB)
        ids = (await remote.submit([Group("echo", [payload, large, large])])).ids
        with anyio.fail_after(2 * BOUND):
            await remote.wait(ids)
        return ids

    return fleet.ask(there_and_back)
