"""How far many tasks are, on standard error: redrawn in place on a terminal, else a line now and then."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from ..core.text import printable
from .output import note, span

DRAW_SECONDS: Final = 0.5
LINE_SECONDS: Final = 30.0
"""Between two lines where nothing can be redrawn."""
RATE_SECONDS: Final = 10.0
"""Over which the rate is taken."""
_AGAIN: Final = "\r\x1b[K"
"""To the beginning of the line, which is emptied."""


class Progress:
    """Of one command."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._past: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._drawn = self._hidden = False
        self._line_due = time.monotonic() + LINE_SECONDS
        self.on_terminal = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"

    def is_due(self) -> bool:
        """Whether `show` would show something."""
        return self.on_terminal or time.monotonic() >= self._line_due

    def show(self, ended: int, failed: int, running: str) -> None:
        """Tell how far it is."""
        if self._hidden or not self.is_due():
            return
        text = self._text(ended, failed, running)
        if not self.on_terminal:
            self._line_due = time.monotonic() + LINE_SECONDS
            note(text)
            return
        width = shutil.get_terminal_size().columns
        click.echo(_AGAIN + printable(text, max(1, width - 1)), err=True, nl=False)
        self._drawn = True

    def hide(self) -> None:
        """Make room for another line."""
        if self._drawn:
            self._drawn = False
            click.echo(_AGAIN, err=True, nl=False)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Show nothing within the block, for something else is printed."""
        self.hide()
        self._hidden = True
        try:
            yield
        finally:
            self._hidden = False

    def _text(self, ended: int, failed: int, running: str) -> str:
        rate = self._rate(ended)
        parts = [f"{ended:,} of {self._total:,} ended"]
        parts += [f"{failed:,} failed"] if failed else []
        parts += [running] if running else []
        parts += [f"{rate:,.3g}/s"] if rate else []
        left = self._total - ended
        parts += [f"about {span(max(1, round(left / rate)))} left"] if rate and left else []
        return ", ".join(parts)

    def _rate(self, ended: int) -> float:
        now = time.monotonic()
        past = self._past
        past.append((now, ended))
        while len(past) > 2 and past[1][0] < now - RATE_SECONDS:  # noqa: PLR2004  an interval has two ends
            past.popleft()
        (begun, before), *_ = past
        return (ended - before) / (now - begun) if now > begun else 0.0
