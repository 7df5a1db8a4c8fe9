"""Many values in one statement: rows to write, and numbers to look for. It knows no table.

Every statement that SQLite is asked to run gives up Python's interpreter lock and must win it back; beside a
busy event loop that takes up to five milliseconds. So rows go in as one statement for hundreds of them, not
as one statement each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import apsw

_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 512)
"""Rows that one statement takes. Few, so that all stay prepared; apsw keeps none above 16 KiB of SQL."""


class Bulk:
    """`head (VALUES rows) tail` for any number of rows: padded with empty ones that `tail` leaves out."""

    def __init__(self, head: str, columns: int, tail: str) -> None:
        row = f"({','.join('?' * columns)})"
        self._sql = [f"{head} (VALUES {','.join([row] * size)}) {tail}" for size in _SIZES]
        self._empty = (None,) * columns

    def run(self, connection: apsw.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Write them; says how many rows of the table were."""
        written = 0
        for start in range(0, len(rows), _SIZES[-1]):
            part = rows[start : start + _SIZES[-1]]
            place = bisect_left(_SIZES, len(part))
            padding = self._empty * (_SIZES[place] - len(part))
            connection.execute(self._sql[place], (*chain.from_iterable(part), *padding))
            written += connection.changes()
        return written


def numbers(values: Iterable[int]) -> tuple[apsw.CArrayBinding]:
    """Binds `values`, at least one, to one `carray(?)`."""
    return (apsw.carray(array("q", values)),)
