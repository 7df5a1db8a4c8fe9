"""Whether keys that came in one write were typed, or are a text that was pasted where no field is open.

A terminal that does not say what a paste is sends it as if it had been typed. Nobody types a line in no time;
but a slow link brings a few keys together, and a macro opens a field and fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from itertools import groupby
from typing import Final

from textual.events import Event, Key

AT_ONCE: Final = 6
"""Keys that a hand may have given while a link stood still. The same one again and again counts once."""
SAME_SECONDS: Final = 1.0
"""What comes so soon after a text belongs to it, when it is more than one key."""
ALONE_SECONDS: Final = 0.05
"""Likewise, one key: a terminal hands on a long text in pieces, and some of them are as short as that."""
MOST_KEYS: Final = 65_536
"""Of one burst; what is more is looked at as another one."""
_ENDS: Final = frozenset({"enter", "ctrl+j"})


class Burst:
    """The keys of one write, whether they have come to be handled or not."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.looked_at = False
        self.left_out = False
        """What has not been handled of it is not going to be."""

    def take(self, events: Iterable[Event]) -> None:
        """These are its keys."""
        for event in events:
            if isinstance(event, Key):
                event.burst = self, len(self.keys)  # type: ignore[attr-defined]
                self.keys.append(event.key)


class Bursts:
    """Tells what was read of a terminal together. On one thread, while another handles the keys."""

    def __init__(self) -> None:
        self._burst: Burst | None = None
        self._at = float("-inf")

    def of(self, text: str, now: float) -> Burst | None:
        """Where these keys belong, which are to be given to it; None: they are too few to be a text."""
        burst, soon = self._burst, SAME_SECONDS if len(text) > 1 else ALONE_SECONDS
        goes_on = (
            burst is not None
            and now - self._at < soon
            and (burst.left_out or not burst.looked_at)
            and len(burst.keys) < MOST_KEYS
        )
        if not goes_on:
            self._burst = Burst() if len(text) > AT_ONCE else None
        return self._burst

    def handed_over(self, now: float) -> None:
        """They are on their way; that takes time as well."""
        self._at = now


def burst_of(event: Event) -> tuple[Burst | None, int]:
    """With which others this key came, where they are many, and its place among them."""
    return getattr(event, "burst", (None, 0))


class Does(Enum):
    """What a key does where it is pressed."""

    OPENS = auto()
    """A field, which takes what follows."""
    MOVES = auto()
    """It changes what is seen, and nothing else."""
    ACTS = auto()
    NOTHING = auto()
    ELSEWHERE = auto()
    """Nothing here, but something on another screen: what follows was meant for that, and is left out."""


def is_text(keys: Iterable[str], does: Callable[[str], Does]) -> bool:
    """Whether something would be done by a line of which nobody can have typed so much.

    `does` is asked about the keys that no field takes, in their order.
    """
    return any(
        Does.ACTS in {what for _, what in line} and len([*groupby(key for key, _ in line)]) > AT_ONCE
        for line in _lines(keys, does)
    )


def _lines(keys: Iterable[str], does: Callable[[str], Does]) -> Iterator[list[tuple[str, Does]]]:
    """Keys that are commands, line by line; not what goes into a field that one of them has opened."""
    line: list[tuple[str, Does]] = []
    in_field = False
    for key in keys:
        if key in _ENDS:
            yield line
            line, in_field = [], False
        elif not in_field:
            what = does(key)
            if what is Does.ELSEWHERE and not any(one is Does.ACTS for _, one in line):
                break
            # Behind something that is done it would be luck that a field opens.
            in_field = what is Does.OPENS and all(one is Does.MOVES for _, one in line)
            line.append((key, what))
    yield line
