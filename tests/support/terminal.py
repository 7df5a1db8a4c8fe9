"""A program on a pseudo terminal of its own: keys, sizes, signals, and how it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

BOUND = 30.0
"""Seconds after which nothing is waited for any more."""
_ESCAPES = re.compile(r"\x1b\[[0-9;:?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>78PX^_\\]")
_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
KEPT = 4 << 20
"""Bytes of output that are kept."""


class Terminal:
    """One program on one terminal. As a context manager: it does not outlive the block."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        size: tuple[int, int] = (100, 30),
    ) -> None:
        """`size`: columns and lines."""
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self.raw = b""
        self.popen = subprocess.Popen(
            ["setsid", "--ctty", *words],  # so that the terminal is its own: the same process in the end
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environment) | {"TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"},
        )
        os.set_blocking(self.master, False)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(BOUND)
        for end in (self.master, self.slave):
            if end >= 0:
                os.close(end)
        self.master = self.slave = -1

    # ---- what is done to it -----------------------------------------------------------------------------

    def press(self, keys: str) -> None:
        """Type."""
        self.press_bytes(keys.encode())

    def press_bytes(self, data: bytes) -> None:
        """Send what no keyboard would, as fast as it is taken."""
        view = memoryview(data)
        end = time.monotonic() + BOUND
        while view:
            assert time.monotonic() < end, "the program does not read what is typed"
            self.read()
            if select.select([], [self.master], [], 0.05)[1]:
                view = view[os.write(self.master, view[:1024]) :]

    def resize(self, columns: int, lines: int) -> None:
        """Another size; whoever runs on it is told."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def signal(self, number: signal.Signals) -> None:
        """To the program."""
        self.popen.send_signal(number)

    def hang_up(self) -> None:
        """The line is cut: nobody reads, nobody types."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    # ---- what comes of it -------------------------------------------------------------------------------

    def read(self, seconds: float = 0.0) -> bytes:
        """What is written within this time."""
        new = b""
        end = time.monotonic() + seconds
        while select.select([self.master], [], [], max(end - time.monotonic(), 0.0))[0]:
            try:
                part = os.read(self.master, 1 << 16)
            except OSError:
                break
            new += part
            if not part:
                break
        self.raw = (self.raw + new)[-KEPT:]
        return new

    def until(self, wanted: str | Callable[[], object], *, since: int = 0, within: float = BOUND) -> None:
        """Until this is written after the first `since` bytes, or is so."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if (wanted in self.words(since)) if isinstance(wanted, str) else wanted():
                return
            self.read(0.05)
        raise AssertionError(f"not seen within {within:g} s: {wanted}\n{self.words(since)[-3000:]}")

    def ended(self) -> int:
        """The exit code, once it has ended."""
        self.until(lambda: self.popen.poll() is not None)
        if self.master >= 0:
            self.read(0.1)
        assert self.popen.returncode is not None
        return self.popen.returncode

    def words(self, since: int = 0) -> str:
        """All that was written, without escapes."""
        return _ESCAPES.sub("", self.raw[since:].decode("utf-8", "replace"))

    @property
    def modes(self) -> set[int]:
        """Private modes that are on: 1049 the other screen, 1000-1006 the mouse, 2004 pastes in brackets."""
        on: set[int] = set()
        for numbers, how in _MODE.findall(self.raw):
            for number in map(int, numbers.split(b";")):
                (on.add if how == b"h" else on.discard)(number)
        return on

    def is_restored(self) -> bool:
        """Whether the terminal is as it was found: its own screen, a cursor, echo, no mouse."""
        return self.modes <= {25, 7} and 25 in self.modes and self._flags() == self.before[:4]

    def _flags(self) -> list[int]:
        now = termios.tcgetattr(self.slave)
        return now[:4]


def streams_of(pid: int) -> set[str]:
    """What a process reads from and writes to."""
    return {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)}


def catches(pid: int, number: int) -> bool:
    """Whether a process has something of its own to do when this signal comes."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
    return bool(caught >> number - 1 & 1)
