"""How often somebody may make us do work: a bucket of tokens for each, and one for all. Knows no clock."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_KEYS: Final = 1_024
"""Remembered at once; beyond that the one that has been quiet longest is forgotten, and is full again."""


class Bucket:
    """Fills by `rate` a second up to `burst`; every permission takes one out."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, float("-inf")

    def take(self, now: float) -> bool:
        """Whether there was one left; `now` is in monotonic seconds."""
        if now > self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Budget:
    """A share for each, and a bound for all together."""

    def __init__(self, each: tuple[float, float], together: tuple[float, float]) -> None:
        """Both as rate in permissions a second, and burst."""
        self._each, self._all = each, Bucket(*together)
        self._buckets: OrderedDict[str | bytes, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str | bytes, now: float) -> bool:
        """Whether `key` may go on. Who has used its share up takes nothing from the others."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(*self._each)
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now) and self._all.take(now)
