"""One warm child process, as the worker sees it: send a job, get an answer or learn how it died.

Never waits for the child's goodwill: what it writes is read and bounded, what it does not read is kept aside,
and when it is to end, its guard kills it with all it started. On the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final

from ..core.errors import PeerError
from .context import NOTE_BYTES, OUTPUT_CAP, Send
from .failures import MESSAGE_BYTES, STACK_BYTES, clean, clean_end
from .family import descendants, end_all, marked
from .frames import Splitter
from .invoke import Failure
from .loading import Kind
from .spawn import Spawned

STDERR_KEPT: Final = 64 * 1024
"""Bytes of the last words that are kept as evidence."""
READ_SIZE: Final = 256 * 1024
PIPE_READ: Final = 64 * 1024
"""What a pipe holds at most."""
LAST_READS: Final = 16
"""Reads of a pipe when a job ends: what was written before, but no endless stream."""
MAX_CHANNEL_READS: Final = 1_024
"""Reads of the channel after a death: more than the largest message."""
CHANGED: Final = "changed"
"""Instead of a reason: the files of its kind are those of another version."""
GUARD_SECONDS: Final = 2.0
"""How long a guard may take to end everything; then it is done from here, guard and all."""
SWEEP_ROUNDS: Final = 5
"""Looks for what a killed guard has left."""
HANG_UP_SECONDS: Final = 1.0
"""How long a child that closed its channel may take to die by itself."""
FLOOD_PAUSE: Final = 0.002
"""Seconds between two reads of a pipe of whose output only the end is kept."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended."""

    exit_code: int | None
    signal: int | None
    max_rss_kb: int
    """Largest resident memory; on Linux at least what the worker itself had when it started the child."""
    fault: str = ""
    """What it did to the conversation before it was killed for it."""


@dataclass(frozen=True, slots=True)
class Done:
    """A job came to its end in a child that lives."""

    answer: bytes | Failure
    spoiled: str = ""
    """Why this child can take no other job."""
    left: str = ""
    """What lay in its working directory at the end, and was removed."""


Answer = Done | Death


