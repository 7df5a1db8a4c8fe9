"""What leaves a link: at once where it can, and together where it had to wait. A fake at the binding seam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from taskmessenger.net.messages import Steered
from taskmessenger.net.protocol import Wire
from taskmessenger.net.session import Session
from taskmessenger.net.zerotier import binding as b
from taskmessenger.net.zerotier.link import WRITE_SIZE, Link, State
from taskmessenger.net.zerotier.window import WINDOW, WRITES, Window


class Socket:
    """Takes so many bytes, and remembers each call."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.sent: list[bytes] = []

    def zts_bsd_send(self, fd: int, data: bytes, size: int, flags: int) -> int:
        taken = min(size, self.room)
        if not taken:
            return -1
        self.room -= taken
        self.sent.append(data[:taken])
        return taken


class Loop:
    """Does at once what it is asked."""

    def __init__(self, socket: Socket) -> None:
        self.quick = self.library = socket
        self.interest = 0

    def add(self, watched: Any) -> None:
        self.update(watched)

    def update(self, watched: Any) -> None:
        self.interest = watched.interest

    def run(self, command: Callable[[], None]) -> bool:
        command()
        return True


@pytest.fixture
def socket() -> Socket:
    return Socket()


@pytest.fixture
def loop(socket: Socket) -> Loop:
    return Loop(socket)


@pytest.fixture
def link(loop: Loop) -> Link:
    return Link(loop, 3, State.OPEN)  # type: ignore[arg-type]


def test_where_there_is_room_each_write_leaves_at_once(link: Link, socket: Socket, loop: Loop) -> None:
    for number in range(3):
        link.write(bytes([number]) * 10)
    assert socket.sent == [bytes([number]) * 10 for number in range(3)]
    assert not loop.interest & b.POLLOUT


def test_writes_that_had_to_wait_leave_together_in_their_order(
    link: Link, socket: Socket, loop: Loop
) -> None:
    socket.room = 15
    window = Window()
    frames = [window.write(memoryview(bytes([number]) * 100)) for number in range(WRITES)]
    for frame in frames:
        link.write(frame)
    assert len(socket.sent) == 1
    assert loop.interest & b.POLLOUT
    socket.room = 1 << 30
    link.ready(b.POLLOUT)
    assert b"".join(socket.sent) == b"".join(frames)
    assert len(socket.sent) == 2, "all of them in one call"
    assert not loop.interest & b.POLLOUT


def test_no_call_brings_libzt_more_than_it_is_quick_with(link: Link, socket: Socket) -> None:
    socket.room = 0
    window = Window()
    for _ in range(WRITES):
        link.write(window.write(memoryview(bytes(WINDOW // WRITES))))
    socket.room = 1 << 30
    link.ready(b.POLLOUT)
    assert [len(sent) for sent in socket.sent] == [WRITE_SIZE, 8 * WRITES]


class Recording(ByteStream):
    """Remembers each `send`, which over ZeroTier is one write and one call of libzt."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, item: bytes) -> None:
        self.sent.append(item)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError

    async def send_eof(self) -> None: ...

    async def aclose(self) -> None: ...


async def test_what_a_session_says_in_one_turn_of_its_loop_is_one_write() -> None:
    stream = Recording()
    session = Session(stream, Wire("greeter", anyio.current_time()))
    session.wire.establish("manager to worker", heartbeat=60.0, dead_after=120.0, now=anyio.current_time())

    async def ignore(_: object) -> None: ...

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.run, ignore)
        await anyio.wait_all_tasks_blocked()
        stream.sent.clear()
        for number in range(100):
            session.send(Steered(number))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert len(stream.sent) == 1
