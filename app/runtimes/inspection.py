"""What a kind is, without its code ever running in this process: processes that are thrown away load it.

Blocks until all are loaded, at most the time that loading may take for each; call it in a thread where an
event loop must go on.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..config.machine import processors
from ..core.errors import PeerError
from ..core.text import printable
from .failures import clean
from .family import end_all, marked
from .frames import Splitter, frame
from .hints import last_line, limit_behind
from .limits import Limits
from .spawn import Given, Spawned, spawn

MAX_AT_A_TIME: Final = 4
READ_SIZE: Final = 64 * 1024
WHY_BYTES: Final = 1_000
START_SECONDS: Final = 30.0
"""For the interpreter of a process that looks, beside the time that loading may take."""
END_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the code of a kind says of itself."""

    runtime: str
    """That it asks for; empty where it does not."""
    is_async: bool
    takes_context: bool
    description: str
    timeout: float | None
    example: bytes
    """msgpack; empty when there is none."""
    fresh: bool
    files: tuple[str, ...]
    """Modules beside its own file that it has loaded."""


Inspect = Callable[[Mapping[str, str], Limits, Given], dict[str, Facts | str]]


def inspect(sources: Mapping[str, str], limits: Limits, given: Given) -> dict[str, Facts | str]:
    """By name: what the kind is, or why it cannot be used, in one line."""
    many = min(MAX_AT_A_TIME, processors(), len(sources))
    shares = [dict(sorted(sources.items())[start::many]) for start in range(many)]
    found: dict[str, Facts | str] = {}
    with ThreadPoolExecutor(MAX_AT_A_TIME, "tm-inspect") as pool:
        for part in pool.map(lambda share: _share(share, limits, given), shares):
            found |= part
    return found


def _share(sources: Mapping[str, str], limits: Limits, given: Given) -> dict[str, Facts | str]:
    """One after the other, in a process that starts one for each."""
    place = Path(tempfile.mkdtemp(prefix="tm-kinds-"))
    try:
        spawned = spawn(place, limits, given, "inspector")
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        return dict.fromkeys(sources, f"no process can be started to load it: {error.strerror or error}")
    try:
        return _ask(spawned, sources, limits)
    finally:
        _end(spawned)
        shutil.rmtree(place, ignore_errors=True)


def _ask(spawned: Spawned, sources: Mapping[str, str], limits: Limits) -> dict[str, Facts | str]:
    found: dict[str, Facts | str] = {}
    channel, splitter = spawned.channel, Splitter()
    patience = None if limits.import_seconds is None else START_SECONDS + limits.import_seconds
    channel.settimeout(patience)
    with suppress(OSError, PeerError):
        channel.sendall(frame(*sources.items()))
        while len(found) < len(sources) and (data := channel.recv(READ_SIZE)):
            for message in splitter.feed(data):
                name, told = _read(message, limits)
                if name in sources:
                    found[name] = told
    lost = "the process that was to load it did not answer"
    return {name: found.get(name, lost) for name in sources}


def _read(message: list[Any], limits: Limits) -> tuple[str, Facts | str]:
    match message:
        case ["kind", str() as name, dict() as facts]:
            return name, Facts(**{**facts, "files": tuple(facts["files"])})
        case ["broken", str() as name, str() as why, str() as stderr]:
            text = printable(why, WHY_BYTES)  # with the cure at its end, however long the path before it
            said = last_line(stderr.encode())
            if said and said not in text:
                text += f": {printable(said)}"
            hint = limit_behind(f"{text} {stderr}", limits)
            return name, clean(f"{text}; {hint}" if hint else text, WHY_BYTES)
        case _:
            raise PeerError("a process that loads kinds sent something that is no message")


def _end(spawned: Spawned) -> None:
    """The guard ends everything; what it cannot is ended by its mark."""
    spawned.channel.close()
    process = spawned.process
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end_all(lambda: marked((spawned.mark,)))
