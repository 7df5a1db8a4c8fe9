"""The simulator notices mistakes: each of these is in the roles or the core for a moment, and no longer."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.simulate import play


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_is_noticed_within_a_few_lives(mutant: Mutant) -> None:
    with mutant.alive():
        seeds = range(mutant.first, mutant.first + mutant.seeds)
        first = next(filter(None, map(_complaint, seeds)), "")
    assert first, f"{mutant.seeds} fleets lived on although {mutant.name}"
    assert first.startswith(tuple(mutant.noticed_as.split("|"))), f"noticed as something else: {first}"


def _complaint(seed: int) -> str:
    """What is wrong with this life; empty when nothing is."""
    try:
        play(seed)
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return str(error)
    except (AssertionError, TimeoutError) as error:
        return str(error) or type(error).__name__
    return ""
