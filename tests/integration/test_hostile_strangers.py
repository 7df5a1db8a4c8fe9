"""Strangers at the door: slow, mute, lost, or with the wrong papers. Nobody else has to wait for them."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from contextlib import AsyncExitStack
from random import Random
from time import time

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSStream
from taskmessenger.config.model import Leases, ManagerLimits
from taskmessenger.core.errors import Refused, TaskMessengerError
from taskmessenger.net import client
from taskmessenger.net import messages as m
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.certificates import Certificate
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.names import MANAGER_NAME
from taskmessenger.net.security.tls import ALPN, HANDSHAKE_SECONDS, join_context
from taskmessenger.net.session import STREAM_ENDED
from taskmessenger.net.sockets import SocketStream

from tests.support.fleet import a_fleet, results, submit
from tests.support.fleet_ca import a_fleet as an_authority
from tests.support.fleet_ca import a_member
from tests.support.hostile import NothingMore, Peer, a_guest, a_peer, hello, raw
from tests.support.runtimes import until

SOCKETS = 1_000
ADDRESSES = 16


async def from_address(fleet, host: str) -> SocketStream:
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((host, 0))
    sock.connect_ex(("127.0.0.1", fleet.address.port))
    await anyio.wait_writable(sock)
    return SocketStream(sock)


async def ends(stream) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while True:
            found += await stream.receive()
    except STREAM_ENDED:
        return found


async def test_a_thousand_slow_strangers_keep_no_worker_from_joining(tmp_path, caplog) -> None:
    caplog.set_level(logging.ERROR)
    limits = ManagerLimits(handshake_seconds=60.0)
    async with a_fleet(tmp_path, limits=limits) as fleet, AsyncExitStack() as stack:
        member = await fleet.member()
        for n in range(SOCKETS):
            stream = await from_address(fleet, f"127.0.1.{n % ADDRESSES + 1}")
            stack.push_async_callback(stream.aclose)
            await stream.send(b"\x16")
        with anyio.fail_after(10):  # and not the minute that each of the slow ones has
            connected = await client.connect(member, [fleet.address])
        await connected.session.aclose()
    assert not caplog.records


async def test_slow_strangers_are_cut_off_in_time(tmp_path) -> None:
    async with a_fleet(tmp_path, limits=ManagerLimits(handshake_seconds=0.3)) as fleet:
        mute = await raw(fleet.address)
        begun = await raw(fleet.address)
        await begun.send(b"\x16\x03\x01")
        async with a_peer(fleet, None) as greeted:
            with anyio.fail_after(10):
                assert await ends(mute) == b""
                assert await ends(begun) == b""
                assert not await greeted.closed()
        await mute.aclose()
        await begun.aclose()


async def test_one_address_may_not_take_all_the_room(tmp_path) -> None:
    limits = ManagerLimits(unauthenticated=100, unauthenticated_per_address=8)
    async with a_fleet(tmp_path, limits=limits) as fleet, AsyncExitStack() as stack:
        streams = [await from_address(fleet, "127.0.1.1") for _ in range(20)]
        for stream in streams:
            stack.push_async_callback(stream.aclose)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for stream in streams[:12]:  # the earlier ones make room
                    group.start_soon(ends, stream)
        member = await fleet.member()
        with anyio.fail_after(10):
            connected = await client.connect(member, [fleet.address])
        await connected.session.aclose()


def old_tls() -> bytes:
    """The first message of somebody who speaks TLS 1.2 at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


WRONG = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "tls 1.2": old_tls,
    "random": b"\x00" + Random(7).randbytes(4_000),
    "nothing": b"",
    "our frames without tls": b"\0\0\0\x05\x01\0\0\0hello",
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG.keys())
async def test_another_protocol_is_closed_soon_without_a_traceback(tmp_path, words, caplog) -> None:
    caplog.set_level(logging.INFO)
    words = words() if callable(words) else words
    async with a_fleet(tmp_path) as fleet:
        caplog.clear()
        times = []
        for _ in range(10):
            stream = await raw(fleet.address)
            await stream.send(words) if words else await stream.send_eof()
            start = anyio.current_time()
            with anyio.fail_after(30):
                await ends(stream)  # it is the manager that hangs up
            times.append(anyio.current_time() - start)
            await stream.aclose()
        assert max(times) < HANDSHAKE_SECONDS / 2, "at once, and not when the time for a handshake is over"
        complaints = [r for r in caplog.records if "refused" in r.getMessage()]
        assert len(complaints) <= 1 + 5, "at most one a second"
        assert not [r for r in caplog.records if r.exc_info or r.levelno > logging.WARNING]
        async with fleet.operator() as remote:
            await remote.status()


