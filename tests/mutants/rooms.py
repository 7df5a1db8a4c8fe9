"""Which code is asked about, room by room, and which mutants a seed draws from it."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.changes import Change, Function, changes, functions

ROOMS = ("core", "store", "roles", "net", "runtimes", "screens", "cli")
LEFT_OUT = (
    "net/zerotier/",
    "net/faulty.py",
    "net/memory.py",
    "store/memory",
    "screens/fake/",
    "cli/bench",
    "cli/demo",
)
"""What needs real ZeroTier nodes, and what only tests and benchmarks use."""
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
TRIES = 50
"""How many functions are looked at for one mutant that was not drawn before."""


@dataclass(frozen=True)
class Mutant:
    """One mistake in one function of the package."""

    room: str
    path: str
    function: str
    change: Change

    @property
    def place(self) -> str:
        return f"{self.path}:{self.change.line}"

    def __str__(self) -> str:
        before, after = (
            " ".join(text.split()) or "nothing" for text in (self.change.before, self.change.after)
        )
        return f"{self.function}: {before} -> {after}"


@dataclass(frozen=True)
class _Place:
    path: str
    name: str
    function: Function
    source: bytes


def _places(root: Path, room: str) -> Iterator[_Place]:
    for path in sorted((root / "app" / room).rglob("*.py")):
        name = path.relative_to(root / "app").as_posix()
        if not name.startswith(LEFT_OUT):
            source = path.read_bytes()
            for function, node in functions(ast.parse(source)):
                yield _Place(f"app/{name}", function, node, source)


def draw(root: Path, seed: int, number: int, rooms: Sequence[str] = ROOMS) -> list[Mutant]:
    """So many mutants, evenly over the rooms; within a room, a function's chance is its number of lines."""
    found: list[Mutant] = []
    for index, room in enumerate(rooms):
        share = number // len(rooms) + (index < number % len(rooms))
        # A room has its own luck: the same seed draws the same there, whichever other rooms are asked for.
        found += _draw(list(_places(root, room)), room, share, random.Random(f"{seed} {room}"))
    return found


def _draw(places: list[_Place], room: str, number: int, luck: random.Random) -> list[Mutant]:
    lines = [(place.function.end_lineno or 0) - place.function.lineno + 1 for place in places]
    found: list[Mutant] = []
    for _ in range(number * TRIES):
        if len(found) == number or not places:
            break
        place = luck.choices(places, lines)[0]
        there = changes(place.source, place.function)
        if there:
            mutant = Mutant(room, place.path, place.name, luck.choice(there))
            if mutant not in found:
                found.append(mutant)
    return found


def equivalents(text: str | None = None) -> dict[str, str]:
    """Those that a person found to change nothing, and why: `path function: before -> after  # why`."""
    lines = (EQUIVALENT.read_text() if text is None else text).splitlines()
    listed = [line for line in lines if line.strip() and not line.startswith("#")]
    return {what.strip(): why.strip() for what, _, why in (line.partition("  # ") for line in listed)}


def is_equivalent(mutant: Mutant, listed: dict[str, str]) -> bool:
    return f"{mutant.path} {mutant}" in listed
