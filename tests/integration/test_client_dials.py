"""Connecting to a manager that is odd: mute, twice there, asking for nonsense, or not there at all."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import anyio
import pytest
from taskmessenger.core.errors import (
    InviteError,
    PeerError,
    Refused,
    TaskMessengerError,
    Unreachable,
)
from taskmessenger.net import client
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.client import Connected
from taskmessenger.net.protocol import PeerSilent, Wire
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.tls import server_context, wrap_server
from taskmessenger.net.session import Ended, Session
from taskmessenger.net.tcp import TcpTransport

from tests.support.fleet import a_fleet
from tests.support.fleet_ca import a_fleet as an_authority
from tests.support.fleet_ca import a_member
from tests.support.runtimes import until

ANYWHERE = Address.parse("tcp://127.0.0.1:0")
GOOD: dict[str, float] = {"heartbeat": 5.0, "dead_after": 15.0, "lease_ttl": 30.0}


@asynccontextmanager
async def a_manager(
    tmp_path, answer: Callable[[m.Message], m.Message | None]
) -> AsyncIterator[tuple[Identity, Address]]:
    """Says what it is told to, to a member that trusts it."""
    authority = an_authority(tmp_path / "fleet")
    context = server_context(authority.ca_pem, authority.issue_manager(time.time()))
    listener = await TcpTransport().listen(ANYWHERE)

    async def serve(stream) -> None:
        secure = await wrap_server(stream, context)
        session = Session(secure, Wire("stranger", anyio.current_time()))
        try:
            said = answer(await session.hear())
            if said is not None:
                await session.say(said)
            await anyio.sleep_forever()
        finally:
            await session.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve, tasks)
        yield a_member(authority, tmp_path), listener.address
        await listener.aclose()
        tasks.cancel_scope.cancel()


def welcome(**times: float) -> m.Welcome:
    return m.Welcome(1, "lab", "fleet", "w-fern-0001", *(GOOD | times).values(), 1024)


@pytest.mark.parametrize(
    "times",
    [
        {"heartbeat": 0.0},
        {"heartbeat": -1.0},
        {"heartbeat": 15.0},
        {"dead_after": 31.0},
        {"lease_ttl": client.MAX_TTL * 2},
        {"heartbeat": float("nan")},
        {"lease_ttl": float("inf")},
    ],
    ids=str,
)
async def test_times_that_make_no_sense_are_not_agreed_to(tmp_path, times: dict[str, float]) -> None:
    async with a_manager(tmp_path, lambda _: welcome(**times)) as (member, address):
        with pytest.raises(PeerError, match=f"the manager at {address} asks for times that make no sense"):
            await client.connect(member, [address])


async def test_times_at_their_limits_are_agreed_to(tmp_path) -> None:
    longest = {"heartbeat": 1.0, "dead_after": client.MAX_TTL, "lease_ttl": client.MAX_TTL}
    async with a_manager(tmp_path, lambda _: welcome(**longest)) as (member, address):
        connected = await client.connect(member, [address])
        assert connected.welcome.lease_ttl == client.MAX_TTL
        await connected.session.aclose()


async def test_an_answer_to_another_question_is_wrong(tmp_path) -> None:
    async with a_manager(tmp_path, lambda _: m.Joined(b"", b"", "f", "p", "worker", "lab")) as (
        member,
        address,
    ):
        with pytest.raises(PeerError, match="the manager answered `Joined` instead of `Welcome`"):
            await client.connect(member, [address])


async def test_a_refusal_is_raised_as_what_it_says_and_cannot_touch_the_terminal(tmp_path) -> None:
    async with a_manager(tmp_path, lambda _: m.Refusal("refused", "not\x1b you")) as (member, address):
        with pytest.raises(Refused) as raised:
            await client.connect(member, [address])
        assert str(raised.value).isprintable()


async def test_a_manager_that_hangs_up_instead_of_answering_is_told_as_such(tmp_path) -> None:
    async with a_manager(tmp_path, lambda _: m.Goodbye("stopping", "the manager stops")) as (member, address):
        with pytest.raises(Unreachable, match=f"{address} closed the conversation: "):
            await client.connect(member, [address])


async def test_a_manager_that_says_nothing_after_the_handshake_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("taskmessenger.net.protocol.GREETING_SECONDS", 0.2)
    async with a_manager(tmp_path, lambda _: None) as (member, address):
        with pytest.raises(PeerSilent, match="the other side does not answer the handshake"):
            await client.connect(member, [address])


async def test_an_address_that_does_not_answer_is_given_up_in_time(tmp_path, monkeypatch) -> None:
    """A machine that drops what is sent to it looks like this: nobody says no."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):  # who waits there already
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        address = Address.parse(f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(Unreachable, match=rf"{address} does not answer within 0\.2 s"):
            await client._dial(address, 0.2)


async def test_without_an_address_nobody_is_dialled(tmp_path) -> None:
    member = a_member(an_authority(tmp_path / "fleet"), tmp_path)
    with pytest.raises(Unreachable, match="no address of the manager is known that this machine could dial"):
        await client.connect(member, [])


async def test_a_second_address_that_answers_too_leaves_one_session(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(client, "STAGGER_SECONDS", 0.0)
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member("client", "c-fern-0001")
        opened: list[Connected] = []

        async def attempt(_: Address) -> Connected:
            with anyio.CancelScope(shield=True):  # both come through, however fast the first was
                opened.append(await client.connect(member, [fleet.address]))
            return opened[-1]

        kept = await client._first(attempt, [fleet.address, fleet.address])
        assert len(opened) == 2
        (other,) = [one for one in opened if one is not kept]
        await until(lambda: len(fleet.manager.delivery.links) <= 1)
        with pytest.raises((Ended, TaskMessengerError)):
            await other.session.run(lambda _: None)  # type: ignore[arg-type]
        await kept.session.aclose()


async def test_of_several_errors_the_one_that_says_most_is_raised() -> None:
    async def attempt(address: Address) -> Connected:
        raise {1: Unreachable("silence"), 2: Refused("go away"), 3: Unreachable("silence")}[address.port]

    addresses = [Address.parse(f"tcp://127.0.0.1:{port}") for port in (1, 2, 3)]
    with pytest.raises(Refused, match="go away"):
        await client._first(attempt, addresses)


async def test_a_manager_that_has_decided_about_an_invite_is_asked_at_no_other_address(monkeypatch) -> None:
    asked: list[int] = []

    async def attempt(address: Address) -> Connected:
        asked.append(address.port)
        raise InviteError("it is used up")

    monkeypatch.setattr(client, "STAGGER_SECONDS", 0.2)
    addresses = [Address.parse(f"tcp://127.0.0.1:{port}") for port in (1, 2)]
    with pytest.raises(InviteError, match="used up"):
        await client._first(attempt, addresses)
    assert asked == [1]
