"""Words in lines of a width, for text below a table. Plain strings."""

from __future__ import annotations

import textwrap
from typing import Final

MARGIN: Final = 4
"""Cells that frames and blanks take at both ends together."""
LEAST: Final = 20


def wrapped(text: str, width: int, lines: int = 0) -> str:
    """`text`, which has been through `safe`, broken for a screen of this width; at most `lines` if given."""
    room = max(width - MARGIN, LEAST)
    most = {"max_lines": lines, "placeholder": " …"} if lines else {}
    return "\n".join(textwrap.wrap(text, room, **most))  # type: ignore[arg-type]
