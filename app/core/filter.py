"""The filter language: what a person types to pick tasks, as conditions, and back.

`kind:hash -state:succeeded worker:w1,w2 attempt>1 submitted<10m run>2s "free text"`. Terms are joined by
*and*, values of one field by *or*; `-` leaves out what a term finds. It says what is wanted; it knows neither
the tasks nor how to find them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Final

from .errors import UsageError
from .filter_numbers import Bounds, duration_text, moment_bounds, moment_text, number_bounds, run_bounds
from .lifecycle import FINAL, OPEN, TaskState
from .text import printable

MAX_FILTER: Final = 2_000
"""Characters of one filter."""
SORTS: Final = ("id", "submitted", "finished", "run", "kind", "state", "priority", "attempt")
"""What tasks can be sorted by."""
LISTS: Final = {
    "kind": "kinds", "state": "states", "worker": "workers", "batch": "batches", "key": "keys", "id": "ids",
    "error": "errors",
}  # fmt: skip
"""Fields that take values, and the conditions they become."""
RANGES: Final = ("id", "attempt", "priority", "run", "submitted", "finished")
"""Fields that can be compared."""
FIELDS: Final = ("kind", "state", "worker", "batch", "key", "id", "attempt", "priority", "run", "submitted",
                 "finished", "error", "text")  # fmt: skip
GROUPS: Final = {"open": OPEN, "ended": FINAL}
"""Words that stand for several states."""
_TERM: Final = re.compile(r"(-?)([A-Za-z_]+)(<=|>=|[:=<>])")
_PIECE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s,"]+)', re.DOTALL)
_PLAIN: Final = re.compile(r"[\w./@%+#*~][\w./@%+#*~-]*")
_KNOWN: Final = f"fields are {', '.join(FIELDS)}; put text into quotes"
_OPERATORS: Final = ("<=", ">=", "<", ">")


@dataclass(frozen=True, slots=True)
class Range:
    """Values of one field between two bounds. What has no such value lies in no range."""

    field: str
    """One of `RANGES`. `run` is in seconds, `submitted` and `finished` are seconds since the epoch."""
    low: float | None = None
    high: float | None = None
    above: bool = False
    """`low` itself does not count. Only without `high`."""
    below: bool = False
    """`high` itself does not count. Only without `low`."""
    negated: bool = False
    """Everything that does not lie in it."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a filter asks for; every field as in `handle.TaskQuery`."""

    states: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    not_states: tuple[int, ...] = ()
    not_kinds: tuple[str, ...] = ()
    not_workers: tuple[str, ...] = ()
    not_batches: tuple[str, ...] = ()
    not_keys: tuple[str, ...] = ()
    not_ids: tuple[int, ...] = ()
    not_errors: tuple[str, ...] = ()
    not_texts: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()


@dataclass(slots=True)
class _Found:
    """Conditions while they are gathered, in the order given."""

    values: dict[str, list[int | str]] = field(default_factory=dict)
    ranges: list[Range] = field(default_factory=list)

    def add(self, name: str, negated: bool, values: list[int | str]) -> None:
        into = self.values.setdefault(f"not_{name}" if negated else name, [])
        into += [value for value in values if value not in into]


@dataclass(slots=True)
class Piece:
    """One value as it was written."""

    text: str
    quoted: bool
    column: int
    """Where it begins in the filter, from 0."""


def parse(text: str, now: float) -> Conditions:
    """The conditions that `text` asks for. `now`: the wall-clock moment that ages are counted from.

    Raises:
        UsageError: names the column, what is wrong there, and the cure.
    """
    if len(text) > MAX_FILTER:
        raise UsageError(f"the filter is longer than {MAX_FILTER:,} characters: leave something out")
    found, column = _Found(), 0
    while column < len(text):
        if text[column].isspace():
            column += 1
            continue
        column = _term(text, column, now, found)
    values = {name: tuple(found.values.get(name, ())) for name in (f.name for f in fields(Conditions))}
    return Conditions(**values | {"ranges": tuple(found.ranges)})  # type: ignore[arg-type]


