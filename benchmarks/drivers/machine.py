"""The machine under a driver: only loopback, only our own processes, and what everybody else uses of it.

Linux only. Measures nothing itself. Needs nothing but the standard library: it is imported in every peer's
environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 0x1

STOP_SECONDS: Final = 10.0
"""How long a process may take to obey SIGTERM before it is killed."""
POLL_SECONDS: Final = 0.02
SAMPLE_SECONDS: Final = 0.3
QUIET_CORES: Final = 0.1
"""The machine is quiet when all others together use no more than this."""

_TICK: Final = 1.0 / os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """The peer could not be driven; the text is for the table."""


# ---- alone ----------------------------------------------------------------------------------------------


def settle_in() -> None:
    """Inherit orphaned grandchildren, so that they can be ended too; end when the parent ends."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def only_loopback() -> bool:
    """Move to a network of our own that has nothing but loopback; False where the system does not let us.

    To be called before the first thread, and inherited by every process started later.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        if libc.unshare(CLONE_NEWNET) != 0:
            return False
    else:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return _loopback_up()


def _loopback_up() -> bool:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
            flags: int = struct.unpack("16sH22x", answer)[1]
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ---- processes of ours ----------------------------------------------------------------------------------


@contextlib.contextmanager
def process(
    argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, text: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with `text` on its standard input; ended, by its id, when the block ends."""
    with log.open("ab") as sink:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
        )
    try:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(text.encode())
            child.stdin.close()
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(STOP_SECONDS)


def until(done: Callable[[], bool], seconds: float, what: str, *children: subprocess.Popen[bytes]) -> None:
    """Wait until `done`.

    Raises:
        Failed: it was not within `seconds`, or one of `children` ended first.
    """
    deadline = time.monotonic() + seconds
    while not done():
        for child in children:
            if child.poll() is not None:
                raise Failed(f"{what}: {Path(str(child.args[0])).name} ended with {child.returncode}")  # type: ignore[index]
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    name: str
    cpu: float
    """Seconds, its own and of those children that it has waited for."""


def _process(pid: int) -> Process | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses.
    name, _, rest = line.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(pid, int(fields[1]), name, sum(map(int, fields[11:15])) * _TICK)


def descendants(root: int | None = None) -> list[Process]:
    """Everything that this process (or `root`) started, directly or not; zombies included."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    table = [found for pid in pids if (found := _process(pid))]
    ours, more = {os.getpid() if root is None else root}, True
    while more:
        fresh = {each.pid for each in table if each.parent in ours} - ours
        ours |= fresh
        more = bool(fresh)
    return [each for each in table if each.pid in ours and each.pid != (root or os.getpid())]


def sweep() -> int:
    """Kill whatever is left below this process; how many there were. Needs `settle_in`."""
    killed: set[int] = set()
    deadline = time.monotonic() + STOP_SECONDS
    while (left := descendants()) and time.monotonic() < deadline:
        for each in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(each.pid, os.WNOHANG)[0] == 0:
                    killed.add(each.pid)
        time.sleep(POLL_SECONDS)
    return len(killed)


# ---- everybody else -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds spent since the machine started, and when that was read."""

    at: float
    all: float
    """By everything on the machine, stolen time included."""
    own: float
    """By this process and all below it."""

    @classmethod
    def now(cls) -> Usage:
        """As of now; takes a few milliseconds."""
        with Path("/proc/stat").open() as table:
            user, nice, system, _, _, irq, soft, steal = map(int, table.readline().split()[1:9])
        me = _process(os.getpid())
        assert me is not None
        own = me.cpu + sum(each.cpu for each in descendants())
        return cls(time.monotonic(), (user + nice + system + irq + soft + steal) * _TICK, own)

    def others_since(self, before: Usage) -> float:
        """Cores that others kept busy since `before`, on average."""
        spent = (self.all - before.all) - (self.own - before.own)
        return max(0.0, spent / max(self.at - before.at, _TICK))


class Quiet:
    """Waits for the others to be quiet, up to an allowance of seconds for the whole driver."""

    def __init__(self, allowance: float) -> None:
        self.left = allowance

    def wait(self) -> float:
        """Cores that the others used just before this returned."""
        while True:
            before = Usage.now()
            time.sleep(SAMPLE_SECONDS)
            others = Usage.now().others_since(before)
            if others <= QUIET_CORES or self.left <= 0:
                return round(others, 2)
            self.left -= SAMPLE_SECONDS
