"""How large a message may be by what it says, told from its first bytes: before it is held, or decoded.

What a decoder makes of a message takes up to a hundred times its bytes, and everybody else waits meanwhile.
So only what carries values in one piece may be large: one result, one error, payloads. Columns of numbers fit
into a frame, where they cost next to nothing.

Honest peers encode in the one way that `messages.pack` does. What begins otherwise gets no more than a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from ..core.errors import PeerError

SMALL: Final = 64 * 1024
"""Bytes that any message may have: a frame."""
HEAD: Final = 96
"""First bytes of a message that are looked at."""
MAX_TASKS: Final = 20_000
"""Tasks in one submission."""
MAX_IDS: Final = 100_000
"""Tasks in one command or question."""
MAX_ERROR: Final = 256 * 1024
"""Bytes of one error."""
OFFER: Final = 4 * 1024 * 1024
"""A thousand kinds, with what is said about them."""
PROGRESS: Final = 1024 * 1024
QUERY: Final = 2 * 1024 * 1024
SUBMIT: Final = 40
_PAYLOADS, _KEYS = 2, 3
"""Fields of a group that come before: its kind and payloads; and its keys too."""
PLAIN: Final = 1024 * 1024
"""Up to so many bytes a submission is decoded as it comes."""
REST: Final = 4 * 1024
"""Bytes of a submission besides payloads and keys, for each group."""
_EDIT: Final = b"\x83\xa4verb\xa4edit\xa3ids\x91"
_NEW: Final = b"\xa7payload"
"""How an act begins that edits one task, and what stands before its payload."""
_NIL, _BIN8, _STR8 = 0xC0, 0xC4, 0xD9
_SHORT: Final = range(0xA0, 0xC0)
"""Strings whose length is in their first byte."""
_ID: Final = 9
"""Bytes of a number, at most."""

Bound: TypeAlias = Callable[[bytes], int]
"""Bytes that a message may have that begins so."""


class _Walk:
    """Steps over msgpack values, without making them. IndexError or ValueError: one is not as expected."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes | bytearray) -> None:
        self.data, self.at = data, 0

    def array(self) -> int:
        """Into an array; how many values it has."""
        return self._length(0x90, 0x0F, (0xDC, 0xDD))

    def text(self) -> None:
        """Over a string."""
        if self.data[self.at] == _STR8:
            self.at += 2 + self.data[self.at + 1]
        else:
            size = self._length(0xA0, 0x1F, (0xDA, 0xDB))
            self.at += size

    def binary(self) -> int:
        """Over the head of bytes; how many they are."""
        if self.data[self.at] == _BIN8:
            self.at += 2
            return self.data[self.at - 1]
        return self._length(0x100, 0, (0xC5, 0xC6))

    def number(self) -> int:
        """Over a number, true, false or nil; a small number is told."""
        first = self.data[self.at]
        self.at += _NUMBERS[first]
        return first

    def many(self, count: int) -> None:
        """Over so many values that hold no others. A loop without calls: there may be a hundred thousand."""
        data, at = self.data, self.at
        for _ in range(count):
            first = data[at]
            if first in {0xC4, 0xD9}:
                at += 2 + data[at + 1]
            elif first in {0xC5, 0xDA}:
                at += 3 + (data[at + 1] << 8 | data[at + 2])
            elif first in {0xC6, 0xDB}:
                at += 5 + int.from_bytes(data[at + 1 : at + 5], "big")
            elif first in _SHORT:
                at += 1 + (first & 0x1F)
            else:
                at += _NUMBERS[first]
        if at > len(data):
            raise IndexError(at)
        self.at = at

    def skips(self, words: bytes) -> bool:
        """Over these very bytes, if they are there."""
        found = self.data.startswith(words, self.at)
        self.at += found * len(words)
        return found

    def nothing(self) -> bool:
        """Over nil, if it is there."""
        found = self.data[self.at] == _NIL
        self.at += found
        return found

    def _length(self, fixed: int, mask: int, heads: tuple[int, int]) -> int:
        first, at = self.data[self.at], self.at
        if fixed <= first <= fixed + mask:
            self.at += 1
            return first & mask
        if first not in heads:
            raise ValueError(first)
        size = 2 if first == heads[0] else 4
        self.at = at + 1 + size
        if self.at > len(self.data):
            raise IndexError(at)
        return int.from_bytes(self.data[at + 1 : self.at], "big")


