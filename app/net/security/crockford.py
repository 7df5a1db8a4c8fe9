"""Crockford's base32: what people copy, read aloud and type. The check is the caller's.

Upper and lower case are the same, `O` reads as 0, `I` and `L` as 1, and there is no `U`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BITS: Final = 5
"""Of one symbol."""
_VALUES: Final = {char: value for value, char in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}


def values(text: str) -> list[int]:
    """The number, 0 to 31, that each symbol stands for.

    Raises:
        ValueError: a character is no symbol; the text is not repeated, it may be a secret.
    """
    try:
        return [_VALUES[char] for char in text.upper()]
    except KeyError:
        raise ValueError("a character is not in the alphabet") from None


def text_of(numbers: Iterable[int]) -> str:
    """The symbols for these numbers, in upper case."""
    return "".join(ALPHABET[number] for number in numbers)


def to_bytes(numbers: list[int]) -> bytes:
    """The whole bytes in these symbols; up to seven bits at the end are padding."""
    bits = len(numbers) * BITS
    number = 0
    for value in numbers:
        number = number << BITS | value
    return (number >> bits % 8).to_bytes(bits // 8, "big")


def from_bytes(data: bytes) -> list[int]:
    """As many symbols as hold these bytes, padded with zero bits at the end."""
    bits = len(data) * 8
    count = -(-bits // BITS)
    number = int.from_bytes(data, "big") << (count * BITS - bits)
    return [number >> shift & 31 for shift in range((count - 1) * BITS, -1, -BITS)]


def random_text(symbols: int) -> str:
    """So many random symbols, from the system's source of secrets."""
    return "".join(secrets.choice(ALPHABET) for _ in range(symbols))
