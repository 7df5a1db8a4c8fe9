"""Whole fleets under faults, in virtual time. A seed that fails here is replayed with `make simulate`."""

from __future__ import annotations

import os

import pytest

from tests.simulation.simulate import play

SEEDS = int(os.environ.get("TM_SEEDS", "500"))
CHUNK = 25
FAILED_ONCE: tuple[int, ...] = ()
"""Seeds that found something; they stay."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    for seed in range(first, min(first + CHUNK, SEEDS)):
        try:
            play(seed)
        except BaseException as error:
            error.add_note(f"replay: python -m tests.simulation.simulate --first {seed} --seeds 1")
            raise


def test_what_was_found_once_stays_mended() -> None:
    for seed in FAILED_ONCE:
        play(seed)


def test_a_seed_tells_the_same_story_twice() -> None:
    once, again = play(7), play(7)
    assert once.outcomes == again.outcomes
    assert once.disk.commits == again.disk.commits