def _term(text: str, start: int, now: float, found: _Found) -> int:
    """Take the term that begins at `start`; where it ends."""
    match = _TERM.match(text, start)
    if match is None:
        negated = text[start] == "-"
        piece, end = _piece(text, start + negated)
        if not piece.text:
            raise _wrong(start, "there is nothing to look for", "write a word, or `field:value`")
        found.add("texts", negated, [piece.text])
        return end
    sign, name, operator = match.groups()
    name = name.lower()
    if name not in FIELDS:
        near = get_close_matches(name, FIELDS, 1)
        cure = f"did you mean `{near[0]}`, or text in quotes?" if near else _KNOWN
        raise _wrong(start + len(sign), f"no field is called `{printable(name)}`", cure)
    pieces, end = _pieces(text, match.end(), name)
    if operator in _OPERATORS:
        found.ranges.append(_compared(name, operator, pieces, now, bool(sign), match.start(3)))
    else:
        _listed(name, pieces, now, bool(sign), found)
    return end


def _pieces(text: str, start: int, name: str) -> tuple[list[Piece], int]:
    """The values after a field, separated by commas."""
    pieces, end = list[Piece](), start
    while True:
        if end >= len(text) or text[end].isspace() or text[end] == ",":
            cure = "write a value, or a pair of quotes for none at all"
            raise _wrong(end, f"`{name}` has no value here", cure)
        piece, end = _piece(text, end)
        pieces.append(piece)
        if end >= len(text) or text[end] != ",":
            return pieces, end
        end += 1


def _piece(text: str, start: int) -> tuple[Piece, int]:
    match = _PIECE.match(text, start)
    if match is None:
        if text[start : start + 1] == '"':
            raise _wrong(start, "the quote is not closed", "put another one at the end")
        if start >= len(text) or text[start].isspace():
            raise _wrong(start, "there is nothing to leave out", "write a word behind the `-`")
        raise _wrong(start, "a comma stands alone", "commas go between values; put text into quotes")
    if text[match.end() : match.end() + 1] == '"':
        raise _wrong(match.end(), "a quote in the middle of a word", "put quotes around all of it")
    if match.group(2) is not None:
        return Piece(match.group(2), False, start), match.end()
    if text[match.end() : match.end() + 1] not in {"", ","} and not text[match.end()].isspace():
        raise _wrong(match.end(), "something follows the quote", "put a space or a comma between them")
    return Piece(re.sub(r"\\(.)", r"\1", match.group(1), flags=re.DOTALL), True, start), match.end()


def _listed(name: str, pieces: list[Piece], now: float, negated: bool, found: _Found) -> None:
    """`field:a,b`: values, or a range of one."""
    if name == "state":
        states = [state.value for piece in pieces for state in _states(piece)]
        found.add("states", negated, list(states))
    elif name == "text":
        for piece in pieces:
            if not piece.text:
                raise _wrong(piece.column, "there is nothing to look for", "write some text")
        found.add("texts", negated, [piece.text for piece in pieces])
    elif name in LISTS and name != "id":
        if name in {"kind", "error"} and not all(piece.text for piece in pieces):
            raise _wrong(pieces[0].column, f"`{name}` has no value here", "every task has one: write it")
        found.add(LISTS[name], negated, [piece.text for piece in pieces])
    elif name == "id" and not any(".." in piece.text for piece in pieces):
        found.add("ids", negated, [_id(piece) for piece in pieces])
    else:
        piece = _only(name, pieces)
        low, high = _bounds(name, piece, now)
        found.ranges.append(Range(name, low, high, negated=negated))


