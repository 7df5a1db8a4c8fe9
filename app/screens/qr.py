"""A QR code as text: two modules to a cell, dark on light in every theme. Shows nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import segno
from rich.style import Style
from rich.text import Text

QUIET: Final = 4
"""Light modules around the code by its standard; readers make do with fewer."""
LEAST_QUIET: Final = 1
_PAPER: Final = Style(color="#000000", bgcolor="#ffffff")
_HALVES: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def modules(text: str) -> tuple[tuple[bool, ...], ...]:
    """The code of this text without its border: rows of dark (True) and light modules.

    Capitals take half the room of small letters, so who may choose gives capitals.
    """
    code = segno.make_qr(text, error="l", boost_error=False)
    return tuple(tuple(bool(module) for module in row) for row in code.matrix)


def framed(rows: Sequence[Sequence[bool]], width: int, height: int) -> Text | None:
    """The code with as much of a border as `width` and `height` cells have room for; None without room."""
    size = len(rows)
    for quiet in range(QUIET, LEAST_QUIET - 1, -1):
        whole = size + 2 * quiet
        if whole <= width and -(-whole // 2) <= height:
            return _drawn(rows, quiet)
    return None


def needs(rows: Sequence[Sequence[bool]]) -> tuple[int, int]:
    """Columns and lines that it takes at least."""
    whole = len(rows) + 2 * LEAST_QUIET
    return whole, -(-whole // 2)


def _drawn(rows: Sequence[Sequence[bool]], quiet: int) -> Text:
    size = len(rows) + 2 * quiet
    light = (False,) * size
    padded = [light] * quiet
    padded += [(False,) * quiet + tuple(row) + (False,) * quiet for row in rows]
    padded += [light] * (quiet + size % 2)
    lines = [
        "".join(_HALVES[pair] for pair in zip(padded[at], padded[at + 1], strict=True))
        for at in range(0, len(padded) - 1, 2)
    ]
    return Text("\n", no_wrap=True).join(Text(line, _PAPER) for line in lines)
