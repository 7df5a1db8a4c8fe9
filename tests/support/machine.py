"""This machine: how slow it is just now, and where tests may write.

How slow, so that a figure with a bound in seconds can be held to it anywhere. The measure is the start of a
Python process with what every process here imports: fault runs are made of processes that start, wake and
talk. It is taken on all processors at once, so others at work there count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

import psutil

QUIET_SECONDS: Final = 0.2
"""What a start takes on the quiet machine with two cores for which goals are given, with some to spare."""
ROUNDS: Final = 3
COMMAND: Final = (sys.executable, "-c", "import asyncio, ssl, apsw, msgspec, cryptography.x509")
NOISE: Final = 1.1
"""Two runs on one quiet machine differ by so much."""
TEMPORARY: Final = "PYTEST_DEBUG_TEMPROOT"
"""Where pytest has the folders of tests."""
MEMORY: Final = Path("/dev/shm")
ROOM: Final = 6 << 30
"""Bytes that have to be free there; what tests need at one time is far less."""


def slowness() -> float:
    """How many times slower than a quiet one this machine is: at this moment, or when it was first asked."""
    return max(_measured(), at_first())


@cache
def at_first() -> float:
    """The same, before anything was under way here."""
    return _measured()


def _measured() -> float:
    return NOISE * max(1.0, max(_start() for _ in range(ROUNDS)) / QUIET_SECONDS)


def _start() -> float:
    """Seconds until as many processes as there are processors have started and ended."""
    start = time.monotonic()
    running = [subprocess.Popen(COMMAND) for _ in range(os.cpu_count() or 1)]
    assert not any(process.wait() for process in running)
    return time.monotonic() - start


def temporary() -> Path:
    """Where folders of tests are: in memory if there is room, for what is synced there keeps nobody waiting.

    What a disk does when the power fails is imagined in `tests.faults.power`, and how slow one can be in the
    simulator; no test learns that from the disk of this machine.
    """
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK):
        free = psutil.disk_usage(str(MEMORY)).free
        if min(free, psutil.virtual_memory().available) >= ROOM:
            return MEMORY
    return Path(tempfile.gettempdir())
