"""While a console has the terminal, nobody else writes to it or reads its keys.

Task code shares the process of a worker. What it, or a program that it starts, writes to the descriptors 1
and 2 goes to the log, and at 0 there is nothing to read; the console keeps the terminal by others.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from time import monotonic
from typing import Final

log = logging.getLogger(__name__)

LINES_A_SECOND: Final = 20
"""That are logged; of more only the number."""
LONGEST: Final = 8_192
"""Bytes of a line."""
READ_SIZE: Final = 65_536
_NAMES: Final = ("__stdin__", "__stdout__", "__stderr__")


@contextmanager
def own_terminal() -> Iterator[None]:
    """The terminal is where `sys.__stdin__`, `sys.__stdout__` and `sys.__stderr__` lead, and nowhere else."""
    before = [getattr(sys, name) for name in _NAMES]
    kept = [os.dup(number) for number in range(3)]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for name, number, mode in zip(_NAMES, kept, "rww", strict=True):
        setattr(
            sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)
        )
    source, drain = os.pipe()
    Thread(target=_log_lines, args=(source,), name="tm-written", daemon=True).start()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for number, other in enumerate((nowhere, drain, drain)):
        os.dup2(other, number)
    os.close(nowhere)
    os.close(drain)
    try:
        yield
    finally:
        for name, number, stream in zip(_NAMES, range(3), before, strict=True):
            with suppress(OSError, ValueError):  # the terminal has gone
                getattr(sys, name).flush()
            setattr(sys, name, stream)
            os.dup2(kept[number], number)
            os.close(kept[number])


def _log_lines(source: int) -> None:
    """Until nobody has the other end any more."""
    limit, rest = _Limit(), b""
    with os.fdopen(source, "rb", buffering=0) as pipe:
        while data := pipe.read(READ_SIZE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                limit.log(line)
            if len(rest) > LONGEST:
                limit.log(rest)
                rest = b""
    if rest:
        limit.log(rest)


class _Limit:
    """Few lines a second."""

    def __init__(self) -> None:
        self._since, self._count = monotonic(), 0

    def log(self, line: bytes) -> None:
        now = monotonic()
        if now - self._since >= 1.0:
            if self._count > LINES_A_SECOND:
                log.info("lines that tasks have written beyond that: %d", self._count - LINES_A_SECOND)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= LINES_A_SECOND:
            log.info("written by a task: %s", line[:LONGEST].decode("utf-8", "replace"))
