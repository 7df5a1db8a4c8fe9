"""Real TLS between the parts of a fleet: who gets through, who does not, and what each side is told."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import anyio
import msgspec
import pytest
from taskmessenger.core.errors import PeerError, Refused, TaskMessengerError, Unreachable
from taskmessenger.net.security import tls
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.security.tls import (
    SecureStream,
    client_context,
    join_context,
    server_context,
    ssl_object,
)
from taskmessenger.net.security.trust import admit, peer_of

from tests.support.fleet_ca import FakeRoster, a_fleet, a_member, byte_pipe, meet, tcp_pair

DAY = 86_400.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("other"), "lab-B")


@pytest.fixture(scope="module")
def manager(fleet: Authority) -> ssl.SSLContext:
    return server_context(fleet.ca_pem, fleet.issue_manager(time.time()))


async def greet(stream: SecureStream) -> object:
    """What a manager does at first: see who is there, and answer."""
    who = peer_of(ssl_object(stream))
    await stream.send(b"welcome")
    return who


async def listen(stream: SecureStream) -> object:
    return await stream.receive()


@pytest.mark.parametrize("transport", ["memory", "tcp"])
async def test_a_member_and_its_manager_know_each_other(
    fleet: Authority, manager: ssl.SSLContext, tmp_path: Path, transport: str
) -> None:
    member = a_member(fleet, tmp_path)
    pipe = await tcp_pair() if transport == "tcp" else None

    async def listen_and_look(stream: SecureStream) -> object:
        return await stream.receive(), ssl_object(stream).version(), ssl_object(stream).session.has_ticket

    met = await meet(manager, client_context(member), serve=greet, talk=listen_and_look, pipe=pipe)
    assert met.client == (b"welcome", "TLSv1.3", False)
    assert met.server.peer_id == member.peer_id
    assert met.server.role == "worker"
    assert met.server.fleet_id == fleet.fleet_id
    assert met.server.serial == member.certificate.serial
    assert met.server.expires_at == member.certificate.not_after


async def test_large_messages_pass(fleet: Authority, manager: ssl.SSLContext, tmp_path: Path) -> None:
    blob = bytes(range(256)) * 4096

    async def send_it(stream: SecureStream) -> object:
        await stream.send(blob)
        return await stream.receive()

    async def take_it(stream: SecureStream) -> object:
        got = b""
        while len(got) < len(blob):
            got += await stream.receive()
        await stream.send(b"ok")
        return got

    met = await meet(manager, client_context(a_member(fleet, tmp_path)), serve=take_it, talk=send_it)
    assert met.server == blob
    assert met.client == b"ok"


async def test_somebody_without_a_certificate_is_nobody(manager: ssl.SSLContext) -> None:
    met = await meet(manager, join_context(), serve=greet, talk=listen)
    assert met.server is None
    assert met.client == b"welcome"


def with_certificate(path: Path) -> ssl.SSLContext:
    """A client that believes everything and shows this certificate."""
    context = join_context()
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("transport", ["memory", "tcp"])
@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("foreign CA", "another fleet"),
        ("expired", "check both clocks"),
        ("not valid yet", "join again"),
        ("manager as client", "join again"),
    ],
)
async def test_a_certificate_that_is_not_good_is_refused_and_its_owner_learns_why(
    fleet: Authority,
    other_fleet: Authority,
    manager: ssl.SSLContext,
    tmp_path: Path,
    case: str,
    told: str,
    transport: str,
) -> None:
    shown = {
        "foreign CA": lambda: a_member(other_fleet, tmp_path).key_path,
        "expired": lambda: a_member(fleet, tmp_path, issued=-31 * DAY).key_path,
        "not valid yet": lambda: a_member(fleet, tmp_path, issued=2 * DAY).key_path,
        "manager as client": lambda: fleet.issue_manager(time.time()),
    }[case]()
    served = []

    async def never(stream: SecureStream) -> None:
        served.append(stream)

    pipe = await tcp_pair() if transport == "tcp" else None
    met = await meet(manager, with_certificate(shown), serve=never, talk=listen, pipe=pipe)
    assert not served
    assert isinstance(met.server, Refused)
    assert isinstance(met.client, Refused)
    assert told in str(met.client)
    for error in (met.server, met.client):
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("another fleet", "is of another fleet"),
        ("member as manager", "another part|not that of a manager"),
        ("expired", "has expired: check the clocks"),
        ("not valid yet", "is not valid yet: check the clocks"),
    ],
)
async def test_a_member_talks_to_no_one_but_a_manager_of_its_fleet(
    fleet: Authority, other_fleet: Authority, tmp_path: Path, case: str, told: str
) -> None:
    now = time.time()
    shown = {
        "another fleet": lambda: other_fleet.issue_manager(now),
        "member as manager": lambda: a_member(fleet, tmp_path, peer_id="w-evil-0001").key_path,
        "expired": lambda: fleet.issue_manager(now - 500 * DAY),
        "not valid yet": lambda: fleet.issue_manager(now + 2 * DAY),
    }[case]()
    impostor = server_context(fleet.ca_pem, shown)
    said = []

    async def talk(stream: SecureStream) -> None:
        said.append(await stream.send(b"secret"))

    met = await meet(impostor, client_context(a_member(fleet, tmp_path)), serve=listen, talk=talk)
    assert not said
    assert isinstance(met.client, Refused)
    with pytest.raises(Refused, match=told):
        raise met.client
    assert isinstance(met.server, TaskMessengerError)


async def test_revoked_unknown_and_wrong_role_pass_tls_and_are_refused_right_after(
    fleet: Authority, manager: ssl.SSLContext, tmp_path: Path
) -> None:
    roster = FakeRoster()
    revoked = a_member(fleet, tmp_path, peer_id="w-gone-0001")
    client = a_member(fleet, tmp_path, role="client", peer_id="c-desk-0001")
    roster.knows(revoked)
    roster.knows(client)
    roster.kept_peers[client.peer_id] = msgspec.structs.replace(
        roster.kept_peers[client.peer_id], role="worker"
    )
    await roster.revoke_peer(revoked.peer_id, time.time())

    async def admit_members(stream: SecureStream) -> object:
        who = peer_of(ssl_object(stream))
        row = await admit(who, roster, fleet.fleet_id, time.time())
        await stream.send(b"never")
        return row

    said = []
    for member in (revoked, a_member(fleet, tmp_path, peer_id="w-new-0001"), client):
        met = await meet(manager, client_context(member), serve=admit_members, talk=listen)
        assert isinstance(met.server, Refused)
        assert isinstance(met.client, anyio.EndOfStream)
        said.append(str(met.server))
    assert ["revoked" in said[0], "not known" in said[1], "joined as a worker" in said[2]] == [True] * 3


async def test_a_revoked_member_cannot_come_back_on_an_old_session(
    fleet: Authority, manager: ssl.SSLContext, tmp_path: Path
) -> None:
    context = client_context(a_member(fleet, tmp_path))

    async def session(stream: SecureStream) -> object:
        await stream.receive()
        return ssl_object(stream).session, ssl_object(stream).session_reused

    first = await meet(manager, context, serve=greet, talk=session)
    again = await meet(manager, context, serve=greet, talk=session)
    assert first.client[0].has_ticket is False
    assert again.client[1] is False
    assert manager.num_tickets == 0


async def test_older_tls_is_refused(fleet: Authority, manager: ssl.SSLContext, tmp_path: Path) -> None:
    old = with_certificate(a_member(fleet, tmp_path).key_path)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    met = await meet(manager, old)
    assert isinstance(met.server, PeerError)
    assert isinstance(met.client, PeerError)


async def test_tls_that_is_not_ours_is_refused(manager: ssl.SSLContext) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other.check_hostname, other.verify_mode = False, ssl.CERT_NONE
    other.set_alpn_protocols(["h2"])
    met = await meet(manager, other, talk=listen)
    assert isinstance(met.server, PeerError)
    assert isinstance(met.client, PeerError)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", bytes(300), b"\x16\x03\x01"])
async def test_other_protocols_on_the_port_are_one_sentence(manager: ssl.SSLContext, noise: bytes) -> None:
    far, near = byte_pipe()
    await near.send(noise)
    await near.send_eof()
    with pytest.raises(PeerError) as refused:
        await tls.wrap_server(far, manager, "10.0.0.1")
    assert "\n" not in str(refused.value)
    assert "10.0.0.1" in str(refused.value)
    with pytest.raises(anyio.ClosedResourceError):
        await far.send(b"x")


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 smtp ESMTP\r\n", b""])
async def test_something_else_there_is_one_sentence(fleet: Authority, tmp_path: Path, noise: bytes) -> None:
    far, near = byte_pipe()
    if noise:
        await far.send(noise)
    await far.send_eof()
    with pytest.raises((PeerError, Unreachable), match=r"tcp://a:1: .*check the address"):
        await tls.wrap_client(near, client_context(a_member(fleet, tmp_path)), "tcp://a:1")


async def test_a_handshake_that_does_not_end_is_ended(
    fleet: Authority, manager: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.05)
    far, near = byte_pipe()
    with pytest.raises(PeerError, match="did not finish"):
        await tls.wrap_server(far, manager, "10.0.0.1")
    _, near = byte_pipe()
    with pytest.raises(Unreachable, match="no TLS handshake"):
        await tls.wrap_client(near, client_context(a_member(fleet, tmp_path)), "tcp://a:1")
    with pytest.raises(anyio.ClosedResourceError):
        await near.send(b"x")


async def test_a_cancelled_handshake_closes_its_stream(manager: ssl.SSLContext) -> None:
    far, near = byte_pipe()
    async with anyio.create_task_group() as group:
        group.start_soon(tls.wrap_server, far, manager)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    with pytest.raises(anyio.EndOfStream):
        await near.receive()


async def test_a_renewed_manager_certificate_needs_no_restart(fleet: Authority, tmp_path: Path) -> None:
    now = time.time()
    context = server_context(fleet.ca_pem, fleet.issue_manager(now))
    member = client_context(a_member(fleet, tmp_path))

    async def serial(stream: SecureStream) -> object:
        return ssl_object(stream).getpeercert()["serialNumber"]

    first = (await meet(context, member, talk=serial)).client
    context.load_cert_chain(fleet.issue_manager(now))
    assert (await meet(context, member, talk=serial)).client != first


def test_verification_is_strict_here_as_it_is_by_default_later(fleet: Authority, tmp_path: Path) -> None:
    contexts = [
        server_context(fleet.ca_pem, fleet.issue_manager(time.time())),
        client_context(a_member(fleet, tmp_path)),
    ]
    for context in contexts:
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