def _states(piece: Piece) -> tuple[TaskState, ...]:
    if piece.text.lower() in GROUPS:
        return GROUPS[piece.text.lower()]
    try:
        return (TaskState.of(piece.text),)
    except UsageError:
        known = ", ".join([state.word for state in TaskState] + list(GROUPS))
        near = get_close_matches(piece.text.lower(), [s.word for s in TaskState], 1)
        cure = f"did you mean `{near[0]}`?" if near else f"states are {known}"
        raise _wrong(piece.column, f"no state is called `{printable(piece.text)}`", cure) from None


def _id(piece: Piece) -> int:
    low, _ = _bounds("id", piece, 0.0)
    assert low is not None
    return int(low)


def _compared(name: str, operator: str, pieces: list[Piece], now: float, negated: bool, column: int) -> Range:
    """`field>value`: a range with one end."""
    if name not in RANGES:
        raise _wrong(column, f"`{name}` cannot be compared", f"write `{name}:value`")
    piece = _only(name, pieces)
    if ".." in piece.text:
        cure = f"write `{name}:a..b`, or give one value"
        raise _wrong(piece.column, f"`{operator}` does not go with two ends", cure)
    low, high = _bounds(name, piece, now)
    strict = len(operator) == 1
    smaller = operator[0] == "<"
    if name in {"submitted", "finished"}:
        if high is None:  # an age: less of it is a later moment
            return (
                Range(name, low, above=strict, negated=negated)
                if smaller
                else Range(name, high=low, below=strict, negated=negated)
            )
        low, high = (low, low) if smaller == strict else (high, high)
    if smaller:
        return Range(name, high=high, below=strict, negated=negated)
    return Range(name, low, above=strict, negated=negated)


def _only(name: str, pieces: list[Piece]) -> Piece:
    if len(pieces) > 1:
        cure = f"give one value, or `{name}:a..b`"
        raise _wrong(pieces[1].column, f"`{name}` takes no list", cure)
    return pieces[0]


def _bounds(name: str, piece: Piece, now: float) -> Bounds:
    try:
        if name == "run":
            return run_bounds(piece.text)
        if name in {"submitted", "finished"}:
            return moment_bounds(piece.text, now)
        return number_bounds(piece.text)
    except ValueError as error:
        raise _wrong(piece.column, f"`{printable(piece.text, 40)}` {error}", "") from None


def _wrong(column: int, what: str, cure: str) -> UsageError:
    return UsageError(f"filter, column {column + 1}: {what}" + (f": {cure}" if cure else ""))


def describe(conditions: Conditions) -> str:
    """A filter that says the same; `parse` makes equal conditions of it, whenever it is read."""
    return " ".join(_terms(conditions))


def _terms(conditions: Conditions) -> Iterator[str]:
    for sign, prefix in (("", ""), ("-", "not_")):
        for name, place in LISTS.items():
            values = getattr(conditions, prefix + place)
            if name == "state":
                values = [TaskState(value).word for value in values]
            if values:
                yield f"{sign}{name}:{','.join(_quoted(str(value)) for value in values)}"
        for text in getattr(conditions, f"{prefix}texts"):
            yield sign + _quoted(text)
    for one in conditions.ranges:
        yield ("-" if one.negated else "") + _range_text(one)


def _range_text(one: Range) -> str:
    if one.low is not None and one.high is not None:
        if one.field in {"submitted", "finished"}:
            return f"{one.field}:{moment_text(one.low)}..{moment_text(one.high)}"
        low, high = _bound_text(one.field, one.low), _bound_text(one.field, one.high)
        # The id alone would be a list of one; that is another condition, if the same in effect.
        return f"{one.field}:{low}" if low == high and one.field != "id" else f"{one.field}:{low}..{high}"
    if one.low is not None:
        return f"{one.field}{'>' if one.above else '>='}{_bound_text(one.field, one.low)}"
    assert one.high is not None, "a range without ends"
    return f"{one.field}{'<' if one.below else '<='}{_bound_text(one.field, one.high)}"


def _bound_text(name: str, bound: float) -> str:
    if name in {"submitted", "finished"}:
        return moment_text(bound)
    return duration_text(bound) if name == "run" else str(int(bound))


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and ".." not in text:
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
