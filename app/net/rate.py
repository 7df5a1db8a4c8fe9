"""How fast one member may speak, over all its sessions; beyond that it is read slowly. Knows no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from .greeting import Beat
from .messages import Broke, Finished, FromWorker, Goodbye, Holding, Message, Started, Submit

PER_SECOND: Final = 5_000.0
"""Messages of a member; tasks and results travel many to a message."""
BURST: Final = 5_000.0
"""Messages that may come at once."""
QUESTION: Final = 4.0
"""What a question or command costs besides: it is looked up, and answered."""
ROWS: Final = 20
"""Rows of columns that cost as much as a message: honest ones bring few thousands a second."""
MAX_WAIT: Final = 5.0
"""Seconds that a session is not read, at most, before its signs of life are looked at again."""
_CHEAP: Final = (Submit, Beat, Goodbye, *get_args(FromWorker))


_COLUMNS: Final = (Holding, Started, Finished, Broke)


class Rate:
    """What one member has left to say now."""

    def __init__(self) -> None:
        self._left, self._at = BURST, 0.0

    def wait(self, frames: int, messages: Sequence[Message], now: float) -> float:
        """So many frames came, with these messages: seconds until more may be read."""
        cost = frames + QUESTION * sum(not isinstance(one, _CHEAP) for one in messages)
        cost += sum(len(one.ends if isinstance(one, Broke) else one.tasks) for one in messages
                    if isinstance(one, _COLUMNS)) / ROWS  # fmt: skip
        self._left = min(BURST, self._left + max(0.0, now - self._at) * PER_SECOND) - cost
        self._at = now
        return min(MAX_WAIT, max(0.0, -self._left / PER_SECOND))
