"""Joining over real TLS: the secret leaves only towards the manager that made the invite."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec
import pytest
from taskmessenger.core.errors import Refused
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.security.enrol import EnrolGranted, EnrolRequest, Joining, Registrar
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.tls import (
    SecureStream,
    client_context,
    join_context,
    peer_certificate,
    server_context,
    ssl_object,
)
from taskmessenger.net.security.trust import admit, peer_of

from tests.support.fleet_ca import FakeRoster, a_fleet, a_joining, a_member, an_invite, byte_pipe, meet

END = b"\n\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("other"), "lab-B")


def manager_context(fleet: Authority) -> ssl.SSLContext:
    return server_context(fleet.ca_pem, fleet.issue_manager(time.time()))


async def read_message(stream: SecureStream) -> bytes:
    got = b""
    while not got.endswith(END):
        got += await stream.receive()
    return got.removesuffix(END)


@dataclass
class Recorder:
    """Pretends to be a manager, and writes down everything that it is told."""

    ca: bytes
    heard: bytearray = field(default_factory=bytearray)

    async def serve(self, stream: SecureStream) -> None:
        await stream.send(msgspec.json.encode(self.ca) + END)
        try:
            while True:
                self.heard += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass


async def join(joining: Joining, stream: SecureStream, folder: Path) -> Identity:
    """The joining end over a connection, in frames made for this test."""
    ca = msgspec.json.decode(await read_message(stream), type=bytes)
    request = joining.request(peer_certificate(stream), ca, time.time())
    await stream.send(msgspec.json.encode(request) + END)
    return joining.accept(msgspec.json.decode(await read_message(stream), type=EnrolGranted), folder)


async def test_a_machine_joins_and_comes_back_with_its_certificate(fleet: Authority, tmp_path: Path) -> None:
    invite, row = an_invite(fleet)
    roster = FakeRoster({row.id: row})
    registrar = Registrar(authority=fleet, roster=roster)

    async def serve_join(stream: SecureStream) -> None:
        assert peer_of(ssl_object(stream)) is None
        await stream.send(msgspec.json.encode(fleet.ca_der) + END)
        request = msgspec.json.decode(await read_message(stream), type=EnrolRequest)
        granted = await registrar.enrol(request, "10.0.0.1", time.time())
        await stream.send(msgspec.json.encode(granted) + END)

    async def talk_join(stream: SecureStream) -> object:
        return await join(a_joining(invite), stream, tmp_path / "me")

    context = manager_context(fleet)
    met = await meet(context, join_context(), serve=serve_join, talk=talk_join)
    member = met.client
    assert isinstance(member, Identity), member

    async def serve_member(stream: SecureStream) -> object:
        row = await admit(peer_of(ssl_object(stream)), roster, fleet.fleet_id, time.time())
        await stream.send(b"welcome")
        return row

    async def talk_member(stream: SecureStream) -> object:
        return await stream.receive()

    met = await meet(context, client_context(member), serve=serve_member, talk=talk_member)
    assert (met.server.id, met.client) == (member.peer_id, b"welcome")


@pytest.mark.parametrize("case", ["own CA", "copied CA", "a member of the fleet", "relay"])
async def test_a_false_manager_never_receives_the_secret(
    fleet: Authority, other_fleet: Authority, tmp_path: Path, case: str
) -> None:
    invite, _ = an_invite(fleet)
    context, ca = {
        "own CA": lambda: (manager_context(other_fleet), other_fleet.ca_der),
        "copied CA": lambda: (manager_context(other_fleet), fleet.ca_der),
        "a member of the fleet": lambda: (
            server_context(fleet.ca_pem, a_member(fleet, tmp_path).key_path),
            fleet.ca_der,
        ),
        "relay": lambda: (manager_context(other_fleet), fleet.ca_der + other_fleet.ca_der),
    }[case]()
    recorder = Recorder(ca)
    far, near = byte_pipe()

    async def talk(stream: SecureStream) -> object:
        return await join(a_joining(invite), stream, tmp_path / "me")

    met = await meet(context, join_context(), serve=recorder.serve, talk=talk, pipe=(far, near))
    assert isinstance(met.client, Refused)
    assert "nothing secret was sent" in str(met.client)
    assert recorder.heard == b""
    assert invite.secret not in near.sent
    assert not (tmp_path / "me").exists()


async def test_the_true_manager_does_receive_it(fleet: Authority, tmp_path: Path) -> None:
    """Proves that the recorder would have noticed."""
    invite, _ = an_invite(fleet)
    recorder = Recorder(fleet.ca_der)

    async def talk(stream: SecureStream) -> object:
        ca = msgspec.json.decode(await read_message(stream), type=bytes)
        request = a_joining(invite).request(peer_certificate(stream), ca, time.time())
        await stream.send(msgspec.json.encode(request) + END)
        return request

    await meet(manager_context(fleet), join_context(), serve=recorder.serve, talk=talk)
    heard = msgspec.json.decode(bytes(recorder.heard).removesuffix(END), type=EnrolRequest)
    assert heard.secret == invite.secret
