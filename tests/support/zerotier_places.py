"""ZeroTier for the suite of all transports: a node cannot reach itself, so another process dials.

`zerotier()` listens with the node of this process. Its `dial` lets a second process, with its own node, dial;
that stream is driven by the one here, operation by operation over a Unix socket: nothing is read or written
ahead in between, so that what is seen here is what the stream there does. A cancelled operation is cancelled
there; what a cancelled `receive` got all the same is given to the next.

Nodes and the other process are made once for a pytest process. For use inside a namespace only.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import msgpack
import sniffio
from anyio.abc import ByteStream, TaskGroup, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream
from taskmessenger.core import errors
from taskmessenger.core.errors import TaskMessengerError
from taskmessenger.net.address import Address
from taskmessenger.net.transport import Listener
from taskmessenger.net.zerotier.library import load
from taskmessenger.net.zerotier.node import Node, ensure, running
from taskmessenger.net.zerotier.transport import ZeroTierTransport, loop_of

from tests.support.places import Place
from tests.support.zerotier_nodes import ROOT_PORT, settings

HEAD = 4
MAX_FRAME = 128 << 20
_BARE = (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError)
_ENDS = (*_BARE, anyio.BusyResourceError)
_KNOWN: dict[str, type[Exception]] = {kind.__name__: kind for kind in (*_ENDS, ValueError)}


async def write_frame(stream: ByteStream, value: Any) -> None:
    body = msgpack.packb(value)
    await stream.send(len(body).to_bytes(HEAD) + body)


async def read_frame(stream: BufferedByteReceiveStream) -> Any:
    size = int.from_bytes(await stream.receive_exactly(HEAD))
    assert size <= MAX_FRAME
    return msgpack.unpackb(await stream.receive_exactly(size))


# The dialling end's user


class RemoteStream(ByteStream):
    """A stream in the other process. Each operation is a question with a number, and its answer."""

    def __init__(self, wire: ByteStream) -> None:
        self._wire = wire
        self._lock = anyio.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[anyio.Event, list[Any]]] = {}
        self._left = b""
        """What a cancelled `receive` got."""

    async def read_answers(self) -> None:
        answers = BufferedByteReceiveStream(self._wire)
        while True:
            try:
                number, *answer = await read_frame(answers)
            except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
                break
            event, into = self._waiting.pop(number)
            into[:] = answer
            event.set()
        for event, into in self._waiting.values():
            into[:] = ["AssertionError", "the other process has ended"]
            event.set()

    async def ask(self, what: str, argument: Any = None) -> Any:
        number, answer, answered = next(self._numbers), list[Any](), anyio.Event()
        self._waiting[number] = (answered, answer)
        with anyio.CancelScope(shield=True):
            await self._put([number, what, argument])
        try:
            await answered.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._put([number, "cancel", None])
                await answered.wait()
            if what == "receive" and answer[0] == "":
                self._left += answer[1]
            raise
        error, value = answer
        if error:
            raise _raised(error, value)
        return value

    async def _put(self, value: Any) -> None:
        async with self._lock:
            await write_frame(self._wire, value)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._left:
            await anyio.lowlevel.checkpoint()
            taken, self._left = self._left[:max_bytes], self._left[max_bytes:]
            return taken
        data: bytes = await self.ask("receive", max_bytes)
        return data

    async def send(self, item: bytes) -> None:
        await self.ask("send", bytes(item))

    async def send_eof(self) -> None:
        await self.ask("send_eof")

    async def aclose(self) -> None:
        await self.ask("aclose")


def _raised(name: str, text: str) -> Exception:
    kind = _KNOWN.get(name) or getattr(errors, name, None) or AssertionError
    return kind() if kind in _BARE else kind(text)


class RemoteTransport:
    """Listens here, dials there."""

    scheme = "zt"

    def __init__(self, path: str) -> None:
        """The other process is at this Unix socket."""
        self._path = path
        self._here = ZeroTierTransport()
        self._group: TaskGroup | None = None
        self._wires: list[ByteStream] = []

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        for wire in self._wires:
            await wire.aclose()

    async def listen(self, address: Address) -> Listener:
        return await self._here.listen(address)

    async def dial(self, address: Address) -> RemoteStream:
        stream = await self._new_stream()
        await stream.ask("dial", str(address))
        return stream

    async def sockets(self) -> int:
        """How many sockets the other process has."""
        number: int = await (await self._new_stream()).ask("sockets")
        return number

    async def stop_node(self) -> None:
        """Stop the node of the other process, as at its end."""
        await (await self._new_stream()).ask("stop")

    async def node_id(self) -> str:
        """Of the other process."""
        found: str = await (await self._new_stream()).ask("node")
        return found

    async def _new_stream(self) -> RemoteStream:
        assert self._group is not None
        wire = await anyio.connect_unix(self._path)
        self._wires.append(wire)
        stream = RemoteStream(wire)
        self._group.start_soon(stream.read_answers)
        return stream


@asynccontextmanager
async def zerotier() -> AsyncIterator[Place]:
    """See the module."""
    async with driving() as (transport, new_address, _):
        yield Place(transport, new_address)


@asynccontextmanager
async def driving() -> AsyncIterator[tuple[RemoteTransport, Callable[[], Address], int]]:
    """The same, with the transport's own type and the id of the other process."""
    node = await _own_node()
    path, pid = _other_process(sniffio.current_async_library())
    async with RemoteTransport(path) as transport:
        yield transport, functools.partial(_new_address, node), pid


