"""The inside of a child process: binds itself, loads its kind, then runs one job after the other.

Its guard forks it (`guard`). It is made to be killed: the worker ends it, with all it started, whenever a job
takes too long, and does not use it again after a job that left it unfit for the next. Imports little, because
it starts often.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..core.errors import ConfigError
from ..core.text import printable
from .beside import SOURCE_VARIABLE
from .context import OUTPUT_CAP, OUTPUT_END, REPORT_INTERVAL, Cap, Context, Pending, Stop
from .failures import clean
from .frames import HEADER, body_size, frame, parse
from .invoke import Failure, attempt
from .limits import Limits
from .loading import FILE_PREFIX, Changed, Kind, load_version
from .surroundings import Surroundings

MAX_TOLD: Final = 5
"""Files left in a working directory that are named."""
LEFT_BYTES: Final = 500
"""Of the words for them."""


class Talk:
    """What this process says to the worker."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._pending: Pending | None = None
        self._something = threading.Event()
        self._thread: threading.Thread | None = None

    def threads(self) -> int:
        """How many threads of this process are its own."""
        return 0 if self._thread is None else 1

    def send(self, *parts: Any) -> None:
        """Send one message now."""
        with self._sending:
            self._channel.sendall(frame(*parts))

    def post(self, progress: float | None, note: str, output: bytes) -> None:
        """Send it soon, together with what else comes until then."""
        with self._lock:
            self._pending = self._pending or Pending()
            self._pending.add(progress, note, output)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_flushing, name="tm-reports", daemon=True)
                self._thread.start()
        self._something.set()

    def flush(self) -> None:
        """Send what is waiting."""
        with self._lock:
            pending, self._pending = self._pending, None
        if pending is not None:
            self.send("report", pending.progress, pending.note, bytes(pending.output))

    def _keep_flushing(self) -> None:
        while self._something.wait():
            self._something.clear()
            self.flush()
            time.sleep(REPORT_INTERVAL)


def main(argv: list[str]) -> None:
    """Bind this process, load its kind, then serve."""
    descriptor, guard, limits = argv
    bounds = Limits.from_json(limits)
    bounds.apply()
    _set_up_output()
    os.set_inheritable(int(descriptor), False)
    with socket.socket(fileno=int(descriptor)) as channel:
        talk = Talk(channel)
        talk.send("ready")
        wanted = read_message(channel)
        if wanted is None:
            os._exit(1)
        name, source, files, digest, directory = parse(wanted)
        os.environ.update({"TM_KIND": name, SOURCE_VARIABLE: source.removeprefix(FILE_PREFIX)})
        bounds.renew_cpu()
        try:
            kind = load_version(name, source, files, digest)
        except Changed:
            talk.send("changed")
        except ConfigError as error:
            _flush_output()
            talk.send("broken", str(error))
        else:
            _Server(channel, talk, kind, bounds, Surroundings(int(guard), talk.threads), directory).serve()
    os._exit(0)  # threads that a job left behind must not keep this process


def _set_up_output() -> None:
    import faulthandler

    faulthandler.enable()  # a crash leaves the Python stack on stderr, which the worker keeps
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


class _Server:
    """Runs what the worker sends."""

    def __init__(
        self,
        channel: socket.socket,
        talk: Talk,
        kind: Kind,
        limits: Limits,
        surroundings: Surroundings,
        directory: str,
    ) -> None:
        self._channel, self._talk, self._kind, self._limits = channel, talk, kind, limits
        self._surroundings, self._directory = surroundings, directory
        self._me, self._home, self._jobs = os.getpid(), Path.cwd(), 0

    def serve(self) -> None:
        """One job after the other, until the worker hangs up or this process is fit for none."""
        self._talk.send("loaded")
        spoiled = ""
        while not spoiled and (body := read_message(self._channel)) is not None:
            payload, task, number = parse(body)
            answer, spoiled, left = self._run(payload, task, number)
            self._talk.flush()
            if isinstance(answer, bytes):
                self._talk.send("done", answer, spoiled, left)
            else:
                self._talk.send("failed", *answer, spoiled, left)

    def _run(self, payload: bytes, task: int, number: int) -> tuple[bytes | Failure, str, str]:
        """The answer, why there can be no other job here, and what was left in the working directory."""
        kind = self._kind
        try:
            place = self._enter(task, number)
        except OSError as error:
            why = f"no working directory for `{kind.name}`: {error.strerror}"
            return Failure("worker_fault", why), why, ""
        self._limits.renew_cpu()
        stop = Stop()
        # The worker has a cap of its own, for this and for what is printed.
        cap = Cap(OUTPUT_CAP - 2 * OUTPUT_END)

        def send(progress: float | None, note: str, output: bytes) -> None:
            output = cap.take(output)
            if output or progress is not None:
                self._talk.post(progress, note, output)

        context = Context(task, number, kind.name, send, stop)
        answer = attempt(kind, payload, context, stop)
        if os.getpid() != self._me:
            _flush_output()
            os._exit(0)  # the handler forked, and this is the copy: only one may tidy up and answer
        _flush_output()
        if rest := cap.rest():
            self._talk.post(None, "", rest)
        return answer, *self._tidied(place)

    def _tidied(self, place: Path) -> tuple[str, str]:
        """Why there can be no other job here, and what was left in the working directory."""
        files = ""
        try:
            files = self._leave(place)
            left = self._surroundings.left_processes()
            spoiled = self._surroundings.restore()
        except BaseException as error:  # border: what task code has done to this process may raise anything
            return f"it cannot be put in order: {type(error).__name__}", files
        if left:
            spoiled = f"it left {left} process{'es' if left > 1 else ''} running"
        return spoiled, files

    def _enter(self, task: int, number: int) -> Path:
        """A fresh working directory, which is the place for temporary files too."""
        self._jobs += 1
        place = self._home / str(self._jobs)
        place.mkdir(mode=0o700)
        os.chdir(self._directory or place)
        tempfile.tempdir = str(place)
        os.environ.update(TMPDIR=str(place), TM_TASK=str(task), TM_ATTEMPT=str(number))
        self._surroundings.expect_variables()
        return place

    def _leave(self, place: Path) -> str:
        os.chdir(self._home)
        try:
            place.rmdir()
        except OSError:
            left = _told(place)
            shutil.rmtree(place, ignore_errors=True)
            return left
        return ""


def _told(place: Path) -> str:
    """What lies in a directory, in a few words."""
    names, count = [], 0
    with suppress(OSError):
        for folder, _, files in os.walk(place):
            for file in files:
                count += 1
                if count <= MAX_TOLD:
                    path = Path(folder, file)
                    with suppress(OSError):
                        names.append(f"{path.relative_to(place)} ({path.lstat().st_size:,} bytes)")
    if not names:
        return ""
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return clean(printable(f"{', '.join(names)}{more}"), LEFT_BYTES)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # border: the handler closed it, or it is the handler's own
            stream.flush()


def read_message(channel: socket.socket) -> bytearray | None:
    """The next message, or None when the worker has hung up."""
    header = _exactly(channel, HEADER.size)
    return None if header is None else _exactly(channel, body_size(header))


def _exactly(channel: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        try:
            count = channel.recv_into(rest)
        except ConnectionError:
            return None
        if count == 0:
            return None
        rest = rest[count:]
    return data
