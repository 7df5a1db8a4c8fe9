"""Which life of the data something belongs to: numbers of tasks and attempts mean something in one life only.

An epoch begins with a new database and at every restore. Each start of a manager is a moment in it: a member
that was told of a start which the database does not know has seen a future that was taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

ID_BYTES: Final = 16
KEPT_STARTS: Final = 10_000
"""Starts that a database remembers; of those before nobody can say whether they were its own."""
ID_GAP: Final = 1_000_000
"""A new epoch leaves out so many numbers of tasks at least: people remember those of the life before."""
_NUMBER_BYTES: Final = 8


def first_id_after(next_id: int) -> int:
    """Where the numbers of a new epoch begin, if the one before would have gone on with `next_id`."""
    return (next_id + 2 * ID_GAP - 1) // ID_GAP * ID_GAP + 1


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a manager."""

    epoch: bytes
    number: int
    """Counts the starts of a database, over all its epochs."""
    id: bytes

    def packed(self) -> bytes:
        """As it is told to members."""
        return self.epoch + self.number.to_bytes(_NUMBER_BYTES) + self.id

    @classmethod
    def unpacked(cls, data: bytes) -> Self | None:
        """What `packed` made, or None."""
        if len(data) != PACKED_BYTES:
            return None
        number, rest = data[ID_BYTES:], data[ID_BYTES + _NUMBER_BYTES :]
        return cls(data[:ID_BYTES], int.from_bytes(number[:_NUMBER_BYTES]), rest)


PACKED_BYTES: Final = 2 * ID_BYTES + _NUMBER_BYTES


@dataclass(frozen=True, slots=True)
class Life:
    """What a database knows of itself."""

    current: Start = field(default_factory=lambda: Start(bytes(ID_BYTES), 1, bytes(ID_BYTES)))
    starts: Mapping[int, bytes] = field(default_factory=dict)
    """The newest starts, by number."""
    epochs: frozenset[bytes] = frozenset()
    """All that it has had or has heard of, the current one too."""

    def is_from_the_future(self, told: Start) -> bool:
        """Whether somebody was told of a start that this database never had: it was put back since."""
        if told.epoch != self.current.epoch:
            return told.epoch not in self.epochs
        known = self.starts.get(told.number, self.current.id if told.number == self.current.number else None)
        if known is None:
            return told.number > min(self.starts, default=self.current.number)
        return known != told.id