def own_sockets() -> int:
    """How many sockets are open here."""
    node = running()
    assert node is not None
    return loop_of(node).size


def _new_address(node: Node) -> Address:
    return Address("zt", host=node.id, network=str(node.settings.network))


@functools.cache
def _folder() -> Path:
    made = tempfile.TemporaryDirectory(prefix="tm-zt-")
    atexit.register(made.cleanup)
    return Path(made.name)


async def _own_node() -> Node:
    """The first identity's: manager and root."""
    return await ensure(settings(_folder() / "0", 0, port=ROOT_PORT), load())


@functools.cache
def _other_process(backend: str) -> tuple[str, int]:
    """Start it, and return where and who it is."""
    path = str(_folder() / f"{backend}.sock")
    number = {"asyncio": 1, "trio": 2}[backend]
    words = [sys.executable, "-m", __name__, path, backend, str(number)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ))
    atexit.register(_end, process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the other process did not start"
    return path, process.pid


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


# The other process


class Driven:
    """One stream there, and the operations on it that are under way."""

    def __init__(self, wire: ByteStream) -> None:
        self._wire = wire
        self._lock = anyio.Lock()
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._stream: ByteStream | None = None

    async def run(self) -> None:
        questions = BufferedByteReceiveStream(self._wire)
        async with self._wire, anyio.create_task_group() as group:
            while True:
                try:
                    number, what, argument = await read_frame(questions)
                except (anyio.IncompleteRead, anyio.BrokenResourceError):
                    break
                if what != "cancel":
                    await group.start(self._do, number, what, argument)
                elif scope := self._scopes.get(number):
                    scope.cancel()
            group.cancel_scope.cancel()
        if self._stream is not None:
            await self._stream.aclose()

    async def _do(self, number: int, what: str, argument: Any, *, task_status: TaskStatus[None]) -> None:
        answer: list[Any] = ["Cancelled", ""]
        with anyio.CancelScope() as scope:
            self._scopes[number] = scope
            task_status.started()  # operations begin in the order in which they were asked for
            try:
                answer = ["", await self._outcome(what, argument)]
            except (*_ENDS, ValueError, TaskMessengerError) as error:
                answer = [type(error).__name__, str(error)]
        del self._scopes[number]
        async with self._lock:
            await write_frame(self._wire, [number, *answer])

    async def _outcome(self, what: str, argument: Any) -> Any:
        node = running()
        assert node is not None
        match what:
            case "dial":
                self._stream = await ZeroTierTransport().dial(Address.parse(argument))
            case "sockets":
                return own_sockets()
            case "node":
                return node.id
            case "stop":
                await node.stop()
            case _:
                assert self._stream is not None
                return await _on(self._stream, what, argument)
        return None


async def _on(stream: ByteStream, what: str, argument: Any) -> bytes | None:
    match what:
        case "receive":
            return await stream.receive(argument)
        case "send":
            await stream.send(argument)
        case "send_eof":
            await stream.send_eof()
        case "aclose":
            await stream.aclose()
        case "garbage":
            stream._link.write(argument)
    return None


async def _serve(path: str, number: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        node = await ensure(settings(Path(home), number), load())
        listener = await anyio.create_unix_listener(path)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, _drive)
            print("ready", flush=True)
            await anyio.to_thread.run_sync(sys.stdin.read)  # until the process that started this one ends
            group.cancel_scope.cancel()
        await node.stop()


async def _drive(wire: ByteStream) -> None:
    await Driven(wire).run()


if __name__ == "__main__":
    anyio.run(_serve, sys.argv[1], int(sys.argv[3]), backend=sys.argv[2])
