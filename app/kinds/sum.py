"""The sum of numbers."""

from __future__ import annotations

import math
from typing import Any

from ._arguments import Number, number

DESCRIPTION = "the sum of a list of numbers, or of the numbers in a text"
EXAMPLE = [1, 2, 3]
FINAL = (ValueError,)


async def handle(payload: Any) -> Number:
    """The sum; an int when all of them are. Nothing at all sums to 0.

    Raises:
        ValueError: something in it is no number.
    """
    if isinstance(payload, str):
        parts: list[Any] = payload.replace(",", " ").split()
    elif isinstance(payload, list):
        parts = payload
    else:
        parts = [payload]
    numbers = [number(part, "sum") for part in parts]
    if any(isinstance(n, float) for n in numbers):
        return math.fsum(numbers)
    return sum(numbers)
