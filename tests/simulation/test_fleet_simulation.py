"""Whole fleets under faults, in virtual time. A seed that fails here is replayed with `make simulate`."""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from tests.simulation.simulate import REPLAY, play

SEEDS = int(os.environ.get("TM_SEEDS", "500"))
CHUNK = 25
CPU_SECONDS = 0.6
"""Of one seed, on average. On a quiet machine it is 0.15: 500 seeds are to take less than two minutes."""


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
    assert used < CPU_SECONDS * len(seeds), f"{len(seeds)} seeds took {used:.0f} s of the processor"


def test_faults_fall_into_each_other_in_fleets_of_every_size() -> None:
    worlds = [play(seed) for seed in range(12)]
    assert all(world.faults.done for world in worlds)
    assert max(world.faults.most_at_once for world in worlds) >= 3
    assert {len(world.clients) for world in worlds} == {2, 3}
    assert {len(world.names) for world in worlds} >= {3, 8}
    seen = sum((world.ledger.seen for world in worlds), Counter[str]())
    assert seen["grants beside a pause"] > 0
    assert seen["grants under a cap"] > 0


def test_a_seed_tells_the_same_story_twice() -> None:
    once, again = play(7), play(7)
    assert once.ledger.outcomes == again.ledger.outcomes
    assert once.faults.done == again.faults.done
    assert once.disk.commits == again.disk.commits
