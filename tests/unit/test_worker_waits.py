"""A worker that has no session tries again, ever later up to a ceiling, and says why it has none."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace
from taskmessenger.config.model import WorkerConfig
from taskmessenger.core.errors import Refused, Unreachable
from taskmessenger.roles.spool import Spool
from taskmessenger.roles.worker import Worker

from tests.support.fleet import Puppet


class Middle(Random):
    """Luck that is always the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that it waited, which take none."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)
        await checkpoint()

    monkeypatch.setattr(anyio, "sleep", sleep)
    return found


def a_worker(folder: Path, dial: Any, luck: float = 0.5) -> Worker:
    config = WorkerConfig()
    bounds = replace(config.reconnect, first=1.0, ceiling=20.0, jitter=0.5)
    identity: Any = SimpleNamespace(folder=folder / "identity")
    return Worker(
        replace(config, reconnect=bounds), identity, (), Puppet(), Spool(folder / "spool", 1 << 20),
        dial=dial, rng=Middle(luck),
    )  # fmt: skip


@pytest.mark.parametrize(("luck", "factor"), [(0.5, 1.0), (0.0, 0.5), (1.0, 1.5)])
async def test_pauses_double_up_to_the_ceiling_and_are_spread(
    tmp_path: Path, waits: list[float], luck: float, factor: float
) -> None:
    tries: list[tuple[bool, str]] = []

    async def dial(fresh: bool) -> Any:
        tries.append((fresh, worker.controls.reason))
        raise Refused("not any more") if len(tries) == 8 else Unreachable(f"try {len(tries)} failed")

    worker = a_worker(tmp_path, dial, luck)
    with pytest.raises(Refused, match="not any more"):
        await worker._keep_session(anyio.TASK_STATUS_IGNORED)
    assert waits == [factor * seconds for seconds in (1, 2, 4, 8, 16, 20, 20)]
    assert [reason for _, reason in tries][1:] == [f"try {number} failed" for number in range(1, 8)]
    assert all(fresh for fresh, _ in tries), "it has never had a session"
