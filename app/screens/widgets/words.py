"""How things are said on the screen: other people's text, times, sizes, counts. Plain strings, no styles.

`safe` is the one gate for text that was not written by this program: what it returns is one line without
control characters, and nobody reads it as markup: screens make `Text` and `Segment` of it, never markup.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from ...core import spans
from ...core.text import printable

MAX_CELL: Final = 200
"""Characters of a stranger's text in one cell: more are never on the screen."""
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_KIB: Final = 1024
_BIG: Final = ((1e9, "G"), (1e6, "M"), (1e4, "k"))
_FEW: Final = 10
SAME: Final = 1.0
"""Seconds that a moment may lie ahead without being the future: frames tell the time in whole seconds."""
CLOCK: Final = 8
"""Cells of a moment of today, where it is not told as relative."""
DATED: Final = 14
"""Cells of any moment at most."""


brief, span = spans.brief, spans.span
"""Lengths of time: in a cell of a table, and in a sentence."""


class TimeMode(Enum):
    """How moments are told. The value is the word that is shown and kept."""

    LOCAL = "local"
    UTC = "utc"
    RELATIVE = "relative"

    @property
    def next(self) -> TimeMode:
        """The one that follows when an operator cycles through them."""
        modes = list(TimeMode)
        return modes[(modes.index(self) + 1) % len(modes)]


def safe(text: object, limit: int = MAX_CELL) -> str:
    """One line of what somebody else wrote: escapes, directions and zero-width characters made visible."""
    return "" if text is None else printable(str(text), limit)


def safe_block(text: str, limit: int) -> str:
    """The same for several lines; a tab becomes four blanks."""
    return printable(text.replace("\r\n", "\n").replace("\t", "    "), limit, keep="\n")


def moment(at: float | None, mode: TimeMode, now: float) -> str:
    """A wall-clock moment: `14:03:07` today, with the date else; `12 s ago` or `in 3 s` when relative."""
    if at is None:
        return ""
    if mode is TimeMode.RELATIVE:
        if now < at < now + SAME:
            return "just now"
        return f"{brief(now - at)} ago" if at <= now else f"in {brief(at - now)}"
    try:
        zone = UTC if mode is TimeMode.UTC else None
        shown, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"
    form = "%H:%M:%S" if shown.date() == today.date() else "%m-%d %H:%M:%S"
    return shown.strftime(form)


def exact(at: float | None, mode: TimeMode, now: float) -> str:
    """A moment in full, and how long ago that is, for where there is room."""
    if at is None:
        return ""
    try:
        shown = time.gmtime(at) if mode is TimeMode.UTC else time.localtime(at)
        text = time.strftime("%Y-%m-%d %H:%M:%S", shown)
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"
    return f"{text}{' UTC' if mode is TimeMode.UTC else ''}  ({moment(at, TimeMode.RELATIVE, now)})"


def size(number: float | None) -> str:
    """Bytes: `512 B`, `1.5 MiB`."""
    if number is None:
        return ""
    left = float(number)
    for unit in _SIZES:
        if left < _KIB or unit == _SIZES[-1]:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= _KIB
    return ""


def short(number: float) -> str:
    """A number in at most six characters: `9,999`, `12.3k`, `4.5M`."""
    for least, unit in _BIG:
        if number >= least:
            return f"{number / (1e3 if unit == 'k' else least):.1f}{unit}"
    return f"{number:,.0f}" if number >= _FEW or number == int(number) else f"{number:.1f}"


def with_article(noun: str) -> str:
    """`a worker`, `an operator`."""
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"


def share(part: float | None) -> str:
    """`42 %` of one."""
    return "" if part is None else f"{part:.0%}".replace("%", " %")
