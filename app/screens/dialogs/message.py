"""Text to read: as long as it may be, it scrolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Static

from ..widgets.words import safe_block
from .base import Dialog

MAX_SHOWN: Final = 64 * 1024
"""Characters."""


class Message(Dialog[None]):
    """Shows text; any way out is the same."""

    DEFAULT_CSS = "Message VerticalScroll { height: auto; max-height: 60vh; }"

    def __init__(self, title: str, text: str) -> None:
        super().__init__(title)
        self._body = text
        self.add_class("-wide")

    def parts(self) -> Sequence[Widget]:
        return (VerticalScroll(Static(Text(safe_block(self._body, MAX_SHOWN)))),)

    def buttons(self) -> Sequence[Button]:
        return ()

    def on_mount(self) -> None:
        """Arrow keys scroll at once."""
        self.query_one(VerticalScroll).focus()
