"""The inside of a child process: binds itself, then runs one job after the other until nobody sends any.

Started as `python -m taskmessenger.runtimes.child FD PARENT LIMITS`. It is made to be killed: the worker ends
it, with all it started, whenever a job takes too long. Imports little, because it starts often.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from ..core.errors import ConfigError, PeerError
from .context import REPORT_INTERVAL, Context, Pending, Stop
from .frames import HEADER, body_size, frame, parse
from .invoke import Failure, attempt
from .limits import Limits
from .loading import Kind, load_kind

PARENT_CHECK_SECONDS: Final = 1.0
_PR_SET_PDEATHSIG: Final = 1


class Talk:
    """What this process says to the worker."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._pending: Pending | None = None
        self._something = threading.Event()
        self._thread: threading.Thread | None = None

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
    """Bind this process, then serve."""
    descriptor, parent, limits = int(argv[0]), int(argv[1]), Limits.from_json(argv[2])
    _die_with(parent)
    limits.apply()
    _set_up_output()
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as channel:
        _Server(channel, limits).serve()
    os._exit(0)  # threads that a job left behind must not keep this process


def _die_with(parent: int) -> None:
    """No worker, no child: not even when the worker was killed."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), name="tm-parent", daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)  # it died before the request was made


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _set_up_output() -> None:
    import faulthandler

    faulthandler.enable()  # a crash leaves the Python stack on stderr, which the worker keeps
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


class _Server:
    """Runs what the worker sends."""

    def __init__(self, channel: socket.socket, limits: Limits) -> None:
        self._channel, self._limits = channel, limits
        self._talk = Talk(channel)
        self._me, self._home = os.getpid(), Path.cwd()
        self._kinds: dict[tuple[str, str], Kind] = {}

    def serve(self) -> None:
        """One job after the other, until the worker hangs up."""
        self._talk.send("ready")
        while (body := _read(self._channel)) is not None:
            name, source, payload, task, number = parse(body)
            answer = self._run((name, source), payload, task, number)
            _flush_output()
            self._talk.flush()
            if isinstance(answer, bytes):
                self._talk.send("done", answer)
            else:
                self._talk.send("failed", *answer)

    def _run(self, which: tuple[str, str], payload: bytes, task: int, number: int) -> bytes | Failure:
        try:
            kind = self._kinds.get(which) or self._kinds.setdefault(which, load_kind(*which))
        except ConfigError as error:
            return Failure("failed", f"the process of `{which[0]}` cannot load it: {error}")
        try:
            place = _enter(self._home, task, number)
        except OSError as error:
            return Failure("worker_fault", f"no working directory for `{kind.name}`: {error.strerror}")
        os.environ.update(TM_TASK=str(task), TM_ATTEMPT=str(number), TM_KIND=kind.name)
        self._limits.renew_cpu()
        stop = Stop()
        context = Context(task, number, kind.name, self._talk.post, stop)
        answer = attempt(kind, payload, context, stop)
        if os.getpid() != self._me:
            _flush_output()
            os._exit(0)  # the handler forked, and this is the copy: only one may tidy up and answer
        _leave(self._home, place)
        return answer


def _enter(home: Path, task: int, number: int) -> Path:
    """A fresh working directory, which is the place for temporary files too."""
    place = home / f"{task}-{number}"
    place.mkdir(mode=0o700)
    os.chdir(place)
    os.environ["TMPDIR"] = tempfile.tempdir = str(place)
    return place


def _leave(home: Path, place: Path) -> None:
    os.chdir(home)
    try:
        place.rmdir()
    except OSError:
        shutil.rmtree(place, ignore_errors=True)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the handler closed it


def _read(channel: socket.socket) -> bytearray | None:
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


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (PeerError, BrokenPipeError) as error:
        sys.exit(f"the conversation with the worker broke: {error}")
