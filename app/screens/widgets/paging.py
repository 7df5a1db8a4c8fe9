"""Keeps a window of a long list in memory: fetches pages by key at both ends, drops what is far away.

The list itself is at the node and may have any length; nothing here grows with it. At the top the window
follows what comes in. Elsewhere it stands still: its visible rows are asked for again by key, so that states
change in place, and a row that does not match any more is dimmed rather than taken from under the cursor.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from .columns import Look
from .grid import Grid

R = TypeVar("R")
PAGE: Final = 120
"""Rows of one request."""
WINDOW: Final = 1_000
"""Rows kept; far more than a screen has lines, far fewer than matter to memory."""
NEAR: Final = 60
"""Rows between the screen and the end of the window, below which the next page is fetched."""
TRUST: Final = 40
"""Refreshes for which the end of the list, once found, is not looked for again."""
MAX_HOPS: Final = 10_000
"""Requests that one search for a page makes at most, when each finds nothing in its part of the list."""


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Rows in the order of the list, and where to go on."""

    rows: tuple[R, ...]
    edge: Any = None
    """Pass it back for what lies beyond; None when nothing does. A page may be short and still have one."""


class Pager(Protocol[R]):
    """A long list, wherever it is."""

    async def page(self, edge: Any, *, backwards: bool, limit: int) -> Page[R]:
        """Rows after `edge` (before it when `backwards`); None for the first (last) of all."""
        ...

    def edge(self, row: R) -> Any:
        """The edge that is exactly at this row."""
        ...

    async def again(self, rows: Sequence[R]) -> Sequence[R]:
        """What has become of these; those that do not belong to the list any more are left out."""
        ...


class Pages(Generic[R]):
    """The window of one grid. One call at a time: run them in an exclusive worker."""

    def __init__(self, grid: Grid[R], pager: Pager[R]) -> None:
        self.grid, self.pager = grid, pager
        self.look = Look()
        self.rows: tuple[R, ...] = ()
        self.head: Any = None
        """Edge of what lies before the window; None at the top."""
        self.tail: Any = None
        self.gone: frozenset[Hashable] = frozenset()
        self.loaded = False
        self._ending: Hashable = None
        """Key of the row behind which a search met the end of the list."""
        self._trust = 0
        self.searching: Any = None
        """Where a search is that has found nothing yet; None when none is under way."""

    @property
    def following(self) -> bool:
        """Whether the window is at the top and moves with what comes in."""
        return self.head is None and self.grid.table.following

    async def first(self) -> None:
        """The beginning of the list."""
        self.loaded = False
        page = await self._fetch(None, backwards=False)
        self.head, self.tail, self.rows = None, page.edge, page.rows
        self.grid.table.following = True
        self._put()

    async def last(self) -> None:
        """The end of the list."""
        page = await self._fetch(None, backwards=True)
        self.head, self.tail, self.rows = page.edge, None, page.rows
        self._put()
        self.grid.go(len(self.rows) - 1)

    async def refresh(self) -> None:
        """What is seen, as it is now."""
        if self.following or not self.rows:
            page = await self._fetch(None, backwards=False)
            if self.following or not self.rows:  # the operator may have moved meanwhile
                self.head, self.tail, self.rows = None, self._tail_of(page), page.rows
                self._put()
            return
        port = self.grid.table.port
        seen = self.rows[port.top : port.bottom]
        key = self.grid.table.key
        fresh = {key(row): row for row in await self.pager.again(seen)}
        asked = {key(row) for row in seen}
        self.gone = (self.gone - asked) | (asked - fresh.keys())
        self.rows = tuple(fresh.get(key(row), row) for row in self.rows)
        self._put()

    async def fill(self) -> None:
        """Fetch the next page where the screen has come near an end of the window."""
        port = self.grid.table.port
        if self.tail is not None and port.bottom + NEAR >= len(self.rows):
            await self._more_after()
        elif self.head is not None and port.top < NEAR:
            await self._more_before()

    async def _more_after(self) -> None:
        page = await self._fetch(self.tail, backwards=False)
        rows = (*self.rows, *page.rows)
        drop = max(len(rows) - WINDOW, 0)
        self.rows, self.tail = rows[drop:], page.edge
        if page.edge is None and self.rows:
            self._ending, self._trust = self.grid.table.key(self.rows[-1]), TRUST
        if drop:
            self.head = self.pager.edge(self.rows[0])
        self._put()

    def _tail_of(self, page: Page[R]) -> Any:
        """Where a page that was asked for again goes on; no second search through the whole list."""
        if not page.rows or page.edge is None or self.grid.table.key(page.rows[-1]) != self._ending:
            return page.edge
        self._trust -= 1
        return None if self._trust > 0 else page.edge

    async def _more_before(self) -> None:
        page = await self._fetch(self.head, backwards=True)
        rows = (*page.rows, *self.rows)
        self.head = page.edge
        if len(rows) > WINDOW:
            rows = rows[:WINDOW]
            self.tail = self.pager.edge(rows[-1])
        self.rows = rows
        self._put()

    async def _fetch(self, edge: Any, *, backwards: bool) -> Page[R]:
        """A page with at least one row, or the last one: a node may give up a search half-way."""
        for _ in range(MAX_HOPS):
            page = await self.pager.page(edge, backwards=backwards, limit=PAGE)
            if page.rows or page.edge is None:
                self.searching = None
                return page
            edge = self.searching = page.edge
            if not self.loaded:  # what another search has found must not stand for this one
                self._put()
        return Page((), edge)

    def _put(self) -> None:
        self.loaded = True
        self.gone &= frozenset(map(self.grid.table.key, self.rows))
        if self.grid.table.show_window(self.rows, self.look, self.gone):
            self.grid.repaint()
