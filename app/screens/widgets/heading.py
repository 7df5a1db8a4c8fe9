"""What the head of every screen says, and what of it yields where it is narrow. Plain strings.

It is one line at any width. Words yield one by one, the least needed first; every tab keeps its digit, the
clock is whole or not there, and what is wrong (alarms, FROZEN, READ ONLY) is said in the end with a letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rich.cells import cell_len

from .painter import fit
from .words import safe

MAX_NAME: Final = 24
SHORT_NAME: Final = 12
SHORT_TITLE: Final = 4
"""Letters of a title that yields; one more is worth no cut."""
SECONDS: Final = slice(5, 8)
"""Where they stand in `15:41:39 UTC`."""
FULL, SHORT, DIGIT = 2, 1, 0
GAP: Final = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What the head says."""

    fleet: str
    role: str
    here: str
    """Title of this screen."""
    tabs: tuple[tuple[str, str, str, bool], ...]
    """Digit, title, action, whether it is this one."""
    notes: tuple[str, ...] = ()
    """FROZEN, READ ONLY, alarms"""
    clock: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some cells of the head."""

    text: str
    action: str = ""
    """Of a tab."""
    name: bool = False
    """It names the fleet."""
    here: bool = False
    """It is about this screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What there is room for."""

    role: bool = True
    seconds: bool = True
    clock: bool = True
    words: bool = True
    """Of the notes; else their first letters."""
    blanks: bool = True
    """Around tabs."""
    fleet: int = MAX_NAME
    here: int = MAX_NAME
    titles: tuple[int, ...]


def laid_out(heading: Heading, width: int) -> tuple[list[Piece], str]:
    """Pieces from the left, and what stands at the right end; together at most `width` cells."""
    left: list[Piece] = []
    right = ""
    heading = replace(heading, fleet=safe(heading.fleet, MAX_NAME), here=safe(heading.here, MAX_NAME))
    for room in _rooms(heading):
        left, right = _left(heading, room), _right(heading, room)
        used = sum(cell_len(piece.text) for piece in left)
        if used + cell_len(right) + bool(right) * (1 + room.blanks) <= width:
            break
    return left, right


def _rooms(heading: Heading) -> Iterator[_Room]:
    """Less and less."""
    titles = [FULL] * len(heading.tabs)
    room = _Room(titles=tuple(titles))
    yield room
    room = replace(room, role=False)
    yield room
    room = replace(room, seconds=False)
    yield room
    yielding = [place for place, (*_, here) in reversed([*enumerate(heading.tabs)]) if not here]
    for title in (SHORT, DIGIT):
        for place in yielding:
            titles[place] = title
            room = replace(room, titles=tuple(titles))
            yield room
        room = replace(room, fleet=SHORT_NAME if title == SHORT else 0)
        yield room
    for change in (
        {"here": SHORT_NAME},
        {"clock": False},
        {"words": False},
        {"titles": (DIGIT,) * len(titles)},
    ):
        room = replace(room, **change)
        yield room
    room = replace(room, blanks=False)
    for here in range(SHORT_NAME, -1, -1):
        yield replace(room, here=here)


def _left(heading: Heading, room: _Room) -> list[Piece]:
    role = f" {heading.role}" if room.role else ""
    name = _cut(heading.fleet, room.fleet)
    pad = " " if room.blanks else ""
    pieces = [Piece(text=f" {name}{role} ", name=True)] if name or role else []
    for (digit, title, action, here), shown in zip(heading.tabs, room.titles, strict=True):
        words = {FULL: f" {title}", SHORT: f" {_shortened(title)}", DIGIT: ""}[shown]
        after = pad if shown == FULL or here else ""
        pieces.append(Piece(text=f"{pad}{digit}{words}{after}", action=action, here=here))
    if not any(here for *_, here in heading.tabs) and room.here:
        pieces.append(Piece(text=f"{pad}{_cut(heading.here, room.here)}{pad}", here=True))
    return pieces


def _right(heading: Heading, room: _Room) -> str:
    notes = [note if room.words or note[0] == "!" else note[0] for note in heading.notes]
    if not room.clock:
        return (GAP if room.words else " ").join(notes)
    clock = heading.clock
    return GAP.join([*notes, clock if room.seconds else clock[: SECONDS.start] + clock[SECONDS.stop :]])


def _shortened(title: str) -> str:
    return title if len(title) <= SHORT_TITLE + 1 else title[:SHORT_TITLE]


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else fit(text, width).rstrip() if width else ""