class Child:
    """A started process. Owns it, its pipes and its channel."""

    def __init__(self, spawned: Spawned, kind: Kind, on_gone: Callable[[Child], None]) -> None:
        self.kind = kind
        self._loop = asyncio.get_running_loop()
        self._process, self._channel, self.home = spawned.process, spawned.channel, spawned.home
        self._mark = spawned.mark
        self._on_gone = on_gone
        self._splitter = Splitter()
        self._unsent = memoryview(b"")
        self._blocked = False
        """The channel is full, and what is unsent waits for it."""
        self._answer: asyncio.Future[Answer | None] | None = None
        self._send_on: Send | None = None
        self._fault = ""
        self._hung_up: asyncio.TimerHandle | None = None
        self._killed = self._reaped = False
        """From then on its number may be somebody else's."""
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when it runs and begins to load its kind, or never will because it is gone."""
        self.loaded: asyncio.Future[str] = self._loop.create_future()
        """Done when it can take jobs, with "", or with why not; also when it is gone."""
        self.gone: asyncio.Future[Death] = self._loop.create_future()
        """Done when it is dead and buried."""
        self.jobs = 0
        self.stderr_tail = bytearray()
        self._output_left = OUTPUT_CAP
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel, self._on_channel)
        pipes = (spawned.process.stdout, spawned.process.stderr)
        self._pipes = [
            _Pipe(self._loop, pipe, take) for pipe, take in zip(pipes, self._takers(), strict=True) if pipe
        ]
        self._printed = select.poll()
        for pipe in self._pipes:
            self._printed.register(pipe.number, select.POLLIN)
        self._watch()

    @property
    def pid(self) -> int:
        """Of the guard."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it may be given work."""
        return not (self.gone.done() or self._killed or self._hung_up)

    def run(self, job: bytes, send_on: Send) -> asyncio.Future[Answer | None]:
        """Send it a job; the answer comes, or its death, and until then what it reports goes to `send_on`."""
        assert self._answer is None, "one job at a time"
        self.jobs += 1
        self._send_on, self._output_left = send_on, OUTPUT_CAP
        self.stderr_tail.clear()
        answer = self._answer = self._loop.create_future()
        if self.gone.done():
            self._finish(self.gone.result())
        else:
            self.send(job)
        return answer

    def send(self, message: bytes) -> None:
        """Send it this, as it takes it."""
        self._unsent = memoryview(message)
        self._on_writable()

    def kill(self) -> None:
        """End it and everything that it started, now. `gone` tells when it is over."""
        if self._killed or self._reaped:
            return
        self._killed = True
        for number in (signal.SIGTERM, signal.SIGCONT):  # it may have been stopped by what it guards
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

        def force() -> None:
            """The guard did not do it."""
            if not self._reaped:
                self._loop.run_in_executor(None, end_all, lambda: [*descendants(self.pid), self.pid])

        self._loop.call_later(GUARD_SECONDS, force)

    def give_up(self) -> None:
        """Answer None to whoever waits: it was killed and is still there."""
        self._finish(None)

    def _takers(self) -> tuple[Callable[[bytes], bool], Callable[[bytes], bool]]:
        def take_error(data: bytes) -> bool:
            self.stderr_tail += data
            del self.stderr_tail[:-STDERR_KEPT]
            return self._output(data)

        return self._output, take_error

    def _output(self, data: bytes) -> bool:
        """Pass output on; False when there was so much of it that it need not come fast."""
        self._output_left -= len(data)
        if data and self._send_on is not None:
            self._send_on(None, "", data)
        return self._output_left > 0

    # the channel

    def _on_writable(self) -> None:
        try:
            sent = self._channel.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._unsent = memoryview(b"")
            self._loop.remove_writer(self._channel)
            return  # it is dying; its death will say more
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._blocked = True
            self._loop.add_writer(self._channel, self._on_writable)
        elif self._blocked:
            self._blocked = False
            self._loop.remove_writer(self._channel)

    def _on_channel(self) -> bool:
        """Take what is there; False when there is nothing more."""
        try:
            data = self._channel.recv(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return False
        try:
            for message in self._splitter.feed(data):
                self._on_message(message)
        except PeerError as error:
            self._loop.remove_reader(self._channel)
            self._kill_for(str(error))
            return False
        return True

    def _hang_up(self) -> None:
        """The other end is closed: it is dying, or task code closed it and it must not live on."""
        self._loop.remove_reader(self._channel)
        if self._hung_up is None and not self._reaped:
            self._hung_up = self._loop.call_later(
                HANG_UP_SECONDS, self._kill_for, "it closed its channel to the worker"
            )

    def _kill_for(self, fault: str) -> None:
        self._fault = self._fault or fault
        self.kill()

    def _on_message(self, message: list[Any]) -> None:
        """What a child may say; task code could write to the channel, so nothing is believed."""
        match message:
            case ["ready"] if not self.ready.done():
                self.ready.set_result(None)
            case ["loaded"] if not self.loaded.done():
                self.loaded.set_result("")
            case ["changed"] if not self.loaded.done():
                self.loaded.set_result(CHANGED)
            case ["broken", str() as why] if not self.loaded.done():
                self.loaded.set_result(clean(why, MESSAGE_BYTES) or "no reason is given")
            case ["report", float() | None as progress, str() as note, bytes() as output]:
                self._on_report(progress, note, output)
            case ["done", bytes() as result, str() as spoiled, str() as left] if self._answer is not None:
                self._finish(Done(result, clean(spoiled, NOTE_BYTES), clean(left, MESSAGE_BYTES)))
            case [
                "failed", str() as code, str() as text, str() as stack, str() as spoiled, str() as left,
            ] if self._answer is not None:  # fmt: skip
                failure = Failure(code[:32], clean(text, MESSAGE_BYTES), clean_end(stack, STACK_BYTES))
                self._finish(Done(failure, clean(spoiled, NOTE_BYTES), clean(left, MESSAGE_BYTES)))
            case _:
                raise PeerError("it sent something that is no message")

    def _on_report(self, progress: float | None, note: str, output: bytes) -> None:
        if self._send_on is not None and progress is not None and 0 <= progress <= 1:
            self._send_on(progress, clean(note, NOTE_BYTES), b"")
        self._output(output)

    def _finish(self, answer: Answer | None) -> None:
        if self._printed.poll(0):
            for pipe in self._pipes:
                pipe.pump()  # what was printed belongs to this job and comes before its end
        waiting, self._answer, self._send_on = self._answer, None, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    # the end

    def _watch(self) -> None:
        """Learn of its death, whoever else holds its pipes open."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_in_thread, name=f"tm-wait-{self.pid}", daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        _, status, usage = os.wait4(self.pid, 0)
        self._reaped = True
        sweep = self._loop.run_in_executor(None, _sweep, self._mark)
        sweep.add_done_callback(lambda _: self._bury(status, usage.ru_maxrss))

    def _wait_in_thread(self) -> None:
        _, status, usage = os.wait4(self.pid, 0)
        self._reaped = True
        _sweep(self._mark)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._bury, status, usage.ru_maxrss)

    def _bury(self, status: int, max_rss: int) -> None:
        for _ in range(MAX_CHANNEL_READS):
            if self._channel.fileno() < 0 or not self._on_channel():
                break  # an answer that was complete before the death counts
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        if self._hung_up is not None:
            self._hung_up.cancel()
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        death = Death(code if code >= 0 else None, -code if code < 0 else None, max_rss, self._fault)
        self.gone.set_result(death)
        self._finish(death)
        for pipe in self._pipes:
            pipe.close()
        if not self.ready.done():
            self.ready.set_result(None)
        if not self.loaded.done():
            self.loaded.set_result("it died")
        self._on_gone(self)


def _sweep(mark: int) -> None:
    """End what is left below a guard that is dead: nothing, unless it was killed by what it guarded."""
    for _ in range(SWEEP_ROUNDS):
        if not end_all(lambda: marked((mark,))):
            return


class _Pipe:
    """Reads one of the child's streams as it comes, and slowly once nobody wants it any more."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pipe: IO[bytes], take: Callable[[bytes], bool]
    ) -> None:
        self._loop, self._pipe, self._take = loop, pipe, take
        self.number = pipe.fileno()
        self._paused: asyncio.TimerHandle | None = None
        self._wanted = True
        os.set_blocking(pipe.fileno(), False)
        loop.add_reader(pipe, self._on_readable)

    def _on_readable(self) -> None:
        if self._read() and not self._wanted:
            self._loop.remove_reader(self._pipe)
            self._paused = self._loop.call_later(FLOOD_PAUSE, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._pipe, self._on_readable)

    def _read(self) -> bool:
        """One piece; False when there is none now."""
        try:
            data = os.read(self._pipe.fileno(), PIPE_READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._pipe)
            return False
        self._wanted = self._take(data)
        return True

    def pump(self) -> None:
        """Take what is there now."""
        for _ in range(LAST_READS):
            if self._pipe.closed or not self._read():
                return

    def close(self) -> None:
        """Let go of it."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._pipe)
        self._pipe.close()


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; `signal 64` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
