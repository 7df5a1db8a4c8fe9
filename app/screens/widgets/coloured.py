"""What a task has written, in the colours that it gave it, with everything else in it made visible.

Programs colour their output with `ESC [ numbers m`. Of those, six hues, bold, dim, italic, underlined and
struck through are kept, as the theme has them. Nothing can be hidden: there are no backgrounds and no
concealed text, black, white and grey letters have the colour that letters have here, and what else begins
with Escape is written out. A carriage return begins a new line: what it would have painted over stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rich.color import Color, ColorSystem
from rich.style import Style
from rich.text import Text

from .words import safe_block

MAX_NUMBERS: Final = 32
"""In one sequence; a longer one is written out."""
WIDEST: Final = 10
"""Characters that one is written out as."""
HUES: Final = ("", "red", "green", "yellow", "blue", "magenta", "cyan", "")
"""By the last digit of their number; black and white could be the colour of the screen."""
_SGR: Final = re.compile(rf"\x1b\[((?:[0-9]{{0,3}}[;:]){{0,{MAX_NUMBERS}}}[0-9]{{0,3}})m")
_CUT: Final = re.compile(r"^(?:\[[0-9;:]*|[0-9;:]+)m")
"""The rest of a sequence whose beginning was cut off."""
_ON: Final = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike"}
_OFF: Final = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 29: ("strike",)}
_OTHER_COLOUR: Final = {38: True, 48: False, 58: False}
"""Sequences that name a colour by its number or its parts, and whether it is that of the letters."""
_BY_NUMBER, _BY_PARTS = 5, 2


def coloured(text: str, limit: int) -> Text:
    """The newest `limit` characters of it."""
    raw = text.replace("\r\n", "\n").replace("\r", "\n")
    shown, pen, at, most = Text(), _Pen(), 0, WIDEST * len(raw)
    for found in _SGR.finditer(raw):
        shown.append(safe_block(raw[at : found.start()], most), pen.style)
        pen.take(found[1])
        at = found.end()
    shown.append(safe_block(raw[at:], most), pen.style)
    return shown if len(shown) <= limit else shown[len(shown) - limit :]


def tail(data: bytes, limit: int, *, cut: bool = False) -> str:
    """The newest bytes of an output as text; of a sequence of which only the end is left, nothing.

    `cut`: there was more before these bytes. As many as the limit, or more, are taken to be cut anyway.
    """
    text = data[-limit:].decode("utf-8", "replace")
    return _CUT.sub("", text, count=1) if cut or len(data) >= limit else text


class _Pen:
    """What the letters that follow look like."""

    def __init__(self) -> None:
        self._hue = ""
        self._how: set[str] = set()
        self.style = Style.null()

    def take(self, numbers: str) -> None:
        """What one sequence changes."""
        left = iter([int(one or 0) for one in re.split("[;:]", numbers)])
        for number in left:
            self._one(number, left)
        self.style = Style(color=self._hue or None, **dict.fromkeys(self._how, True))  # type: ignore[arg-type]

    def _one(self, number: int, left: Iterator[int]) -> None:
        if number == 0:
            self._hue, self._how = "", set()
        elif number in _ON:
            self._how.add(_ON[number])
        elif number in _OFF:
            self._how.difference_update(_OFF[number])
        elif number in _OTHER_COLOUR:
            hue = _hue_of(left)
            self._hue = hue if _OTHER_COLOUR[number] else self._hue
        elif 30 <= number <= 39 or 90 <= number <= 97:  # noqa: PLR2004  colours of letters, the plain and the bright ones
            self._hue = HUES[number % 10] if number % 10 < len(HUES) else ""


def _hue_of(left: Iterator[int]) -> str:
    """The nearest of the hues; without a letter's own darkness or brightness."""
    sort = next(left, 0)
    if sort == _BY_NUMBER:
        number = next(left, 0)
        colour = Color.from_ansi(number) if number < 256 else None  # noqa: PLR2004
    elif sort == _BY_PARTS:
        parts = [next(left, 0) for _ in "rgb"]
        colour = Color.from_rgb(*parts) if max(parts) < 256 else None  # noqa: PLR2004
    else:
        colour = None
        for _ in left:  # nobody knows what those are for
            pass
    nearest = None if colour is None else colour.downgrade(ColorSystem.STANDARD).number
    return "" if nearest is None else HUES[nearest % len(HUES)]
