"""Streams over ZeroTier beyond what every transport promises: leaks, stalls, broken networks, floods.

One pair of nodes serves all of these, so `test_stream.py` runs this file as a whole, in a namespace.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from taskmessenger.core.errors import Overloaded, Unreachable, UsageError
from taskmessenger.net.address import Address
from taskmessenger.net.transport import transport_for
from taskmessenger.net.zerotier import door as doors
from taskmessenger.net.zerotier import transport as transports
from taskmessenger.net.zerotier.network import address_of
from taskmessenger.net.zerotier.node import running
from taskmessenger.net.zerotier.transport import ZeroTierTransport

from tests.support.namespaces import link
from tests.support.streams import read_exactly
from tests.support.zerotier_ends import BOUND, Ends, both_ends, echoing, until
from tests.support.zerotier_places import own_sockets

CYCLES = 1000
CONNECTIONS = 300
STALL = 1.0
"""Seconds without any byte: less than the stall that the window prevents, more than a busy machine causes."""
TRAFFIC_SECONDS = 3.0


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async with both_ends() as made:
        yield made


async def test_a_thousand_streams_one_after_the_other_leave_no_socket(ends: Ends) -> None:
    here, there = own_sockets(), await ends.there.sockets()
    async with echoing(ends.listener):
        for number in range(CYCLES):
            with anyio.fail_after(BOUND):
                near = await ends.there.dial(ends.address)
                if number % 3:  # every third is closed without a word
                    await near.send(b"x" * number)
                    assert await read_exactly(near, number) == b"x" * number
                await near.aclose()
        await until(lambda: own_sockets() <= here)
    with anyio.fail_after(BOUND):
        while await ends.there.sockets() > there:
            await anyio.sleep(0.05)


async def test_hundreds_of_streams_are_open_at_once_and_all_work(ends: Ends) -> None:
    before = own_sockets()
    answers: list[bytes] = []

    async def ask(stream: ByteStream, number: int) -> None:
        await stream.send(number.to_bytes(2) * 1000)
        answers.append(await read_exactly(stream, 2000))

    async with echoing(ends.listener):
        open_ones = [await ends.there.dial(ends.address) for _ in range(CONNECTIONS)]
        await until(lambda: own_sockets() - before == CONNECTIONS)
        for _ in range(2):
            async with anyio.create_task_group() as group:
                for number, stream in enumerate(open_ones):
                    group.start_soon(ask, stream, number)
        for stream in open_ones:
            await stream.aclose()
        await until(lambda: own_sockets() == before)
    assert sorted(answers) == sorted(number.to_bytes(2) * 1000 for number in [*range(CONNECTIONS)] * 2)


@pytest.mark.parametrize("size", [1000, 64 * 1024])
async def test_traffic_in_both_directions_does_not_stall(ends: Ends, size: int) -> None:
    near, far = await ends.connected()
    longest = {"near": 0.0, "far": 0.0}

    async def send(stream: ByteStream) -> None:
        began = time.monotonic()
        while time.monotonic() - began < TRAFFIC_SECONDS:
            await stream.send(bytes(size))
        await stream.send_eof()

    async def receive(stream: ByteStream, name: str) -> None:
        last = time.monotonic()
        while True:
            try:
                await stream.receive()
            except anyio.EndOfStream:
                return
            now = time.monotonic()
            longest[name], last = max(longest[name], now - last), now

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            for stream, name in ((near, "near"), (far, "far")):
                group.start_soon(send, stream)
                group.start_soon(receive, stream, name)
    assert max(longest.values()) < STALL


async def test_a_stream_outlives_a_network_that_goes_away_for_a_moment(ends: Ends) -> None:
    near, far = await ends.connected()
    await near.send(b"before")
    assert await read_exactly(far, 6) == b"before"
    link(up=False)
    try:
        await near.send(b"there" * 100)
        await far.send(b"back" * 100)
        with anyio.move_on_after(1.0) as scope:
            await far.receive()
        assert scope.cancelled_caught, "nothing gets through"
    finally:
        link(up=True)
    assert await read_exactly(far, 500) == b"there" * 100
    assert await read_exactly(near, 400) == b"back" * 100


async def test_more_connections_than_a_node_can_have_are_refused_and_the_others_go_on(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    near, far = await ends.connected()
    monkeypatch.setattr(doors, "MAX_CONNECTIONS", own_sockets())
    monkeypatch.setattr(transports, "MAX_CONNECTIONS", own_sockets())
    with caplog.at_level(logging.WARNING):
        refused = await ends.there.dial(ends.address)
        with anyio.fail_after(BOUND), pytest.raises(anyio.BrokenResourceError):
            await refused.receive()
    assert "all the connections that it can have" in caplog.text
    with pytest.raises(Overloaded, match="close some first"):
        await ZeroTierTransport().dial(Address("zt", host="1234567890", port=1, network=ends.address.network))
    await near.send(b"x")
    assert await read_exactly(far, 1) == b"x"


async def test_who_does_not_speak_this_framing_is_dropped(ends: Ends) -> None:
    near, far = await ends.connected()
    await near.ask("garbage", b"GET / HTTP/1.1\r\nHost: you\r\n\r\n")
    for _ in range(2):
        with anyio.fail_after(BOUND), pytest.raises(anyio.BrokenResourceError):
            await far.receive()
    with anyio.fail_after(BOUND), pytest.raises(anyio.BrokenResourceError):
        await near.receive()


async def test_a_peer_that_writes_more_than_it_may_is_dropped_before_it_fills_the_memory(ends: Ends) -> None:
    near, far = await ends.connected()
    await near.ask("garbage", bytes(8 << 20))
    with anyio.fail_after(BOUND), pytest.raises(anyio.BrokenResourceError):
        await far.receive()


async def test_a_stream_says_where_it_comes_from(ends: Ends) -> None:
    _, far = await ends.connected()
    host, port = far.extra(SocketAttribute.remote_address)
    assert host == str(address_of(await ends.there.node_id()))
    assert port > 0
    assert far.extra(SocketAttribute.local_port) == ends.address.port
    assert IPv4Address(far.extra(SocketAttribute.local_address)[0]) == running().address  # type: ignore[union-attr]


async def test_what_cannot_be_dialled_is_said_at_once(ends: Ends) -> None:
    transport = transport_for(ends.address)
    with pytest.raises(UsageError, match="name network, node and port"):
        await transport.dial(Address.parse("zt://:7711"))
    with pytest.raises(UsageError, match="this node itself"):
        await transport.dial(ends.address)


async def test_a_dial_that_is_given_up_leaves_no_socket(ends: Ends) -> None:
    here = own_sockets()
    nobody = Address("zt", host="1234567890", port=1, network=ends.address.network)
    with anyio.move_on_after(0.3) as scope:
        await ZeroTierTransport().dial(nobody)
    assert scope.cancelled_caught
    await until(lambda: own_sockets() == here)


async def test_who_does_not_answer_is_unreachable_in_time(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = own_sockets()
    monkeypatch.setattr("taskmessenger.net.transport.DIAL_SECONDS", 1.0)
    nobody = Address("zt", host="1234567890", port=1, network=ends.address.network)
    with pytest.raises(Unreachable, match="does not answer"):
        await ZeroTierTransport().dial(nobody)
    await until(lambda: own_sockets() == here)
