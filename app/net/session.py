"""Runs a `Wire` over a byte stream: reads, writes and ticks until one of them ends.

Knows bytes, time and when to give up; what the messages mean is the business of whoever handles them. While
they handle, nothing is read: that is how a slow end slows the other one down, and it is nobody's silence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from traceback import clear_frames
from typing import Final

import anyio
from anyio.abc import ByteStream

from ..core.errors import PeerError, TaskMessengerError, Unreachable
from .budget import Account
from .messages import Goodbye, Message
from .protocol import PeerSilent, Phase, Wire
from .rate import Rate

READ_SIZE: Final = 256 * 1024
WRITE_SIZE: Final = 256 * 1024
WRITE_SECONDS: Final = 20.0
"""A peer that takes nothing for so long is cut off."""
CLOSE_SECONDS: Final = 2.0
"""For the stream to close."""
FAREWELL_SECONDS: Final = 1.0
"""For what waits to leave before the last word; and again for the other side to close after it. A side that
closes while something unread waits at its end would take the last word away from the other."""
STREAM_ENDED: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

Handler = Callable[[list[Message]], Awaitable[None]]


class Ended(TaskMessengerError):
    """The other side said goodbye; `reason` is the code it gave."""

    code = "ended"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message or reason)
        self.reason = reason


class Session:
    """One end of a conversation."""

    def __init__(
        self, stream: ByteStream, wire: Wire, clock: Callable[[], float] = anyio.current_time
    ) -> None:
        self.wire = wire
        self._stream = stream
        self._clock = clock
        self._wake = anyio.Event()
        self._writing = anyio.CancelScope()
        self._sent: anyio.Event | None = None
        """Set when something has left; made by whoever waits for that."""
        self._ended = False
        self.account: Account | None = None
        """Where is noted what this session holds in memory, if anybody does."""
        self.rate: Rate | None = None
        """How fast the other side may speak, if that is bounded."""

    def send(self, message: Message, *, urgent: bool = False) -> None:
        """Queue a message; it leaves when `run` next gets its turn."""
        self.wire.send(message, urgent=urgent)
        self._note()
        self._wake.set()

    def close(self, code: str, message: str = "") -> None:
        """Say goodbye once everything else is said; `run` ends when that has left."""
        self.wire.close(code, message)
        self._hurry()

    def cut(self, code: str, message: str = "") -> None:
        """Say goodbye at once, and listen no more: for a side that is not trusted, or not wanted."""
        self.wire.cut(code, message)
        self._hurry()

    def _note(self) -> None:
        if self.account is not None:
            self.account.hold(self.wire.held)

    async def room(self, most: int) -> bool:
        """Wait until at most `most` bytes wait to be sent; False when nothing more will be sent.

        Bounded, because a side that takes nothing is cut off.
        """
        while self.wire.pending > most and not self._ended:
            self._sent = self._sent or anyio.Event()
            await self._sent.wait()
        return not self._ended and self.wire.phase is not Phase.CLOSING

    async def say(self, message: Message) -> None:
        """Send one message now: for the handshake, before `run`.

        Raises:
            Unreachable: the link ended. PeerSilent: the other side takes nothing.
        """
        self.wire.send(message)
        try:
            await self._flush()
        except STREAM_ENDED as error:
            raise Unreachable("the other side closed the connection during the handshake") from error

    async def hear(self) -> Message:
        """The next message: for the handshake, before `run`.

        Raises:
            Unreachable: the link ended. PeerError: garbage. PeerSilent: nothing in time. Ended: a goodbye.
        """
        while (message := self.wire.greeting()) is None:
            wait = self.wire.deadline() - self._clock()
            try:
                with anyio.fail_after(max(0.0, wait)):
                    data = await self._stream.receive(READ_SIZE)
            except TimeoutError as error:
                raise PeerSilent("the other side does not answer the handshake") from error
            except STREAM_ENDED as error:
                raise Unreachable("the other side closed the connection during the handshake") from error
            self.wire.receive(data, self._clock())
        if isinstance(message, Goodbye):
            raise Ended(message.code, message.message)
        return message

    async def run(self, handle: Handler) -> None:
        """Serve until the link ends.

        Raises:
            Ended: the other side said goodbye. PeerError: it broke the protocol. PeerSilent: it fell silent,
            or takes nothing any more. Unreachable: the link broke.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._tick)
                await self._read(handle)
        except BaseExceptionGroup as group:
            _let_go(group)
            known, rest = group.split((TaskMessengerError, *STREAM_ENDED))
            if rest is not None or known is None:
                raise
            error = _first(known)
            if isinstance(error, PeerError):
                await self._last_word(error)
            elif self.wire.phase is Phase.CLOSING and not isinstance(error, Ended):
                error = Ended("closed", "this side closed the session")
            raise error from None
        finally:
            self._ended = True
            self._tell_sent()
            self.wire.let_go()
            if self.account is not None:
                self.account.close()

    async def linger(self) -> None:
        """Let the other side read the last word and close; what it still says is not looked at."""
        with anyio.move_on_after(FAREWELL_SECONDS):
            try:
                while True:
                    await self._stream.receive(READ_SIZE)
            except (TaskMessengerError, *STREAM_ENDED):
                return

    async def aclose(self) -> None:
        """Close the link; never waits long."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._stream.aclose()
            except STREAM_ENDED:
                return

    async def _read(self, handle: Handler) -> None:
        wire, stream, clock = self.wire, self._stream, self._clock
        now = clock()
        messages = wire.receive(b"", now)
        while True:
            if messages:
                last = messages[-1]
                wire.busy(now)
                await handle(messages)
                messages = []
                wire.ready(clock())
                self._note()
                if isinstance(last, Goodbye):
                    raise Ended(last.code, last.message)
                if wire.pending:
                    self._wake.set()
            data = await stream.receive(READ_SIZE)
            now = clock()
            messages = wire.receive(data, now)
            self._note()
            if self.rate is not None:
                await self._slow_down(self.rate.wait(wire.frames, messages, now))
            if wire.pending:
                self._wake.set()

    async def _slow_down(self, seconds: float) -> None:
        """Read nothing for so long: the other side says too much."""
        if seconds > 0:
            self.wire.busy(self._clock())
            await anyio.sleep(seconds)
            self.wire.wait_over(self._clock())

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            with anyio.CancelScope() as self._writing:
                if self.wire.phase is Phase.CLOSING:
                    self._hurry()
                await self._send_all()
            if self.wire.phase is Phase.CLOSING:
                if not self._writing.cancelled_caught:
                    await anyio.sleep(FAREWELL_SECONDS)
                raise Ended("closed", "this side closed the session")

    def _hurry(self) -> None:
        """This side is about to leave: what cannot be sent soon will not be sent."""
        self._writing.deadline = min(self._writing.deadline, anyio.current_time() + FAREWELL_SECONDS)
        self._wake.set()

    async def _send_all(self) -> None:
        """Send what waits. A link that broke may still hold the other side's last word: let it be read."""
        try:
            await self._flush()
        except STREAM_ENDED:
            await anyio.sleep(FAREWELL_SECONDS)
            raise

    def _tell_sent(self) -> None:
        if self._sent is not None:
            self._sent.set()
            self._sent = None

    async def _flush(self) -> None:
        while data := self.wire.to_send(WRITE_SIZE):
            try:
                with anyio.fail_after(WRITE_SECONDS):
                    await self._stream.send(data)
            except TimeoutError as error:
                raise PeerSilent(f"the other side took nothing for {WRITE_SECONDS:g} s") from error
            self._note()
            self._tell_sent()

    async def _last_word(self, error: PeerError) -> None:
        """Tell the other side what it did wrong, if it still listens."""
        self.wire.cut(error.code, str(error))
        with anyio.move_on_after(FAREWELL_SECONDS):
            try:
                await self._flush()
            except (TaskMessengerError, *STREAM_ENDED):
                return
        await self.linger()

    async def _tick(self) -> None:
        while True:
            now = self._clock()
            self.wire.tick(now)
            if self.wire.pending:
                self._wake.set()
            await anyio.sleep(max(0.01, min(self.wire.deadline() - now, 1.0)))


def _let_go(error: BaseException) -> None:
    """Forget what the calls that failed held: else it stays in memory until circles are looked for."""
    clear_frames(error.__traceback__)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            _let_go(one)


def _first(group: BaseExceptionGroup[BaseException]) -> TaskMessengerError:
    """Of what went wrong at once, the error that says most."""
    found: list[BaseException] = []
    todo: list[BaseException] = [group]
    while todo:
        error = todo.pop()
        if isinstance(error, BaseExceptionGroup):
            todo += error.exceptions
        else:
            found.append(error)
    for kind in (PeerError, Ended, PeerSilent, TaskMessengerError):
        for error in found:
            if isinstance(error, kind):
                return error
    return Unreachable("the connection ended")
