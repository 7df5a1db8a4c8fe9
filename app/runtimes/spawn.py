"""Starts a child process below its guard: a clean environment, a private directory, pipes and a channel.

Blocks while the system starts it; call it in a thread that lives as long as the child, because on Linux the
child dies with the thread that started it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import leftovers
from .family import new_mark
from .limits import Limits

PASSED_ON: Final = ("PATH", "LANG", "TZ", "SYSTEMROOT")
"""Variables of the worker that a task may see, with all that begin with LC_."""
_DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started child and our ends of its lines."""

    process: subprocess.Popen[bytes]
    """The guard."""
    channel: socket.socket
    home: Path
    mark: int
    """On everything below the guard."""


def spawn(run_dir: Path, limits: Limits, name: str, source: str) -> Spawned:
    """Start one for the kind of this name, whose code is at `source`.

    Raises:
        OSError: the system does not let us: no memory, no process, no descriptor, no space.
    """
    home = leftovers.new_home(run_dir)
    ours, theirs = socket.socketpair()
    mark = new_mark()
    try:
        with theirs:
            process = subprocess.Popen(
                _argv(theirs.fileno(), mark, limits, name, source),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=home / "work",
                env=environment(os.environ, home) | {"TM_KIND": name},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
    except OSError:
        ours.close()
        leftovers.forget(home)
        raise
    try:
        leftovers.record(home, process.pid, mark)
    except OSError:
        # What is not on record could outlive a killed worker, so it is not used.
        with process:
            process.terminate()  # the guard ends everything
        ours.close()
        leftovers.forget(home)
        raise
    return Spawned(process, ours, home, mark)


def _argv(descriptor: int, mark: int, limits: Limits, name: str, source: str) -> list[str]:
    # -P and -s: neither the working directory nor the user's own packages may replace a module.
    flags = ["-P", "-s"]
    told = [str(descriptor), str(os.getpid()), str(mark), limits.to_json(), name, source]
    return [sys.executable, *flags, "-m", f"{__package__}.guard", *told]


def environment(ours: Mapping[str, str], home: Path) -> dict[str, str]:
    """All that a task gets to see: no secrets of whoever started the worker."""
    kept = {name: value for name, value in ours.items() if name in PASSED_ON or name.startswith("LC_")}
    kept.setdefault("PATH", _DEFAULT_PATH)
    return kept | {
        "HOME": str(home / "work"),
        "TMPDIR": str(home / "work"),
        "PYTHONPATH": os.pathsep.join(_import_path()),
        "PYTHONDONTWRITEBYTECODE": "1",
        leftovers.MARK: home.name,
    }


def _import_path() -> list[str]:
    """This process's own, so that a child finds the same code under the same names."""
    return list(dict.fromkeys(str(Path(entry or ".").resolve()) for entry in sys.path))
