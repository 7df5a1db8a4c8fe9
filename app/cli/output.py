"""What commands print: tables, JSON, notes. Results go to standard output, everything else to standard error.

Text that peers chose is escaped before a person sees it; JSON is plain ASCII for the same reason.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from ..core.errors import OutputLost
from ..core.text import printable, redact

MAX_NOTE: Final = 500
"""Characters of one line on standard error."""
MAX_CELL: Final = 60
"""Characters of one cell of a table."""
MAX_LINE: Final = 1_000
"""Characters of a line that describes one thing."""
_GAP: Final = "  "
_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_LEAST: Final = 0.001
"""Milliseconds; less is noise."""


def note(text: str) -> None:
    """One line for the person at the terminal; never the result."""
    click.echo(printable(redact(text), MAX_NOTE), err=True)


def line(text: str) -> None:
    """One line of a result."""
    click.echo(printable(text, MAX_LINE))


def to_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, allow_nan=False)


def block(value: Any) -> None:
    """One JSON value for whoever asked for `--json`."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def tell(text: str, facts: Any, *, as_json: bool) -> None:
    """What was done: a line for a person, or facts for a program."""
    if as_json:
        with done(text):
            block(facts)
    else:
        note(text)


@contextmanager
def done(text: str) -> Iterator[None]:
    """Within the block the outcome of something that is done is printed; what is done is told in any case."""
    try:
        yield
    except (OutputLost, KeyboardInterrupt):
        note(text)
        raise


class Array:
    """A JSON array that is written while it grows, one element to a line."""

    def __init__(self) -> None:
        self._any = False

    def add(self, *elements: Any) -> None:
        """The next elements."""
        for element in elements:
            click.echo((",\n" if self._any else "\n") + to_json(element), nl=False)
            self._any = True


@contextmanager
def array() -> Iterator[Array]:
    """An array that is closed however the block ends, so that what was printed stays JSON."""
    click.echo("[", nl=False)
    try:
        yield Array()
    finally:
        click.echo("\n]")


class Table:
    """Aligned text. The first rows decide how wide the columns are; a longer cell moves its own line only."""

    def __init__(self, head: Sequence[str]) -> None:
        self._head = head
        self._widths: list[int] = []

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Print these rows, the heading before the first of them."""
        cells = [[_cell(value) for value in row] for row in rows]
        if not self._widths:
            shown = [[*self._head], *cells]
            self._widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
            cells = shown
        for row in cells:
            padded = (f"{cell:{width}}" for cell, width in zip(row, self._widths, strict=True))
            click.echo(_GAP.join(padded).rstrip())


def pairs(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair to a line; what is None or empty is left out."""
    known = [(name, value) for name, value in facts if value not in {None, ""}]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        line(f"{name:{width}}{_GAP}{value}")


def when(moment: float | None) -> str:
    """A wall-clock time as ISO 8601 in local time, with its offset."""
    if moment is None:
        return ""
    try:
        text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return f"{moment:g}"
    return f"{text[:-2]}:{text[-2:]}"


def span(seconds: float | None) -> str:
    """A length of time for people: 20 ms, 12 s, 15 min, 2.5 h."""
    if seconds is None:
        return ""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    if seconds >= 1 or not seconds:
        return f"{seconds:.3g} s"
    return f"{max(seconds * 1000, _LEAST):.3g} ms"


def ranged(ids: Sequence[int]) -> str:
    """`, id 7` or `, ids 7 to 9`; empty for none."""
    if len(ids) < 2:  # noqa: PLR2004
        return f", id {ids[0]}" if ids else ""
    return f", ids {min(ids)} to {max(ids)}"


def on_terminal() -> bool:
    """Whether a person, and not a program or a file, takes the results."""
    return sys.stdout.isatty()


def _cell(value: object) -> str:
    return "-" if value in {None, ""} else printable(str(value), MAX_CELL)
