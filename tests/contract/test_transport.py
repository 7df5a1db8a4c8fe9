"""What every transport promises to the sessions above it."""

from __future__ import annotations

import hashlib
import importlib.util
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream
from taskmessenger.core.errors import Conflict, Unreachable
from taskmessenger.net.address import Address

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
from tests.support.transports import PLACES, Place

MIB = 1 << 20
BACKENDS: list[Any] = ["asyncio", "trio"]
if importlib.util.find_spec("uvloop"):
    BACKENDS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, anyio_backend: Any) -> AsyncIterator[Place]:
    async with PLACES[request.param]() as made:
        yield made


@pytest.fixture
async def pair(place: Place) -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    async with connected(place.transport, place.new_address()) as ends:
        yield ends


async def flood(stream: ByteStream) -> None:
    """Send until something ends it."""
    while True:
        await stream.send(bytes(65536))


async def outcome_of(do: Callable[[], Coroutine[Any, Any, object]], into: list[BaseException]) -> None:
    try:
        await do()
    except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
        into.append(error)


@pytest.mark.parametrize("size", [1, 2, 1000, 65535, 65536, 65537, 3 * MIB + 1])
async def test_what_is_sent_comes_back(pair: tuple[ByteStream, ByteStream], size: int) -> None:
    near, far = pair
    data = random.Random(size).randbytes(size)
    async with anyio.create_task_group() as group:
        group.start_soon(echo, far)
        group.start_soon(near.send, data)
        assert await read_exactly(near, size) == data
        await near.aclose()


