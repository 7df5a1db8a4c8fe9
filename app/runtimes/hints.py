"""Which limit has probably ended a task, and how it is raised: in the words of the settings."""

from __future__ import annotations

import re
import signal
from typing import Final

from .failures import clean
from .limits import Limits

LINE_BYTES: Final = 300
"""Of the last words of a process that stand in a message."""
_MEMORY: Final = re.compile(
    r"MemoryError|bad_alloc|allocate memory|Errno 12\]|out of memory|memory.{0,20}fail|allocation failed",
    re.IGNORECASE,
)
_FILES: Final = re.compile(r"Errno 24\]|oo many open files")
_FILE_SIZE: Final = re.compile(r"Errno 27\]|ile too large|ile size limit")
_PROCESSES: Final = re.compile(r"Errno 11\]|can't start new thread|esource temporarily unavailable")
_SOCKET_PATH: Final = "AF_UNIX path too long"
_FATAL: Final = "Fatal Python error: "
MIB: Final = 1024 * 1024


def limit_behind(text: str, limits: Limits, number: int | None = None) -> str:
    """A part of a sentence that names the limit, when what a task said, or its signal, points to one."""
    for setting, given, unit, bound, told in (
        ("cpu_seconds", limits.cpu_seconds, 1, "s of processor time an attempt", number == signal.SIGXCPU),
        ("file_size_mb", limits.file_bytes, MIB, "MiB for a file",
         number == signal.SIGXFSZ or _FILE_SIZE.search(text)),
        ("memory_mb", limits.memory, MIB, "MiB of address space", _MEMORY.search(text)),
        ("files", limits.open_files, 1, "open files", _FILES.search(text)),
        ("processes", limits.processes, 1, "processes and threads of one user", _PROCESSES.search(text)),
    ):  # fmt: skip
        if given is not None and told:
            met = f"it probably met its limit, {given // unit:,} {bound}"
            return f"{met}; raise limits.{setting} of this worker, or set it to null"
    if _SOCKET_PATH in text:
        return (
            "the directories of this worker have too long names for that: use spawn or fork, or a"
            " shorter TASKMESSENGER_HOME"
        )
    return "nobody here killed it: the system may have been out of memory" if number == signal.SIGKILL else ""


def last_line(stderr: bytes | bytearray) -> str:
    """The last line that says something, before the stack that a fatal signal leaves."""
    said = stderr.decode("utf-8", "replace").partition(_FATAL)[0]
    lines = [line.strip() for line in said.splitlines()]
    return clean(next((line for line in reversed(lines) if line), ""), LINE_BYTES)
