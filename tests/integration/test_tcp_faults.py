"""TCP as it is when things go wrong: real sockets, real resets, no descriptors left, frames cut anywhere."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream
from taskmessenger.core.errors import Conflict, Refused, TaskMessengerError, Unreachable, UsageError
from taskmessenger.net import sockets, tcp, transport
from taskmessenger.net.address import Address
from taskmessenger.net.faulty import Faults, FaultyTransport, Way
from taskmessenger.net.framing import FRAGMENT, FrameReader, FrameWriter
from taskmessenger.net.tcp import TcpTransport
from taskmessenger.net.transport import dialling, listening

from tests.support.streams import (
    BOUND,
    accepting,
    connected,
    echo,
    pieces_of,
    read_all,
    read_exactly,
    tls_contexts,
)

LOCAL = Address.parse("tcp://127.0.0.1:0")
ANY = Address("tcp", host="manager.example", port=7711)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def badly_connected(
    out: Faults | None = None,
) -> AsyncIterator[tuple[ByteStream, ByteStream, FaultyTransport]]:
    """Dialled through faults over TCP, the plain other end, and the switches."""
    async with (
        FaultyTransport(TcpTransport(), out=out) as bad,
        connected(TcpTransport(), LOCAL, dialler=bad) as (near, far),
    ):
        yield near, far, bad


def raw(stream: ByteStream) -> socket.socket:
    return stream.extra(SocketAttribute.raw_socket)


def a_wire(count: int) -> tuple[list[bytes], bytes]:
    """Messages, one of them large, and what they are on the wire."""
    writer = FrameWriter()
    messages = [index.to_bytes(2) * (index + 1) for index in range(count)]
    for message in [*messages, bytes(FRAGMENT + 9)]:
        writer.put(message)
    return [*messages, bytes(FRAGMENT + 9)], writer.take(1 << 20)


async def messages_until_the_end(
    stream: ByteStream, reader: FrameReader
) -> tuple[list[bytes], type[Exception]]:
    got: list[bytes] = []
    try:
        async for piece in pieces_of(stream):
            got += reader.feed(piece)
    except anyio.BrokenResourceError as error:
        return got, type(error)
    return got, anyio.EndOfStream


async def test_a_reset_at_any_byte_gives_a_prefix_of_the_messages_and_a_broken_stream() -> None:
    messages, wire = a_wire(30)
    offsets = [*range(40), *range(40, len(wire), len(wire) // 25), len(wire) - 1]
    async with FaultyTransport(TcpTransport()) as bad:
        for offset in offsets:
            bad.change(Way.OUT, reset_after=offset)
            async with connected(TcpTransport(), LOCAL, dialler=bad) as (near, far):
                with suppress(anyio.BrokenResourceError):
                    await near.send(wire)
                got, end = await messages_until_the_end(far, FrameReader())
                assert got == messages[: len(got)]
                assert len(got) < len(messages)
                assert end is anyio.BrokenResourceError
                with pytest.raises(anyio.BrokenResourceError):
                    await read_exactly(near, 1)


async def test_frames_survive_being_split_at_every_byte() -> None:
    messages, wire = a_wire(20)
    async with badly_connected(Faults(piece=1)) as (near, far, _), anyio.create_task_group() as group:
        group.start_soon(near.send, wire[:5000])
        got = FrameReader().feed(await read_exactly(far, 5000))
    assert got == messages[: len(got)]
    assert len(got) >= 19


async def test_a_stream_that_ends_within_a_message_gives_only_whole_ones() -> None:
    messages, wire = a_wire(10)
    async with badly_connected(Faults(truncate_after=len(wire) - 1)) as (near, far, _):
        await near.send(wire)
        reader = FrameReader()
        got, end = await messages_until_the_end(far, reader)
    assert got == messages[:-1]
    assert end is anyio.EndOfStream
    assert reader.buffered > 0


@pytest.mark.parametrize("way", [*Way, None])
async def test_what_a_partition_holds_back_arrives_when_it_heals(way: Way | None) -> None:
    data = os.urandom(100_000)
    async with badly_connected() as (near, far, bad):
        bad.partition(way)
        await near.send(data)
        await far.send(data)
        with anyio.move_on_after(0.1) as scope:
            await (near if way is Way.IN else far).receive()
        assert scope.cancelled_caught
        bad.heal()
        assert await read_exactly(near, len(data)) == data
        assert await read_exactly(far, len(data)) == data


async def test_a_damaged_byte_does_not_get_through_tls() -> None:
    client, server = tls_contexts()
    ended: list[type[BaseException]] = []

    async def serve(far: ByteStream) -> None:
        try:
            stream = await TLSStream.wrap(
                far, server_side=True, ssl_context=server, standard_compatible=False
            )
            await stream.receive()
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            ended.append(type(error))

    async with badly_connected() as (near, far, bad):
        with anyio.fail_after(BOUND):
            async with anyio.create_task_group() as group:
                group.start_soon(serve, far)
                stream = await TLSStream.wrap(
                    near, hostname="localhost", ssl_context=client, standard_compatible=False
                )
                bad.links[0].change(Way.OUT, corrupt_at=bad.links[0].out.delivered + 60)
                await stream.send(b"x" * 1000)
    assert ended == [ssl.SSLError]


async def test_a_reset_by_the_peer_breaks_the_stream_for_good() -> None:
    async with connected(TcpTransport(), LOCAL) as (near, far):
        raw(far).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await far.aclose()
        for _ in range(3):
            with pytest.raises(anyio.BrokenResourceError):
                await near.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await near.send(b"x")
        await near.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await near.receive()


async def test_both_ends_do_without_nagle_and_notice_dead_peers() -> None:
    async with connected(TcpTransport(), LOCAL) as ends:
        for sock in map(raw, ends):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == tcp.USER_TIMEOUT_MS


async def test_both_ends_know_the_address_of_the_other() -> None:
    async with connected(TcpTransport(), LOCAL) as (near, far):
        assert near.extra(SocketAttribute.local_address) == far.extra(SocketAttribute.remote_address)
        assert far.extra(SocketAttribute.remote_address)[0] == "127.0.0.1"
        assert near.extra(SocketAttribute.remote_port) == far.extra(SocketAttribute.local_port)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@needs_ipv6
async def test_ipv6_is_dialled_and_listened_on() -> None:
    async with connected(TcpTransport(), Address.parse("tcp://[::1]:0")) as (near, far):
        assert far.extra(SocketAttribute.remote_address)[0] == "::1"
        await near.send(b"six")
        assert await read_exactly(far, 3) == b"six"


async def test_a_name_is_listened_on_at_all_its_addresses_and_one_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.2", 0))]

    async def resolve(address: Address, flags: int = 0) -> list[Any]:
        return targets

    with monkeypatch.context() as patched:
        patched.setattr(tcp, "_resolve", resolve)
        listener = await TcpTransport().listen(Address("tcp", host="both", port=0))
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            for host in ("127.0.0.1", "127.0.0.2"):
                async with await TcpTransport().dial(
                    Address("tcp", host=host, port=listener.address.port)
                ) as near:
                    await near.send(b"x")
                    assert await read_exactly(near, 1) == b"x"
            await listener.aclose()


async def test_localhost_is_found_without_asking_far_away() -> None:
    async with connected(TcpTransport(), Address.parse("tcp://localhost:0")) as (near, far):
        await near.send(b"x")
        assert await read_exactly(far, 1) == b"x"


async def test_a_second_address_is_tried_when_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TcpTransportListening() as listener:
        port = listener.address.port

        async def resolve(address: Address, flags: int = 0) -> list[Any]:
            return [(socket.AF_INET, ("127.0.0.2", port)), (socket.AF_INET, ("127.0.0.1", port))]

        monkeypatch.setattr(tcp, "_resolve", resolve)
        async with await TcpTransport().dial(ANY) as near:
            assert near.extra(SocketAttribute.remote_address) == ("127.0.0.1", port)


class TcpTransportListening:
    """A listener that nobody serves."""

    async def __aenter__(self) -> transport.Listener:
        self._listener = await TcpTransport().listen(LOCAL)
        return self._listener

    async def __aexit__(self, *_: object) -> None:
        await self._listener.aclose()


async def test_who_does_not_answer_is_given_up_after_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DIAL_SECONDS", 0.3)
    with socket.socket() as deaf:  # a queue of one that is full: further requests are dropped
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = Address("tcp", host="127.0.0.1", port=deaf.getsockname()[1])
        with (
            socket.create_connection(deaf.getsockname()),
            pytest.raises(Unreachable, match="does not answer: check"),
        ):
            await TcpTransport().dial(address)


async def test_port_0_cannot_be_dialled() -> None:
    with pytest.raises(UsageError, match="name the port"):
        await TcpTransport().dial(LOCAL)


def test_meeting_oneself_counts_as_nobody() -> None:
    with socket.socket() as lonely:
        lonely.bind(("127.0.0.1", 0))
        lonely.connect(lonely.getsockname())
        with pytest.raises(ConnectionRefusedError):
            tcp._check_connected(lonely, 0)


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (
            OSError(errno.ECONNREFUSED, "x"),
            Unreachable,
            "nobody listens at tcp://manager.example:7711: check",
        ),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Unreachable, "cannot be reached: no route to host"),
        (OSError(errno.ENETUNREACH, "x"), Unreachable, "check the address and the network"),
        (OSError(errno.ETIMEDOUT, "x"), Unreachable, "does not answer"),
        (socket.gaierror(socket.EAI_NONAME, "x"), Unreachable, "name manager.example cannot be resolved"),
        (OSError(errno.EACCES, "x"), Refused, "may not be used by this user"),
    ],
)
async def test_what_fails_when_dialling_is_said_in_one_line(
    error: OSError, expected: type[TaskMessengerError], text: str
) -> None:
    with pytest.raises(expected, match=text) as caught, dialling(ANY):
        raise error
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (OSError(errno.EADDRINUSE, "x"), Conflict, "in use: stop the program that listens there"),
        (OSError(errno.EACCES, "x"), UsageError, "choose a port from 1024 up"),
        (OSError(errno.EADDRNOTAVAIL, "x"), UsageError, "no address of this machine"),
        (socket.gaierror(socket.EAI_NONAME, "x"), UsageError, "listen on an IP address"),
        (OSError(errno.EMFILE, "Too many open files"), UsageError, "too many open files"),
    ],
)
def test_what_fails_when_listening_is_said_in_one_line(
    error: OSError, expected: type[TaskMessengerError], text: str
) -> None:
    with pytest.raises(expected, match=text) as caught, listening(ANY):
        raise error
    assert str(caught.value).isprintable()


async def test_listening_where_this_machine_is_not_says_so() -> None:
    with pytest.raises(UsageError, match=r"tcp://192\.0\.2\.1:7711 is no address of this machine"):
        await TcpTransport().listen(Address.parse("tcp://192.0.2.1:7711"))


@pytest.fixture
def few_descriptors() -> Iterator[list[int]]:
    """A process that is allowed hardly any more descriptors; append those that are to be closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    taken: list[int] = []
    try:
        yield taken
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_listener_without_descriptors_waits_and_goes_on(
    few_descriptors: list[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    complained = anyio.Event()
    complain = sockets.SocketListener._complain

    def told(self: sockets.SocketListener, error: OSError) -> None:
        complain(self, error)
        assert error.errno == errno.EMFILE
        complained.set()

    monkeypatch.setattr(sockets.SocketListener, "_complain", told)
    caplog.set_level(logging.WARNING)
    listener = await TcpTransport().listen(LOCAL)
    nears = [await TcpTransport().dial(listener.address) for _ in range(3)]
    while True:
        try:
            few_descriptors.append(os.dup(0))
        except OSError:
            break
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            await complained.wait()
            while few_descriptors:
                os.close(few_descriptors.pop())
            for near in nears:
                async with near:
                    await near.send(b"x")
                    assert await read_exactly(near, 1) == b"x"
            await listener.aclose()
    assert [r.getMessage() for r in caplog.records] == [
        f"{listener.address} cannot accept connections (1 times): Too many open files"
    ]


async def test_complaints_are_rate_limited(caplog: pytest.LogCaptureFixture) -> None:
    async with TcpTransportListening() as listener:
        assert isinstance(listener, sockets.SocketListener)
        for _ in range(50):
            listener._complain(OSError(errno.EMFILE, "Too many open files"))
    assert len(caplog.records) == 1


async def test_who_hangs_up_before_being_accepted_disturbs_nobody() -> None:
    listener = await TcpTransport().listen(LOCAL)
    for _ in range(5):
        with socket.create_connection((listener.address.host, listener.address.port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with accepting(listener) as accepted, await TcpTransport().dial(listener.address) as near:
        await near.send(b"polite")
        await near.send_eof()
        said = b""
        with anyio.fail_after(BOUND):
            while not said:
                async with await accepted.receive() as far:
                    try:
                        said = await read_all(far)
                    except anyio.BrokenResourceError:
                        continue
    assert said == b"polite"
    await listener.aclose()
