"""How long to wait before another attempt."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.retry import Backoff


class Middle(Random):
    """No jitter, whatever the share of it."""

    def random(self) -> float:
        return 0.5


def test_the_wait_doubles_up_to_the_ceiling() -> None:
    backoff = Backoff(first=1.0, factor=2.0, ceiling=10.0)
    assert [backoff.delay(n, Middle()) for n in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize("attempts", [0, -3])
def test_before_the_first_attempt_it_is_as_after_it(attempts: int) -> None:
    assert Backoff(first=3.0).delay(attempts, Middle()) == 3.0


@pytest.mark.parametrize("factor", [1.0, 2.0, 100.0, 1e300])
def test_a_huge_number_of_attempts_is_only_a_long_wait(factor: float) -> None:
    backoff = Backoff(factor=factor, ceiling=300.0)
    assert backoff.delay(10**9, Middle()) == (1.0 if factor == 1.0 else 300.0)


@given(
    st.floats(0.001, 100), st.floats(1, 100), st.floats(100, 10_000), st.floats(0, 1),
    st.integers(1, 100_000), st.integers(0, 2**32),
)  # fmt: skip
def test_the_wait_is_never_negative_and_never_beyond_the_longest(
    first: float, factor: float, ceiling: float, jitter: float, attempts: int, seed: int
) -> None:
    backoff = Backoff(first=first, factor=factor, ceiling=ceiling, jitter=jitter)
    assert 0.0 <= backoff.delay(attempts, Random(seed)) <= backoff.longest


def test_jitter_spreads_waits_over_its_whole_range() -> None:
    backoff = Backoff(first=10.0, jitter=0.25)
    waits = [backoff.delay(1, rng) for rng in [Random(1)] for _ in range(2_000)]
    assert 7.5 <= min(waits) < 7.6
    assert 12.4 < max(waits) <= 12.5
