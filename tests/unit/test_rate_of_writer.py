"""How many outcomes come in a second, as the writer counts them."""

from __future__ import annotations

from typing import Any

from taskmessenger.core.pool import Pool
from taskmessenger.roles.writer import RATE_SECONDS, Writer
from taskmessenger.store.memory import MemoryStore


async def test_after_a_burst_the_rate_falls_to_what_comes_and_then_to_nothing() -> None:
    now = [100.0]
    writer = Writer(Pool(), MemoryStore(), lambda _: None, clock=lambda: now[0])
    assert writer.rate() == 0

    def passes(seconds: float, settled: int = 0) -> Any:
        now[0] += seconds
        writer._count(settled)

    for _ in range(50):
        passes(0.01, 100)
    assert writer.rate() == 5_000 / RATE_SECONDS
    passes(RATE_SECONDS / 2, 10)
    assert writer.rate() == 5_010 / RATE_SECONDS
    now[0] += RATE_SECONDS / 2 + 0.1
    assert writer.rate() == 10 / RATE_SECONDS, "all of the burst is forgotten at once"
    now[0] += RATE_SECONDS
    assert writer.rate() == 0
    assert writer.settled == 5_010
