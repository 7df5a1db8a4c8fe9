"""A terminal that a test can type into and read: a tmux server of its own, which ends with the test."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

TMUX = which("tmux")
BOUND = 30.0
"""Seconds after which a test has failed; nothing takes so long when it works."""
POLL = 0.1
COMMAND_SECONDS = 20.0


class Terminal:
    """One tmux window on a socket of its own."""

    def __init__(self, socket: Path, size: tuple[int, int]) -> None:
        self._socket, self._size = socket, size

    def start(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        """Run a command in the window. When it ends its exit code is shown, and the window stays."""
        given = " ".join(f"{key}={shlex.quote(value)}" for key, value in environ.items())
        line = f"env {given} {shlex.join(words)}; echo EXIT=$?; exec sleep 300"
        width, height = self._size
        self._tmux("-f", os.devnull, "new-session", "-d", "-x", str(width), "-y", str(height), line)

    def keys(self, *keys: str) -> None:
        """Press keys, as tmux names them."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text as it stands."""
        self._tmux("send-keys", "-l", text)

    def seen(self) -> str:
        """What stands on the screen."""
        return self._tmux("capture-pane", "-p")

    def until(self, *words: str, gone: Sequence[str] = ()) -> str:
        """Wait until all of this is on the screen, and none of that; gives the screen."""
        return self.wait(lambda seen: all(w in seen for w in words) and not any(w in seen for w in gone),
                         f"{words} without {gone}")  # fmt: skip

    def wait(self, condition: Callable[[str], bool], what: str) -> str:
        """Wait until the screen is so."""
        deadline = time.monotonic() + BOUND
        while not condition(seen := self.seen()):
            assert time.monotonic() < deadline, f"never saw {what}; the screen is:\n{seen}"
            time.sleep(POLL)
        return seen

    def end(self) -> None:
        """The server and all that runs in it."""
        subprocess.run(self._words("kill-server"), capture_output=True, check=False, timeout=COMMAND_SECONDS)

    def _words(self, *words: str) -> list[str]:
        assert TMUX is not None
        return [TMUX, "-S", str(self._socket), *words]

    def _tmux(self, *words: str) -> str:
        # Textual believes these two more than the terminal itself.
        dropped = {"TMUX", "COLUMNS", "LINES"}
        environ = {key: value for key, value in os.environ.items() if key not in dropped}
        environ |= {"LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            self._words(*words), capture_output=True, check=True, timeout=COMMAND_SECONDS, env=environ
        )
        return done.stdout.decode("utf-8", "replace")


@contextmanager
def terminal(folder: Path, size: tuple[int, int] = (120, 40)) -> Iterator[Terminal]:
    """A window that does not outlive the block."""
    one = Terminal(folder / "tmux", size)
    try:
        yield one
    finally:
        one.end()
