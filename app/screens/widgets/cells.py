"""What one cell of a table holds: text, or text with a tone. Tones are names; the theme has the colours."""

from __future__ import annotations

from typing import Final, Literal

Tone = Literal["", "good", "bad", "warn", "busy", "dim", "head", "cursor", "mark", "gone"]
"""What a piece of text means. The last four are of whole rows."""
TONES: Final[tuple[Tone, ...]] = ("good", "bad", "warn", "busy", "dim", "head", "cursor", "mark", "gone")
Cell = str | tuple[str, Tone]


def text_of(cell: Cell) -> str:
    """The words of a cell."""
    return cell if isinstance(cell, str) else cell[0]


def tone_of(cell: Cell) -> Tone:
    """Its tone."""
    return "" if isinstance(cell, str) else cell[1]
