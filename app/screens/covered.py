"""When a screen is drawn over which a dialog lies. What changes there paints the whole terminal each time."""

from __future__ import annotations

from typing import Final

from .frame import Frame

UNDER_SECONDS: Final = 5.0
"""Between two times that a screen is drawn while a dialog lies over it."""


class Covered:
    """Remembers when that was."""

    def __init__(self) -> None:
        self._drawn: tuple[float, object, bool] | None = None
        """When, which screen, and whether the node was away."""

    def draws(self, view: object, top: object, frame: Frame) -> bool:
        """Whether `view` is drawn now, where `top` lies uppermost: it always is when that is itself."""
        if top is view:
            self._drawn = None
            return True
        drawn = self._drawn
        same = drawn is not None and drawn[1:] == (view, frame.away)
        if drawn is not None and same and 0 <= frame.now - drawn[0] < UNDER_SECONDS:
            return False
        self._drawn = (frame.now, view, frame.away)
        return True
