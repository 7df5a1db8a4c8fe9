"""The bad network, on a virtual clock: what it does to bytes, when, and that it can be switched off again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio import current_time
from taskmessenger.core.errors import Unreachable
from taskmessenger.net.address import Address
from taskmessenger.net.faulty import IN_FLIGHT, Faults, FaultyStream, FaultyTransport, Way
from taskmessenger.net.memory import BUFFER, MemoryStream, MemoryTransport
from taskmessenger.net.transport import DIAL_SECONDS
from trio.testing import MockClock

from tests.support.streams import accepting, read_all, read_exactly

HERE = Address("mem", host="manager")
HOUR = 3600.0


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@asynccontextmanager
async def a_link(
    *, out: Faults | None = None, back: Faults | None = None, seed: int = 0
) -> AsyncIterator[tuple[FaultyStream, MemoryStream, FaultyTransport]]:
    """A stream dialled through faults, the plain other end, and the transport with the switches."""
    real = MemoryTransport()
    listener = await real.listen(HERE)
    async with FaultyTransport(real, seed=seed, out=out, back=back) as bad:
        async with accepting(listener) as accepted:
            near = await bad.dial(HERE)
            far = await accepted.receive()
        await listener.aclose()
        assert isinstance(far, MemoryStream)
        async with near, far:
            yield near, far, bad


async def nothing_comes(stream: FaultyStream | MemoryStream, seconds: float = HOUR) -> None:
    with anyio.move_on_after(seconds) as scope:
        await stream.receive()
    assert scope.cancelled_caught


async def test_a_delay_makes_everything_late_but_not_slow() -> None:
    async with a_link(out=Faults(delay=2.0)) as (near, far, _):
        start = current_time()
        for _ in range(10):
            await near.send(bytes(1000))
        assert await read_exactly(far, 10_000) == bytes(10_000)
        assert current_time() - start == pytest.approx(2.0)
        await far.send(b"x")
        await read_exactly(near, 1)
        assert current_time() - start == pytest.approx(2.0)  # the way back is good


@pytest.mark.parametrize("seed", range(3))
async def test_jitter_comes_from_the_seed_and_keeps_the_order(seed: int) -> None:
    seen = []
    for _ in range(2):
        async with a_link(out=Faults(delay=1.0, jitter=1.0), seed=seed) as (near, far, _):
            start, arrivals = current_time(), []
            for number in range(20):
                await near.send(bytes([number]))
                await anyio.sleep(0.05)
            for number in range(20):
                assert await read_exactly(far, 1) == bytes([number])
                arrivals.append(round(current_time() - start, 6))
        seen.append(arrivals)
    assert seen[0] == seen[1]
    assert 1.0 <= seen[0][-1] <= 3.0


async def test_a_rate_spreads_bytes_over_time() -> None:
    async with a_link(out=Faults(rate=1000)) as (near, far, _):
        start = current_time()
        await near.send(bytes(10_000))
        await read_exactly(far, 10_000)
        assert current_time() - start == pytest.approx(10.0, rel=0.05)


async def test_a_stall_holds_up_what_comes_after_it() -> None:
    async with a_link(out=Faults(stall_chance=1.0, stall_seconds=10.0)) as (near, far, bad):
        start = current_time()
        await near.send(b"slow")
        await anyio.sleep(1.0)
        bad.change(stall_chance=0.0)
        await near.send(b"fast")
        assert await read_exactly(far, 8) == b"slowfast"
        assert current_time() - start == pytest.approx(10.0)


async def test_a_partition_holds_everything_back_and_healing_lets_it_through() -> None:
    async with a_link() as (near, far, bad):
        bad.partition()
        await near.send(b"there")
        await far.send(b"back")
        await nothing_comes(far)
        await nothing_comes(near)
        bad.heal()
        assert await read_exactly(far, 5) == b"there"
        assert await read_exactly(near, 4) == b"back"


@pytest.mark.parametrize("way", Way)
async def test_a_partition_can_be_one_way(way: Way) -> None:
    async with a_link() as (near, far, bad):
        bad.partition(way)
        await near.send(b"there")
        await far.send(b"back")
        blocked, free, size = (far, near, 4) if way is Way.OUT else (near, far, 5)
        await read_exactly(free, size)
        await nothing_comes(blocked)


async def test_a_partition_can_begin_while_bytes_are_under_way() -> None:
    async with a_link(out=Faults(delay=5.0)) as (near, far, bad):
        await near.send(b"late")
        await anyio.sleep(1.0)
        bad.partition()
        await nothing_comes(far)
        bad.heal()
        assert await read_exactly(far, 4) == b"late"


async def test_neither_end_nor_break_gets_through_a_partition() -> None:
    async with a_link() as (near, far, bad):
        bad.partition()
        await near.send(b"last words")
        await near.aclose()
        await nothing_comes(far)
        bad.heal()
        assert await read_all(far) == b"last words"
    async with a_link() as (near, far, bad):
        bad.partition()
        far.reset()
        await nothing_comes(near)
        bad.heal()
        with pytest.raises(anyio.BrokenResourceError):
            await near.receive()


async def test_a_partition_makes_who_sends_wait_after_a_bound() -> None:
    async with a_link() as (near, _, bad):
        bad.partition()
        taken = 0
        with anyio.move_on_after(HOUR):
            while True:
                await near.send(bytes(1024))
                taken += 1024
        assert IN_FLIGHT <= taken <= IN_FLIGHT + 2 * BUFFER


async def test_during_a_partition_nobody_can_dial() -> None:
    async with a_link() as (_, _, bad):
        bad.partition()
        start = current_time()
        with pytest.raises(Unreachable):
            await bad.dial(HERE)
        assert current_time() - start == pytest.approx(DIAL_SECONDS)


async def test_a_dial_gets_through_when_the_partition_heals_in_time() -> None:
    real = MemoryTransport()
    listener = await real.listen(HERE)
    async with (
        FaultyTransport(real) as bad,
        accepting(listener) as accepted,
        anyio.create_task_group() as group,
    ):

        async def heal() -> None:
            await anyio.sleep(3.0)
            bad.heal()

        bad.partition()
        group.start_soon(heal)
        async with await bad.dial(HERE), await accepted.receive():
            assert len(bad.links) == 1
        await listener.aclose()


async def test_when_the_peer_vanishes_writes_go_nowhere_and_reads_hang() -> None:
    async with a_link() as (near, far, _):
        near.link.vanish()
        for _ in range(100):
            await near.send(bytes(65536))
        await far.send(b"x")
        await nothing_comes(near)
        await near.aclose()
        await nothing_comes(far)  # not even the end


async def test_bytes_vanish_from_an_offset_on() -> None:
    async with a_link(out=Faults(vanish_after=3)) as (near, far, _):
        await near.send(b"abcdef")
        assert await read_exactly(far, 3) == b"abc"
        await nothing_comes(far)


async def test_a_truncated_stream_ends_in_the_middle() -> None:
    async with a_link(out=Faults(truncate_after=3)) as (near, far, _):
        await near.send(b"abcdef")
        assert await read_all(far) == b"abc"
        await near.send(b"more")


async def test_a_reset_breaks_both_ways() -> None:
    async with a_link(out=Faults(reset_after=3)) as (near, far, bad):
        await near.send(b"abcdef")
        with pytest.raises(anyio.BrokenResourceError):
            await near.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await read_all(far)
        await anyio.wait_all_tasks_blocked()
        assert bad.links == []


async def test_a_link_can_be_reset_at_any_time() -> None:
    async with a_link() as (near, far, bad):
        bad.links[0].reset()
        for stream in (near, far):
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()


async def test_one_bit_is_wrong_and_no_other() -> None:
    async with a_link(out=Faults(corrupt_at=70_000)) as (near, far, _), anyio.create_task_group() as group:
        group.start_soon(near.send, bytes(100_000))
        got = await read_exactly(far, 100_000)
    wrong = [(offset, value) for offset, value in enumerate(got) if value]
    assert [offset for offset, _ in wrong] == [70_000]
    assert wrong[0][1].bit_count() == 1


async def test_pieces_of_one_byte_arrive_one_by_one() -> None:
    async with a_link(back=Faults(piece=1)) as (near, far, _):
        await far.send(b"abc")
        assert [await near.receive() for _ in range(3)] == [b"a", b"b", b"c"]


async def test_a_closed_link_leaves_nothing_behind() -> None:
    async with a_link() as (near, far, bad):
        await near.send(b"x")
        await near.aclose()
        assert await read_all(far) == b"x"
        await anyio.wait_all_tasks_blocked()
        assert bad.links == []


async def test_leaving_the_transport_breaks_what_is_open() -> None:
    real = MemoryTransport()
    listener = await real.listen(HERE)
    async with accepting(listener) as accepted:
        async with FaultyTransport(real) as bad:
            near = await bad.dial(HERE)
            far = await accepted.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await near.receive()
        with pytest.raises(anyio.EndOfStream):
            await far.receive()
        await near.aclose()
        await far.aclose()
        await listener.aclose()


async def test_an_error_of_the_caller_leaves_the_transport_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with FaultyTransport(MemoryTransport()):
            raise KeyError