_NUMBERS: Final[Mapping[int, int]] = {
    **dict.fromkeys((*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3), 1),
    **dict.fromkeys((0xCC, 0xD0), 2),
    **dict.fromkeys((0xCD, 0xD1), 3),
    **dict.fromkeys((0xCE, 0xD2, 0xCA), 5),
    **dict.fromkeys((0xCF, 0xD3, 0xCB), 9),
}
"""Bytes of a value by its first one."""


def _alone(walk: _Walk) -> None:
    if walk.array() != 1:
        raise ValueError("more than one")


def _finished(walk: _Walk, largest: int) -> int:
    """One result."""
    for _ in range(2):
        _alone(walk)
        walk.number()
    _alone(walk)
    return walk.binary() + walk.at + 1 + _ID


def _broke(walk: _Walk, largest: int) -> int:
    """One error."""
    _alone(walk)
    walk.array()
    for _ in range(4):
        walk.number()
    return min(MAX_ERROR, walk.binary()) + walk.at


def _ids(walk: _Walk, largest: int) -> int:
    walk.number()
    return _numbered(walk)


def _command(walk: _Walk, largest: int) -> int:
    walk.number()
    walk.text()
    return _numbered(walk)


def _act(walk: _Walk, largest: int) -> int:
    """The payload of a task that is edited; any other act is no larger than a question."""
    walk.number()
    if walk.skips(_EDIT):
        walk.number()
        if walk.skips(_NEW):
            return max(QUERY, walk.binary() + walk.at)
    return QUERY


def _numbered(walk: _Walk) -> int:
    """Twice as many as make sense are told that they are too many."""
    return min(2 * MAX_IDS, walk.array()) * _ID + REST


def _constant(size: int) -> Callable[[_Walk, int], int]:
    return lambda _walk, _largest: size


_WORKER: Final[Mapping[int, Callable[[_Walk, int], int]]] = {
    20: _constant(OFFER),
    23: _finished,
    24: _broke,
    25: _constant(PROGRESS),
}
_CLIENT: Final[Mapping[int, Callable[[_Walk, int], int]]] = {
    SUBMIT: lambda _walk, largest: largest,
    41: _ids,
    43: _constant(QUERY),
    45: _ids,
    46: _command,
    51: _act,
    52: _constant(QUERY),
}
"""By the number of the message: what it may have, if that is more than a frame."""


def bound_for(speaker: str, largest: int) -> Bound | None:
    """For what peers of that role say; None where all may be as large as any: managers may do that."""
    kinds = _WORKER if speaker == "worker" else _CLIENT if speaker in {"client", "operator"} else None
    if kinds is None:
        return None

    def bound(head: bytes) -> int:
        walk = _Walk(head)
        try:
            walk.array()
            measure = kinds.get(walk.number())
            found = measure(walk, largest) if measure is not None else SMALL
        except (IndexError, KeyError, ValueError):
            found = SMALL
        return max(SMALL, min(found, largest))

    return bound


def overfull(body: bytes | bytearray) -> int | None:
    """The number of the request, if this is a submission of more tasks than one may have.

    Raises:
        PeerError: it is large, and not encoded as honest peers do.
    """
    if len(body) <= PLAIN or body[1] != SUBMIT:
        return None
    walk = _Walk(body)
    try:
        walk.array()
        walk.number()
        start = walk.at
        walk.number()
        request = _unsigned(body[start : walk.at])
        tasks = 0
        for _ in range(walk.array()):
            fields = walk.array()
            walk.text()
            count = walk.array()
            tasks += 1 + count
            if tasks > MAX_TASKS:
                return request
            walk.many(count)
            if fields > _PAYLOADS and not walk.nothing():
                walk.many(min(MAX_TASKS, walk.array()))
            walk.many(fields - _KEYS)
        if len(body) - walk.at > REST:
            raise PeerError("a submission with more in it than a submission has")
    except (IndexError, KeyError, ValueError) as error:
        raise PeerError("a submission that is not encoded as it should be") from error
    return None


def _unsigned(number: bytes | bytearray) -> int:
    """A number of a request, as it is encoded."""
    return number[0] if len(number) == 1 else int.from_bytes(number[1:], "big")
