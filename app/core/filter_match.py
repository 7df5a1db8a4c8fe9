"""Whether one task meets conditions, and the order of tasks: what a store answers with, in plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from .filter import Conditions, Range


class Row(Protocol):
    """What conditions look at; `handle.TaskRow` has it."""

    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def submitted_at(self) -> float: ...
    @property
    def finished_at(self) -> float | None: ...
    @property
    def run_seconds(self) -> float | None: ...
    @property
    def worker(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def batch(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


def matches(asked: Conditions, row: Row, message: str | None = None) -> bool:
    """Whether `row` meets all conditions. `message`: all of its last error; None for what the row has."""
    message = row.error if message is None else message
    return (
        _among(row.state, asked.states, asked.not_states)
        and _among(row.kind, asked.kinds, asked.not_kinds)
        and _among(row.worker or "", asked.workers, asked.not_workers)
        and _among(row.batch or "", asked.batches, asked.not_batches)
        and _among(row.key or "", asked.keys, asked.not_keys)
        and _among(row.id, asked.ids, asked.not_ids)
        and all(_within(one, number(row, one.field)) for one in asked.ranges)
        and _texts(asked, row, message or "")
    )


def number(row: Row, name: str) -> float | None:
    """The value of a field that can be compared."""
    match name:
        case "id":
            return row.id
        case "attempt":
            return row.attempt
        case "priority":
            return row.priority
        case "run":
            return row.run_seconds
        case "submitted":
            return row.submitted_at
        case _:
            return row.finished_at


def sort_value(row: Row, sort: str) -> int | float | str | None:
    """The value that `row` is sorted by; None when that is its id."""
    if sort in {"id", "submitted"}:
        return None
    if sort in {"kind", "state"}:
        return row.kind if sort == "kind" else row.state
    return number(row, sort)


def listed(row: Row, sort: str) -> bool:
    """Whether `row` has a place in this order."""
    return sort not in {"finished", "run"} or sort_value(row, sort) is not None


def _among(value: object, wanted: Sequence[object], unwanted: Sequence[object]) -> bool:
    return (not wanted or value in wanted) and value not in unwanted


def _within(one: Range, value: float | None) -> bool:
    return _lies(one, value) is not one.negated


def _lies(one: Range, value: float | None) -> bool:
    if value is None:
        return False
    if one.low is not None and not (value > one.low if one.above else value >= one.low):
        return False
    return one.high is None or (value < one.high if one.below else value <= one.high)


def _texts(asked: Conditions, row: Row, message: str) -> bool:
    if not (asked.texts or asked.not_texts or asked.errors or asked.not_errors):
        return True
    error = lower(message)
    places = [lower(text or "") for text in (row.kind, row.key, row.batch, row.worker)] + [error]
    return (
        all(_found(text, places) for text in asked.texts)
        and not any(_found(text, places) for text in asked.not_texts)
        and (not asked.errors or any(lower(text) in error for text in asked.errors))
        and not any(lower(text) in error for text in asked.not_errors)
    )


def _found(text: str, places: Iterable[bytes]) -> bool:
    wanted = lower(text)
    return any(wanted in place for place in places)


def lower(text: str) -> bytes:
    """For comparing in any case of the letters a to z, and no others."""
    return text.encode("utf-8", "surrogatepass").lower()
