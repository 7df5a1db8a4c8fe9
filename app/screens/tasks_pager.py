"""The list of tasks at a node as `paging` wants it: pages by key in any order, forwards and backwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from msgspec.structs import replace

from ..handle import Count, NodeHandle, TaskQuery, TaskRow
from ..handle.filters import cursor_of
from .widgets.paging import Page, Pages

EXPORT_PAGE: Final = 1_000
FEW: Final = 1_000
"""Matches up to which a wrong number is noticed: of so few it is asked for as soon as something happens."""
SLOW: Final = 0.1
"""Seconds that a count took after which it is not asked for that often."""
STALE: Final = 0.2
"""Seconds that a page may be old: less than a frame, and consoles that show the same share it."""
STALE_COUNT: Final = 4.0
"""The same of a count that is not small: it costs the node most."""


class TaskPager:
    """What matches one query, in its order."""

    def __init__(self, node: NodeHandle, query: TaskQuery) -> None:
        self._node = node
        self.query = query

    async def page(self, edge: Any, *, backwards: bool, limit: int) -> Page[TaskRow]:
        """Rows beyond a cursor."""
        query = replace(self.query, at=edge, limit=limit, stale=STALE)
        if backwards:
            query = replace(query, descending=not query.descending)
        page = await self._node.tasks(query)
        rows = page.rows[::-1] if backwards else page.rows
        following = None
        if page.more:
            following = page.next or (cursor_of(page.rows[-1], query) if page.rows else None)
        return Page(rows, following)

    def edge(self, row: TaskRow) -> Any:
        """The cursor at a row."""
        return cursor_of(row, self.query)

    async def again(self, rows: Sequence[TaskRow]) -> Sequence[TaskRow]:
        """The same tasks as they are now, if they still match."""
        if not rows:
            return ()
        ids = {row.id for row in rows} & set(self.query.ids or (row.id for row in rows))
        query = replace(
            self.query, ids=tuple(sorted(ids)), at=None, limit=len(ids), sort="id", descending=True
        )
        return (await self._node.tasks(query)).rows if ids else ()

    async def every(self) -> AsyncIterator[TaskRow]:
        """All rows, page by page."""
        edge: Any = None
        while True:
            page = await self.page(edge, backwards=False, limit=EXPORT_PAGE)
            for row in page.rows:
                yield row
            if page.edge is None:
                return
            edge = page.edge


class Matches:
    """How many tasks match one query, as far as is known."""

    def __init__(self) -> None:
        self.found: Count | None = None
        self._took = 0.0

    def counted(self, found: Count, took: float) -> None:
        """The node has counted, in so many seconds."""
        self.found, self._took = found, took

    @property
    def few(self) -> bool:
        """Whether it matters that the number is right at once, and costs little."""
        return self.found is not None and self.found.number <= FEW and self._took <= SLOW

    @property
    def stale(self) -> float:
        """Seconds that the next number may be old."""
        return STALE if self.found is None or self.few else STALE_COUNT

    def words(self, pages: Pages[TaskRow]) -> str:
        """The number as it was counted, and never less than what is at hand."""
        held = len(pages.rows) - len(pages.gone)
        if pages.following and pages.tail is None:  # these are all that there are
            return f"{held:,} match"
        if self.found is None:
            return "counting"
        number = f"{max(self.found.number, held):,} match"
        return number if self.found.exact else f"at least {number}"
