"""A table of any length that draws only what is on the screen.

It shows the rows it is given: a list in memory (`show`), or the window that `paging.Pages` keeps of a query.
It asks nothing of a node and does nothing with a row: it says what the operator did, as messages.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from .cells import TONES, Tone
from .columns import Column, Look, Sort
from .painter import GUTTER
from .table import HEAD, Table

R = TypeVar("R")
WHEEL: Final = 3
"""Rows that one notch of the mouse wheel moves."""
RIGHT: Final = 3
"""Number of the right mouse button."""


class Grid(Widget, Generic[R], can_focus=True):
    """Rows of one type in columns, with a cursor, marks and a sort order."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"grid--{tone}" for tone in TONES}
    DEFAULT_CSS = "Grid { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "A page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "A page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False),
        Binding("home,g", "far(False)", "First", show=False),
        Binding("end,G", "far(True)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]
    MOVING: ClassVar[frozenset[str]] = frozenset(
        key for one in BINDINGS if isinstance(one, Binding) for key in one.key.split(",") if key != "enter"
    )
    """Keys that move the cursor."""

    @dataclass
    class Opened(Message):
        """Enter or a double click on a row."""

        grid: Grid[Any]
        row: Any

    @dataclass
    class Moved(Message):
        """The cursor is on another row."""

        grid: Grid[Any]

    @dataclass
    class Sorted(Message):
        """Another order is wanted; a list in memory is in it already."""

        grid: Grid[Any]
        sort: Sort

    @dataclass
    class Menu(Message):
        """The right mouse button on a row."""

        grid: Grid[Any]

    @dataclass
    class Far(Message):
        """The first or last row of all is wanted, which the window may not hold."""

        grid: Grid[Any]
        end: bool

    def __init__(
        self,
        columns: Sequence[Column[R]],
        key: Callable[[R], Hashable],
        *,
        sort: Sort | None = None,
        empty: str = "nothing here",
        id: str | None = None,  # noqa: A002  Textual's own name
    ) -> None:
        super().__init__(id=id)
        self.table = Table(columns, key, sort, empty)
        self._lines: list[Strip] = []
        self._made: tuple[Style, dict[Tone, Style]] | None = None
        """Its own style, and those of the tones that belong to it: they cost more than a few rows."""

    def show(self, rows: Sequence[R], look: Look) -> None:
        """A list in memory, sorted here. Costs next to nothing when nothing has changed."""
        if self.table.show(rows, look):
            self.repaint()

    def current(self) -> R | None:
        """The row under the cursor."""
        return self.table.current()

    def go(self, index: int) -> None:
        """Put the cursor on a row by its place."""
        self._after(self.table.port.to, index)

    def sort_by(self, key: str) -> None:
        """Sort by this column; once more turns the order round."""
        if (sort := self.table.next_sort(key)) is not None:
            self.set_sort(sort)

    def set_sort(self, sort: Sort) -> None:
        """Show in this order."""
        self.table.resort(sort)
        self.repaint()
        self.post_message(self.Sorted(self, sort))

    def mark(self, keys: Iterable[Hashable], *, on: bool) -> None:
        """Mark rows, or take their marks away."""
        table = self.table
        table.marks = table.marks | set(keys) if on else table.marks - set(keys)
        self.repaint()

    def repaint(self) -> None:
        """Paint the visible lines; only those that differ go to the terminal."""
        width, height = self.size
        fresh = self.table.paint(width, height, self._styles()) if width and height else []
        old, self._lines = self._lines, fresh
        if len(fresh) != len(old):
            self.refresh()
        elif changed := [y for y, line in enumerate(fresh) if line != old[y]]:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """A line that has been painted."""
        return self._lines[y] if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)

    def _styles(self) -> dict[Tone, Style]:
        own = self.rich_style
        if self._made is None or self._made[0] != own:
            made: dict[Tone, Style] = {tone: self.get_component_rich_style(f"grid--{tone}") for tone in TONES}
            self._made = own, made | {"": own}
        return self._made[1] if self.has_focus else self._made[1] | {"cursor": Style(bold=True)}

    def _after(self, change: Callable[[Any], None], by: float) -> None:
        before = self.table.port.cursor
        self.table.following = False
        change(by)
        self.repaint()
        if before != self.table.port.cursor:
            self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        """Up or down."""
        self._after(self.table.port.move, by)

    def action_page(self, by: float) -> None:
        """A screen, or half of one, up or down."""
        self._after(self.table.port.page, by)

    def action_far(self, end: bool) -> None:
        """To the first or the last row of all."""
        if self.table.windowed:
            self.post_message(self.Far(self, end))
        else:
            self.go(self.table.port.count - 1 if end else 0)

    def action_open(self) -> None:
        """Look into the row."""
        if (row := self.current()) is not None:
            self.post_message(self.Opened(self, row))

    def on_click(self, event: events.Click) -> None:
        """A title sorts; a row takes the cursor, twice opens it, the right button asks for its menu."""
        if event.y < HEAD:
            for place in self.table.places(self.size.width):
                if place.x <= event.x - GUTTER < place.x + place.width:
                    self.sort_by(place.column.key)
            return
        index = self.table.port.top + event.y - HEAD
        if index >= self.table.port.count:
            return
        self.go(index)
        if event.button == RIGHT:
            self.post_message(self.Menu(self))
        elif event.chain > 1:
            self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves the window, and the cursor only when it would leave it."""
        event.stop()
        self._after(self.table.port.scroll, WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The same, up."""
        event.stop()
        self._after(self.table.port.scroll, -WHEEL)

    def on_event(self, event: events.Event) -> Any:
        """What changes how everything looks paints everything."""
        if isinstance(event, events.Resize | events.Focus | events.Blur):
            self.call_after_refresh(self.repaint)
        return super().on_event(event)

    def notify_style_update(self) -> None:
        """Another theme: other colours."""
        super().notify_style_update()

        def again() -> None:
            self._made = None
            self.repaint()

        again()
        self.call_after_refresh(again)  # those of the tones are not there yet
