"""What the attempts that run on this worker write: the end of it is kept until they have ended.

Bounded for each and in all. What is left out is counted, so that whoever reads the rest knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from ..net import messages as m
from ..net.framing import FRAGMENT, in_frames

IN_ALL: Final = 32 * 1024 * 1024
"""Bytes of all that runs; beyond that those that have been silent longest keep none."""
PIECE: Final = FRAGMENT // 2
"""Bytes of one piece: it must arrive before word of the end, so that each message is one frame."""
ROW_BYTES: Final = 32
"""Of a piece besides its data, at most."""


class Written(NamedTuple):
    """The end of what an attempt wrote."""

    start: int
    """Bytes that it wrote before."""
    data: bytes

    @property
    def end(self) -> int:
        """Bytes that it wrote in all."""
        return self.start + len(self.data)


class _One:
    __slots__ = ("attempt", "end", "kept")

    def __init__(self, attempt: int) -> None:
        self.attempt, self.end, self.kept = attempt, 0, bytearray()


class Outputs:
    """Of one worker."""

    def __init__(self, most: int, in_all: int = IN_ALL) -> None:
        """`most`: bytes of each attempt that are kept."""
        self._most, self._in_all = most, in_all
        self.by_task: dict[int, _One] = {}
        """What runs and has written something; who wrote last is last."""
        self._total = 0

    def hear(self, task: int, attempt: int, data: bytes) -> int:
        """It wrote this; says how many bytes it had written before."""
        one = self.by_task.pop(task, None)
        if one is None or one.attempt != attempt:
            self._total -= len(one.kept) if one is not None else 0
            one = _One(attempt)
        self.by_task[task] = one
        before, size = one.end, len(one.kept)
        one.end += len(data)
        one.kept += data[max(0, len(data) - self._most) :]
        if len(one.kept) > 2 * self._most:  # seldom, because it moves what stays
            del one.kept[: len(one.kept) - self._most]
        self._total += len(one.kept) - size
        if self._total > self._in_all:
            self._make_room()
        return before

    def _make_room(self) -> None:
        for one in self.by_task.values():
            if self._total <= self._in_all:
                return
            self._total -= len(one.kept)
            one.kept = bytearray()

    def take(self, task: int, attempt: int) -> Written | None:
        """What is kept of an attempt that has ended; None when it wrote nothing."""
        one = self.by_task.get(task)
        if one is None or one.attempt != attempt:
            return None
        del self.by_task[task]
        self._total -= len(one.kept)
        data = bytes(one.kept[max(0, len(one.kept) - self._most) :])
        return Written(one.end - len(data), data)


def pieces(task: int, attempt: int, written: Written) -> Iterator[m.Piece]:
    """As it is sent; at least one, which says how much there was."""
    for at in range(0, max(1, len(written.data)), PIECE):
        yield (task, attempt, written.start + at, written.data[at : at + PIECE])


def send_pieces(send: Callable[[m.Message], None], some: Iterable[m.Piece]) -> None:
    """As many together as fit into one frame."""
    for together in in_frames(some, lambda piece: ROW_BYTES + len(piece[3])):
        send(m.Output(together))
