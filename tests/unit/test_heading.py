"""The head of every screen: one line at every width, nothing vanishes when something more has to be said."""

from __future__ import annotations

import itertools

import pytest
from rich.cells import cell_len
from taskmessenger.screens.widgets.heading import Heading, laid_out

TITLES = ("Overview", "Sessions", "Tasks", "Workers", "Kinds", "Events", "Invites", "Network", "Settings")
WIDTHS = range(20, 221)
CLOCKS = ("15:41:39", "15:41:39 UTC")
NOTES = [
    tuple(note for note, on in zip(("FROZEN", "READ ONLY", "!12"), some, strict=True) if on)
    for some in itertools.product((False, True), repeat=3)
]
NAMES = ("lab-a", "w" * 200, "名前" * 20, "")


def heading(
    notes: tuple[str, ...] = (), name: str = "lab-a", here: str = "Tasks", clock: str = CLOCKS[0]
) -> Heading:
    tabs = tuple((str(place), title, f"go.{title}", title == here) for place, title in enumerate(TITLES, 1))
    return Heading(fleet=name, role="manager", here=here, tabs=tabs, notes=notes, clock=clock)


@pytest.mark.parametrize("here", ["Overview", "Settings", "Task 4711", "w-" + "x" * 200])
def test_it_fits_every_width_with_all_that_it_may_have_to_say(here: str) -> None:
    every = [*itertools.product(NOTES, NAMES, CLOCKS)]
    for width, turn in itertools.product(
        WIDTHS, range(6)
    ):  # neighbours try others: all, at each five widths or so
        notes, name, clock = every[(width * 13 + turn * 11) % len(every)]
        left, right = laid_out(heading(notes, name, here, clock), width)
        used = sum(cell_len(piece.text) for piece in left) + cell_len(right)
        assert used + (2 if width > 40 else 1) * bool(right) <= width, (width, notes, left, right)
        tabs = [piece for piece in left if piece.action]
        assert [piece.text.strip()[0] for piece in tabs] == [*"123456789"], "every tab is there"
        said = right.split("  ")[-1]
        assert ":" not in right or said in {clock, clock[:5] + clock[8:]}, "the clock is whole or not there"
        for note in notes:
            assert note in right or note[0] in right.split(" "), "what is wrong is said at every width"


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_names_of_tabs_yield_one_by_one_and_not_all_at_once(width: int) -> None:
    calm = [piece.text for piece in laid_out(heading(), width)[0] if piece.action]
    alarmed = [piece.text for piece in laid_out(heading(("!2",)), width)[0] if piece.action]
    assert sum(map(len, calm)) - sum(map(len, alarmed)) <= 2 * len("!2  ")
    nameless = sum(len(text.strip()) == 1 for text in alarmed)
    assert nameless <= (width < 100), alarmed


def test_where_there_is_room_everything_is_said_in_full() -> None:
    left, right = laid_out(heading(NOTES[-1]), 200)
    assert [piece.text.strip() for piece in left][1:] == [f"{n} {title}" for n, title in enumerate(TITLES, 1)]
    assert left[0].text == " lab-a manager "
    assert right == "FROZEN  READ ONLY  !12  15:41:39"
