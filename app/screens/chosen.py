"""What an operator has chosen for a command: one row, marked rows, or all that match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..core.text import count
from ..handle import TaskQuery

NAMED: Final = 10
"""Things that a question names one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Taken when the key was pressed: what comes in afterwards does not change what is meant."""

    noun: str = "row"
    """`task`, `worker`"""
    keys: tuple[Any, ...] = ()
    """The keys of the rows: ids of tasks, names of workers."""
    query: TaskQuery | None = None
    """All that match, instead of `keys`."""
    filter: str = ""
    """The same in the filter language; empty for all there are."""

    @property
    def whole(self) -> bool:
        """Whether it is all that match, known to the node alone."""
        return self.query is not None

    def __bool__(self) -> bool:
        return self.whole or bool(self.keys)

    def names(self) -> tuple[str, ...]:
        """The first few, as a person calls them."""
        return tuple(str(key) for key in self.keys[:NAMED])

    def told(self, number: int | None = None) -> str:
        """`task 17`, `3 tasks`, `all 1,200 tasks that match`."""
        if self.whole:
            told = "all" if number is None else f"all {number:,}"
            return f"{told} {self.noun}s" + (" that match" if self.filter else "")
        if len(self.keys) == 1:
            return f"{self.noun} {self.names()[0]}"
        return count(len(self.keys), self.noun)