async def test_both_directions_at_once_do_not_disturb_each_other(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    there, back = random.Random(1).randbytes(2 * MIB), random.Random(2).randbytes(2 * MIB)
    got: dict[str, bytes] = {}

    async def read(name: str, stream: ByteStream) -> None:
        got[name] = await read_exactly(stream, 2 * MIB)

    async with anyio.create_task_group() as group:
        group.start_soon(near.send, there)
        group.start_soon(far.send, back)
        group.start_soon(read, "there", far)
        group.start_soon(read, "back", near)
    assert got == {"there": there, "back": back}


async def test_64_mib_arrive_with_the_same_digest(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    block = random.Random(3).randbytes(MIB)
    sent, got = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        for number in range(64):
            piece = number.to_bytes(4) + block
            sent.update(piece)
            await near.send(piece)
        await near.aclose()

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            async for piece in pieces_of(far):
                got.update(piece)
    assert got.digest() == sent.digest()


async def test_receive_gives_at_most_what_was_asked_for(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    await near.send(b"abcdef")
    await near.send_eof()
    pieces = [piece async for piece in pieces_of(far, 2)]
    assert b"".join(pieces) == b"abcdef"
    assert max(map(len, pieces)) <= 2
    with pytest.raises(ValueError, match="positive"):
        await far.receive(0)


async def test_who_is_not_read_has_to_wait(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    taken = 0
    with anyio.move_on_after(0.5) as scope:
        while taken < 64 * MIB:
            await near.send(bytes(65536))
            taken += 65536
    assert scope.cancelled_caught
    assert taken < 64 * MIB
    await near.aclose()
    assert taken <= len(await read_all(far)) <= taken + 65536


async def test_a_slow_reader_gets_everything_and_holds_little(pair: tuple[ByteStream, ByteStream]) -> None:
    """Also once it has begun to read: some streams read on by themselves while their user is behind."""
    near, far = pair
    await near.send(b"first")
    assert await read_exactly(far, 5) == b"first"
    block = random.Random(5).randbytes(65536 - 8)
    taken, got = 0, bytearray()
    with anyio.move_on_after(0.5) as scope:
        while taken < 64 * MIB:
            await near.send(taken.to_bytes(8) + block)
            taken += 65536
            if taken % MIB == 0:
                got += await far.receive(1)
    assert scope.cancelled_caught
    assert taken < 64 * MIB
    await near.aclose()
    got += await read_all(far)
    assert taken <= len(got) <= taken + 65536, "what was taken arrives, and of the next one a part may"
    sent = b"".join(start.to_bytes(8) + block for start in range(0, taken + 65536, 65536))
    assert got == sent[: len(got)]


async def test_a_cancelled_receive_loses_nothing(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    data = random.Random(4).randbytes(256 * 1024)
    got = bytearray()

    async def send() -> None:
        for start in range(0, len(data), 1024):
            await near.send(data[start : start + 1024])
            if start % 8192 == 0:
                await anyio.lowlevel.checkpoint()

    rounds = 0
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            while len(got) < len(data):
                rounds += 1
                with anyio.CancelScope() as scope:
                    if rounds % 2:
                        group.start_soon(cancel_soon, scope, rounds % 7)
                    got += await far.receive(1500)
    assert bytes(got) == data


async def cancel_soon(scope: anyio.CancelScope, turns: int) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


async def test_a_cancelled_receive_leaves_the_stream_open(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    with anyio.move_on_after(0.01) as scope:
        await far.receive()
    assert scope.cancelled_caught
    await near.send(b"still there")
    assert await read_exactly(far, 11) == b"still there"


async def test_what_was_sent_before_closing_arrives_and_then_the_stream_ends(
    pair: tuple[ByteStream, ByteStream],
) -> None:
    near, far = pair
    data = random.Random(5).randbytes(MIB)

    async def send() -> None:
        await near.send(data)
        await near.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        assert await read_all(far) == data
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await far.receive()


async def test_after_its_end_is_sent_a_stream_still_receives(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    await near.send(b"question")
    await near.send_eof()
    assert await read_all(far) == b"question"
    await far.send(b"answer")
    await far.aclose()
    assert await read_all(near) == b"answer"
    with pytest.raises(anyio.ClosedResourceError):
        await near.send(b"more")


async def test_a_closed_stream_says_so_every_time(pair: tuple[ByteStream, ByteStream]) -> None:
    near, _ = pair
    await near.aclose()
    await near.aclose()
    for _ in range(2):
        with pytest.raises(anyio.ClosedResourceError):
            await near.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await near.send(b"x")
    with pytest.raises(anyio.ClosedResourceError):
        await near.send_eof()


async def test_closing_wakes_who_waits_for_bytes(pair: tuple[ByteStream, ByteStream]) -> None:
    near, _ = pair
    seen: list[BaseException] = []
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(outcome_of, near.receive, seen)
            await anyio.wait_all_tasks_blocked()
            await near.aclose()
    assert [type(error) for error in seen] == [anyio.ClosedResourceError]


async def test_closing_wakes_who_waits_for_room(pair: tuple[ByteStream, ByteStream]) -> None:
    near, _ = pair
    seen: list[BaseException] = []
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(outcome_of, lambda: flood(near), seen)
            await anyio.sleep(0.1)
            await near.aclose()
    assert [type(error) for error in seen] == [anyio.ClosedResourceError]


async def test_sending_to_who_has_closed_breaks_and_stays_broken(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    await far.aclose()
    for _ in range(2):
        with anyio.fail_after(BOUND), pytest.raises(anyio.BrokenResourceError):
            await flood(near)


async def test_two_tasks_may_not_receive_at_the_same_time(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    async with anyio.create_task_group() as group:
        group.start_soon(near.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await near.receive()
        await far.send(b"x")


async def test_hundreds_can_dial_at_the_same_time(place: Place) -> None:
    number = 300
    answers: set[bytes] = set()

    async def ask(address: Address, index: int) -> None:
        async with await place.transport.dial(address) as stream:
            await stream.send(index.to_bytes(4))
            answers.add(await read_exactly(stream, 4))

    listener = await place.transport.listen(place.new_address())
    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with anyio.create_task_group() as clients:
                for index in range(number):
                    clients.start_soon(ask, listener.address, index)
            await listener.aclose()
    assert len(answers) == number


async def test_who_dials_before_anyone_serves_is_served_later(place: Place) -> None:
    listener = await place.transport.listen(place.new_address())
    with anyio.fail_after(BOUND):
        async with await place.transport.dial(listener.address) as near:
            await near.send(b"early")
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, echo)
                assert await read_exactly(near, 5) == b"early"
                await near.aclose()
                await listener.aclose()


async def test_a_listener_says_where_it_really_listens(place: Place) -> None:
    listener = await place.transport.listen(place.new_address())
    assert listener.address.scheme == place.transport.scheme
    assert listener.address.port != 0 or listener.address.scheme != "tcp"
    assert Address.parse(str(listener.address)) == listener.address
    await listener.aclose()


async def test_closing_a_listener_ends_serving_but_not_what_was_accepted(place: Place) -> None:
    listener = await place.transport.listen(place.new_address())
    ended = anyio.Event()

    async with anyio.create_task_group() as handlers:

        async def serve() -> None:
            await listener.serve(echo, handlers)
            ended.set()

        handlers.start_soon(serve)
        async with await place.transport.dial(listener.address) as near:
            await near.send(b"a")
            await read_exactly(near, 1)
            await listener.aclose()
            with anyio.fail_after(BOUND):
                await ended.wait()
            await near.send(b"b")
            assert await read_exactly(near, 1) == b"b"
    with pytest.raises(anyio.ClosedResourceError):
        await listener.serve(echo)


async def test_dialling_to_nobody_says_what_to_check(place: Place) -> None:
    listener = await place.transport.listen(place.new_address())
    await listener.aclose()
    with anyio.fail_after(BOUND), pytest.raises(Unreachable) as caught:
        await place.transport.dial(listener.address)
    assert str(listener.address) in str(caught.value)
    assert "check" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_two_cannot_listen_at_one_address(place: Place) -> None:
    listener = await place.transport.listen(place.new_address())
    with pytest.raises(Conflict) as caught:
        await place.transport.listen(listener.address)
    assert str(listener.address) in str(caught.value)
    assert "\n" not in str(caught.value)
    async with accepting(listener) as accepted, await place.transport.dial(listener.address) as near:
        await near.send(b"x")  # the first one was not disturbed
        with anyio.fail_after(BOUND):
            while True:
                far = await accepted.receive()
                async with far:
                    if await read_all_or(far) == b"x":
                        break
    await listener.aclose()


async def read_all_or(stream: ByteStream) -> bytes:
    """One byte, or nothing when the other side only looked whether anyone is there."""
    try:
        return await stream.receive(1)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return b""


async def test_an_address_is_free_again_after_its_listener_closed(place: Place) -> None:
    address = place.new_address()
    for _ in range(3):
        async with AsyncExitStack() as stack:
            near, _ = await stack.enter_async_context(connected(place.transport, address))
            await near.send(b"x")


async def test_tls_runs_over_it(pair: tuple[ByteStream, ByteStream]) -> None:
    near, far = pair
    client, server = tls_contexts()
    data = random.Random(6).randbytes(MIB)

    async def serve() -> None:
        stream = await TLSStream.wrap(far, server_side=True, ssl_context=server, standard_compatible=False)
        await echo(stream)

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            stream = await TLSStream.wrap(
                near, hostname="localhost", ssl_context=client, standard_compatible=False
            )
            group.start_soon(stream.send, data)
            assert await read_exactly(stream, len(data)) == data
            await stream.aclose()
