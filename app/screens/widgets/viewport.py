"""Which rows of a table are on the screen and which one the cursor is on. Integers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Viewport:
    """A window of `height` lines over `count` rows; the cursor is always inside it."""

    count: int = 0
    height: int = 1
    top: int = 0
    """Index of the first row that is seen."""
    cursor: int = 0

    def to(self, index: int) -> None:
        """Put the cursor there, or as near as there is a row, and scroll no more than needed."""
        self.cursor = max(0, min(index, self.count - 1))
        self.top = min(self.top, self.cursor)
        self.top = max(self.top, self.cursor - self.height + 1)
        self._bound()

    def move(self, by: int) -> None:
        """Move the cursor."""
        self.to(self.cursor + by)

    def page(self, by: float) -> None:
        """Move cursor and window by so many pages, or a part of one."""
        step = int(by * max(self.height - 1, 2))
        self.top += step
        self._bound()
        self.to(self.cursor + step)

    def scroll(self, by: int) -> None:
        """Move the window; the cursor goes along only when it would leave it."""
        self.top += by
        self._bound()
        self.cursor = max(self.top, min(self.cursor, self.top + self.height - 1, self.count - 1))
        self.cursor = max(self.cursor, 0)

    def resize(self, *, count: int | None = None, height: int | None = None) -> None:
        """There are more or fewer rows, or lines."""
        self.count = self.count if count is None else count
        self.height = self.height if height is None else max(height, 1)
        self.to(self.cursor)

    def shift(self, by: int) -> None:
        """Rows came in above, or left (negative): what is seen stays the same."""
        self.top += by
        self.cursor += by

    @property
    def bottom(self) -> int:
        """One past the index of the last row that is seen."""
        return min(self.top + self.height, self.count)

    def thumb(self) -> tuple[int, int] | None:
        """Lines (first, one past last) of the thumb of a scroll bar; None when all rows are seen."""
        if self.count <= self.height:
            return None
        size = max(1, self.height * self.height // self.count)
        first = (self.height - size) * self.top // (self.count - self.height)
        return first, first + size

    def _bound(self) -> None:
        self.top = max(0, min(self.top, self.count - self.height))