async def test_tls_for_something_else_is_no_way_in(tmp_path) -> None:
    """With a member's own certificate, so that nothing is wrong with it but what it speaks."""
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member()
        assert await is_let_in(fleet, member, [ALPN])
        for spoken in (["h2"], [f"{ALPN}0"], []):
            assert not await is_let_in(fleet, member, spoken), spoken
        assert await is_let_in(fleet, member, ["h2", ALPN]), "what both can speak is spoken"


async def is_let_in(fleet, member: Identity, protocols: list[str]) -> bool:
    """Whether a worker that offers to speak these inside TLS is made welcome, whatever was agreed upon."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=member.ca_pem)
    context.load_cert_chain(member.key_path)
    if protocols:
        context.set_alpn_protocols(protocols)
    stream = await raw(fleet.address)
    try:
        secure = await TLSStream.wrap(
            stream, hostname=MANAGER_NAME, ssl_context=context, standard_compatible=False
        )
        peer = Peer(secure)
        await peer.say(hello("worker"))
        return isinstance(await peer.hear((m.Welcome, m.Refusal, m.Goodbye)), m.Welcome)
    except (NothingMore, ssl.SSLError):
        return False
    finally:
        await anyio.aclose_forcefully(stream)


async def refusal(fleet, member: Identity | None, role: str, context: ssl.SSLContext | None = None) -> str:
    """How an attempt to come in as `role` ends: with a word, or with the end of the connection."""
    try:
        async with a_peer(fleet, member, context=context) as peer:
            await peer.say(hello(role))
            answer = await peer.hear((m.Welcome, m.Refusal, m.Goodbye))
            return "welcome" if isinstance(answer, m.Welcome) else answer.code
    except TaskMessengerError as error:
        return error.code
    except NothingMore:
        return "closed"


async def test_nobody_comes_in_without_the_right_certificate(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        worker = await fleet.member("worker", "w-fern-0001")
        customer = await fleet.member("client", "c-fern-0002")
        revoked = await fleet.member("worker", "w-gone-0003")
        await fleet.manager.revoke(revoked.peer_id)
        authority = fleet.manager.authority
        foreign = a_member(an_authority(tmp_path / "elsewhere"), tmp_path / "elsewhere")
        forgotten = a_member(authority, tmp_path / "forgotten", peer_id="w-never-0004")
        expired = a_member(authority, tmp_path / "expired", peer_id="w-fern-0001", issued=-40 * 86_400)
        raised = a_member(authority, tmp_path / "raised", role="operator", peer_id="w-fern-0001")
        attempts = {
            "no certificate": (None, "worker"),
            "another fleet's": (foreign, "worker"),
            "revoked": (revoked, "worker"),
            "never joined": (forgotten, "worker"),
            "expired": (expired, "worker"),
            "a worker as operator": (worker, "operator"),
            "a worker as client": (worker, "client"),
            "a client as worker": (customer, "worker"),
            "a client as operator": (customer, "operator"),
            "a role that there is not": (worker, "root"),
            "a certificate of a higher role": (raised, "operator"),
        }
        for name, (member, role) in attempts.items():
            assert await refusal(fleet, member, role) in {"refused", "closed"}, name
            async with fleet.operator() as remote:
                assert (await remote.status()).workers == 0, f"{name}: the manager lives, and let nobody in"
        assert not fleet.pool.workers
        await until(lambda: not fleet.manager.delivery.links)
        assert await refusal(fleet, worker, "worker") == "welcome", "the honest one is let in"


async def test_the_managers_own_certificate_is_nobodys_way_in(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        context = join_context()
        context.load_cert_chain(fleet.manager.authority.issue_manager(time()))
        assert await refusal(fleet, None, "operator", context) != "welcome"
        assert not fleet.manager.delivery.links


@pytest.mark.parametrize("version", [(2, 9), (0, 0), (-5, -1), (5, 1)])
async def test_a_version_that_nobody_here_speaks_is_refused_in_words(tmp_path, version) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member()
        async with a_peer(fleet, member) as peer:
            await peer.say(hello(oldest=version[0], newest=version[1]))
            answer = await peer.goodbye(5)
        assert answer.code == "refused"
        assert "protocol" in answer.message


async def test_a_client_has_the_rights_of_a_client(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        customer = await fleet.member("client", "c-fern-0002")
        async with fleet.client(customer) as remote:
            for verb in (
                "pause",
                "resume",
                "drain",
                "revoke",
                "approve",
                "limit",
                "backup",
                "set_priority",
                "x",
            ):
                with pytest.raises(Refused):
                    await remote.command(verb, scope="all")
            with pytest.raises(Refused):
                await remote.make_invite(1, 60.0)
            with pytest.raises(TaskMessengerError):
                await remote.invites()
            (task,) = await submit(remote, "nobody", 1)
            assert await remote.command("cancel", ids=[task]) == [task]
        async with a_guest(fleet, customer) as peer:
            for what in ("invites", "settings", "audit", "audit:verify"):
                await peer.say(m.Ask(1, what))
                assert isinstance(await peer.hear((m.Failure, m.Status, m.Done, m.Goodbye)), m.Failure), what
        assert not fleet.pool.paused


async def test_connections_that_break_at_any_moment_leave_nothing_behind(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member()
        for words in ((), (hello(),), (m.WantAuthority(1, 1),), (hello(), m.Beat(1)), (m.Goodbye("x"),)):
            for _ in range(3):
                async with a_peer(fleet, member) as peer:
                    await peer.say(*words)
                    sock = peer.stream.extra(SocketAttribute.raw_socket)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: not fleet.manager.delivery.links and not fleet.pool.by_session)
        async with fleet.operator() as remote:
            assert (await remote.status()).workers == 0
    assert not [r for r in caplog.records if r.exc_info]


async def test_a_bug_in_serving_one_session_ends_only_that_one(tmp_path, caplog, monkeypatch) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as other:
        worker = await fleet.worker()
        desk = fleet.manager.desk
        monkeypatch.setattr(desk, "status", lambda: {}["a bug"])
        with pytest.raises(TaskMessengerError):
            async with fleet.operator(patience=0.0) as remote:
                await remote.status()
        ids = await submit(other, "echo", 1, 2, 3)
        assert len(await results(other, ids)) == 3
        assert worker.worker.connected is not None
    assert [r for r in caplog.records if r.exc_info], "a bug is not hidden"


async def test_a_bug_in_greeting_one_peer_ends_only_that_connection(tmp_path, caplog, monkeypatch) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as other:
        member = await fleet.member()

        async def broken(peer_id: str) -> None:
            raise KeyError(peer_id)

        with monkeypatch.context() as patch:
            patch.setattr(fleet.manager.store, "peer", broken)
            with pytest.raises(TaskMessengerError):
                await client.connect(member, [fleet.address])
        assert (await other.status()).workers == 0
        connected = await client.connect(member, [fleet.address])
        await connected.session.aclose()
    assert [r for r in caplog.records if r.exc_info]


async def test_who_is_revoked_on_the_way_in_does_not_stay(tmp_path, monkeypatch) -> None:
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member()
        seen = fleet.manager.store.peer

        async def slowly(peer_id: str):
            row = await seen(peer_id)
            await fleet.manager.revoke(peer_id)
            return row

        monkeypatch.setattr(fleet.manager.store, "peer", slowly)
        async with a_guest(fleet, member) as peer:
            assert (await peer.goodbye(5)).code == "refused"
        await until(lambda: not fleet.pool.workers)


async def test_a_session_ends_with_its_certificate(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=Leases()) as fleet:
        member = await fleet.member()
        life = member.certificate.not_after - member.certificate.not_before
        key = identities.load_key(member)
        short = fleet.manager.authority.issue(
            identities.make_csr(key), "worker", member.peer_id, time() - life + 602 + 2
        )
        assert isinstance(short, Certificate)
        brief = Identity(
            **{name: getattr(member, name) for name in member.__dataclass_fields__} | {"certificate": short}
        )
        identities.save(brief, key)
        async with a_guest(fleet, brief) as peer:
            answer = await peer.goodbye(15)
        assert (answer.code, "expired" in answer.message) == ("refused", True)
        with pytest.raises(TaskMessengerError):
            await client.connect(brief, [fleet.address])
