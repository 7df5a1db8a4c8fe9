"""Whole fleets under faults, in virtual time. A seed that fails here is replayed with `make simulate`."""

from __future__ import annotations

import os
import time
from collections import Counter
from heapq import heappop, heappush

import pytest

from tests.simulation.simulate import REPLAY, play

SEEDS = int(os.environ.get("TM_SEEDS", "150"))
"""For every commit: the mistakes of `mutants` are seen within far fewer. `make simulate` runs any number."""
CHUNK = 25
PIECES = 30
"""Pieces of work, see `_piece`, that a seed may take on average; it takes about half as many."""


def _piece() -> float:
    """What this processor takes for a fixed piece of work, so that a slow machine is no slow simulator."""
    found = []
    for _ in range(3):
        start = time.process_time()
        heap: list[tuple[int, str]] = []
        for n in range(20_000):
            heappush(heap, (n * 7_919 % 20_011, str(n)))
        while heap:
            heappop(heap)
        found.append(time.process_time() - start)
    return min(found)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    seeds = range(first, min(first + CHUNK, SEEDS))
    start = time.process_time()
    for seed in seeds:
        try:
            play(seed)
        except BaseException as error:
            error.add_note(f"replay: {REPLAY.format(seed=seed)}")
            raise
    used = time.process_time() - start
    pieces = used / len(seeds) / _piece()
    assert pieces < PIECES, f"a seed took {used / len(seeds):.2f} s of the processor, {pieces:.1f} pieces"


def test_faults_fall_into_each_other_in_fleets_of_every_size() -> None:
    worlds = [play(seed) for seed in range(12)]
    assert all(world.faults.done for world in worlds)
    assert max(world.faults.most_at_once for world in worlds) >= 3
    assert {len(world.clients) for world in worlds} == {2, 3}
    assert {len(world.names) for world in worlds} >= {3, 8}
    seen = sum((world.ledger.seen for world in worlds), Counter[str]())
    assert seen["grants beside a pause"] > 0
    assert seen["grants under a cap"] > 0
    assert seen["words beside a result"] > 0


def test_a_seed_tells_the_same_story_twice() -> None:
    once, again = play(7), play(7)
    assert once.ledger.outcomes == again.ledger.outcomes
    assert once.faults.done == again.faults.done
    assert once.disk.commits == again.disk.commits
