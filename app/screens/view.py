"""The base of every screen: what it is called, what it is about, what is chosen in it. It changes nothing.

A view is drawn while it is seen, four times a second, with a `Frame`; what takes longer than reading a value
from the frame runs in a worker (`self.run_worker`). Commands find what they apply to by `chosen()`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, Final

from textual import on
from textual.binding import BindingType

from .chosen import Chosen
from .chrome import Chrome
from .commands import BOTH
from .widgets.grid import Grid

NARROW: Final = 100
"""Columns below which a screen has the class `-narrow`."""
SHORT: Final = 30
"""Lines below which it has the class `-short`."""


class View(Chrome):
    """One screen of the console."""

    NAME: ClassVar[str] = ""
    """`tasks`: on the command line of the console, and in `Command.views`."""
    TITLE: ClassVar[str] = ""
    """In the head and the palette."""
    PLACE: ClassVar[int | None] = None
    """Digit that opens it; such a view exists once and keeps its state. None: opened from elsewhere."""
    ROLES: ClassVar[frozenset[str]] = BOTH
    """For which roles of the node it makes sense."""
    ARGUMENT: ClassVar[str] = ""
    """What it is about, as `ID`: then it is opened anew for each, with that as its argument."""
    ABOUT: ClassVar[str] = ""
    """A few sentences for the help."""

    AUTO_FOCUS = "Grid"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (SHORT, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, argument: str = "") -> None:
        super().__init__()
        self.argument = argument
        self.whole = False
        """Everything that matches is chosen."""
        self.behind = False
        """What is seen is not yet what was asked for: a key must not act on it."""
        self.hurries = False
        """Something is to be shown before the next second, though nothing new comes."""

    def heading(self) -> str:
        """What the head calls this screen."""
        return f"{self.TITLE} {self.argument}".strip()

    def noun(self) -> str:
        """What one row is."""
        return "row"

    def chosen(self) -> Chosen:
        """What a command applies to: the marked rows, or else the one under the cursor."""
        grid = self.grid
        if grid is None:
            return Chosen(noun=self.noun())
        row = grid.current()
        keys = tuple(grid.table.marks) or (() if row is None else (grid.table.key(row),))
        return Chosen(noun=self.noun(), keys=keys)

    def current(self) -> Any:
        """The thing itself that is under the cursor, or that the screen is about; None without one."""
        return None if self.grid is None else self.grid.current()

    def acted(self) -> None:
        """An order that was given here has been carried out: ask for the news if frames do not bring them."""

    def rewound(self) -> None:
        """The console has gone to another time: forget what was gathered from frame to frame."""

    async def export(self) -> AsyncIterator[Any]:
        """Every row that the export writes; a screen with more than a table in memory has its own."""
        for row in () if self.grid is None else self.grid.table.rows:
            yield row

    def on_mount(self) -> None:
        """Take the keys of the commands that can be given here."""
        self.bind_commands(self.console.registry.at(self))

    @on(Grid.Moved)
    def _moved(self) -> None:
        self.whole = False
        self.hint()

    @on(Grid.Menu)
    def _menu(self) -> None:
        self.console.give("row.menu", self)
