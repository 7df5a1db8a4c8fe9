"""Tasks that run until a test lets them end, so that nothing has to be timed: the kind `gate`."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from taskmessenger.handle import Group
from taskmessenger.paths import under

SOURCE = '''
"""Runs until the file it is given exists; says by another file that it has begun."""

import asyncio
from pathlib import Path


async def handle(payload, ctx):
    Path(f"{payload}.{ctx.attempt}").touch()
    while not Path(payload).exists():
        await asyncio.sleep(0.01)
    return "through"
'''
BEGIN_SECONDS = 30.0


def offer_gates(worker_home: Path) -> None:
    """Workers started at this home offer the kind from now on."""
    kinds = under(worker_home).kinds
    kinds.mkdir(parents=True, mode=0o700, exist_ok=True)
    (kinds / "gate.py").write_text(SOURCE, encoding="utf-8")


class Gate:
    """One place to be held up at."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self._file = folder / name

    def group(self, worker: str | None = None) -> Group:
        """One task that is held up here; only this worker may run it, if one is named."""
        return Group("gate", [msgspec.msgpack.encode(str(self._file))], worker=worker)

    def reached(self, attempt: int) -> bool:
        """Whether this attempt has begun."""
        return Path(f"{self._file}.{attempt}").exists()

    def attempts(self) -> list[int]:
        """All that have begun."""
        return sorted(int(p.suffix[1:]) for p in self._file.parent.glob(f"{self._file.name}.*"))

    def open(self) -> None:
        """Whoever is held up here may end."""
        self._file.touch()

    def await_attempt(self, attempt: int) -> None:
        """Until it has begun."""
        until(lambda: self.reached(attempt), f"attempt {attempt} has begun")


def until(condition, what: str, seconds: float = BEGIN_SECONDS) -> None:
    """Poll until it holds; blocks."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
