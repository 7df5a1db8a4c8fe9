"""Makes screens before they are opened, one at a time while the operator looks at the first one.

To mount a screen takes longer than the fifty milliseconds that a key may take; a mounted one is seen at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from textual import events
from textual.worker import Worker

from .surviving import Surviving
from .view import View

FIRST_SECONDS: Final = 1.0
"""After the first screen stands: it comes before all others."""
GAP_SECONDS: Final = 0.3
"""Between two screens; a key that is pressed meanwhile waits for one of them at most."""
LATEST: Final = 0.1
"""Seconds after a key within which no screen is made: who types is not to be kept waiting."""


class Warming(Surviving[str]):
    """What a console has of it."""

    ahead: Worker[None] | None = None
    """Who makes the screens."""
    typed_at = float("-inf")
    """When a key was pressed last; seconds of the event loop's clock."""

    async def on_event(self, event: events.Event) -> None:
        """As Textual's; keys are noticed."""
        if isinstance(event, events.Key):
            self.typed_at = asyncio.get_running_loop().time()
        await super().on_event(event)

    def made(self, kind: type[View]) -> str:
        """The name under which the one screen of this kind is known; it is made when it is not there yet."""
        if not self.is_screen_installed(kind.NAME):
            self.install_screen(kind(), kind.NAME)
        return kind.NAME

    async def warm(self, kinds: Sequence[type[View]]) -> None:
        """Mount what has not been opened yet."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(FIRST_SECONDS)
        for kind in kinds:
            while clock() - self.typed_at < LATEST:
                await asyncio.sleep(LATEST)
            _, mounted = self._get_screen(self.made(kind))
            await mounted
            await asyncio.sleep(GAP_SECONDS)
