"""How long to wait before another attempt."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Grows by `factor` from `first` to `ceiling` seconds, each wait spread by +-`jitter` of itself."""

    first: float = 1.0
    factor: float = 2.0
    ceiling: float = 300.0
    jitter: float = 0.25

    def delay(self, attempts: int, rng: Random) -> float:
        """Seconds to wait after `attempts` (1 or more) attempts that ended badly."""
        try:
            grown = min(self.ceiling, self.first * self.factor ** (max(attempts, 1) - 1))
        except OverflowError:  # what 2.0 ** 1100 is, instead of a long wait
            grown = self.ceiling
        return grown * (1 + self.jitter * (2 * rng.random() - 1))

    @property
    def longest(self) -> float:
        """Seconds that no wait exceeds."""
        return self.ceiling * (1 + self.jitter)
