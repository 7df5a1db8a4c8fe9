"""Loads kinds to see what they are, each in a process of its own that is thrown away afterwards.

Runs below a guard, as the children that run jobs do, and under the same limits: the code of a kind may crash,
hang, or start whatever it likes. Worker to inspector: `[[name, source], ...]`. Inspector to worker, for each:
`["kind", name, facts]` or `["broken", name, why, stderr]`, then nothing more.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgpack

from ..core.errors import ConfigError
from .child import read_message
from .failures import clean
from .frames import frame, parse
from .limits import Limits
from .loading import facts_of, load_kind

STDERR_KEPT: Final = 8 * 1024
WHY_BYTES: Final = 1024
POLL_SECONDS: Final = 0.002
_FACTS: Final = "facts"
_SAID: Final = "said"


def main(argv: list[str]) -> None:
    """Look at what the worker names."""
    descriptor, _, limits = argv
    bounds = Limits.from_json(limits)
    os.set_inheritable(int(descriptor), False)
    with socket.socket(fileno=int(descriptor)) as channel:
        body = read_message(channel)
        for name, source in parse(body) if body is not None else ():
            channel.sendall(frame(*_look(channel, bounds, name, source)))
    os._exit(0)


def _look(channel: socket.socket, bounds: Limits, name: str, source: str) -> tuple[Any, ...]:
    pid = os.fork()
    if pid == 0:
        _tell(channel, bounds, name, source)
    status = _status(pid, bounds.import_seconds)
    said = _tail(Path(_SAID))
    facts = Path(_FACTS)
    told = msgpack.unpackb(facts.read_bytes()) if facts.exists() else None
    facts.unlink(missing_ok=True)
    if status is None:
        why = f"loading it took longer than limits.import_seconds ({bounds.import_seconds:g} s)"
        return "broken", name, why, said
    if isinstance(told, str):
        return "broken", name, told, said
    if told is None:
        return "broken", name, _died(status), said
    return "kind", name, told


def _died(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"its process exited with code {code} while it loaded the code"
    with suppress(ValueError):
        return f"its process died of {signal.Signals(-code).name} while it loaded the code"
    return f"its process died of signal {-code} while it loaded the code"


def _status(pid: int, limit: float | None) -> int | None:
    """How it ended; None when it had to be killed for taking too long."""
    until = None if limit is None else time.monotonic() + limit
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        if until is not None and time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(POLL_SECONDS)


def _tell(channel: socket.socket, bounds: Limits, name: str, source: str) -> None:
    """In a process of its own: load it, and leave what it is in a file."""
    import faulthandler

    channel.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(os.open(_SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    here = Path.cwd()
    bounds.apply()
    bounds.renew_cpu()
    faulthandler.enable()
    try:
        told: Any = facts_of(load_kind(name, source))
    except ConfigError as error:
        told = clean(str(error), WHY_BYTES)
    (here / f"{_FACTS}.part").write_bytes(msgpack.packb(told))
    (here / f"{_FACTS}.part").rename(here / _FACTS)
    os._exit(0)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - STDERR_KEPT))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
