"""From a line in the filter language to a query and back, and what a query has to say about one row."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from ..core.filter import SORTS, Conditions, describe, parse
from ..core.filter_match import sort_value
from .values import Cursor, TaskQuery, TaskRow

_NAMES: Final = tuple(one.name for one in fields(Conditions))


def query_of(text: str, now: float, **page: Any) -> TaskQuery:
    """The query of a filter. `now`: wall clock; `page`: sort, descending, limit and the like.

    Raises:
        UsageError: names the column, what is wrong there, and the cure.
    """
    found = parse(text, now)
    return TaskQuery(**{name: getattr(found, name) for name in _NAMES}, **page)


def conditions_of(query: TaskQuery) -> Conditions:
    """What is asked of each row."""
    given = asdict(query)
    texts = (query.text, *query.texts) if query.text else query.texts
    return Conditions(**{name: given[name] for name in _NAMES} | {"texts": texts})


def filter_of(query: TaskQuery) -> str:
    """The filter that asks for the same."""
    return describe(conditions_of(query))


def cursor_of(row: TaskRow, query: TaskQuery) -> Cursor:
    """The place of `row` in the order of `query`."""
    return Cursor(sort_value(row, query.sort), row.id)


def turned(query: TaskQuery, first: TaskRow) -> TaskQuery:
    """The query for the page before the one that begins with `first`; its rows come the other way round."""
    descending = not is_descending(query)
    return msgspec.structs.replace(
        query, descending=descending, at=cursor_of(first, query), before=None, after=None
    )


def is_descending(query: TaskQuery) -> bool:
    """The direction of the order: a cursor `after` alone turns it."""
    return query.descending and query.after is None


__all__ = ["SORTS", "conditions_of", "cursor_of", "filter_of", "is_descending", "query_of", "turned"]
