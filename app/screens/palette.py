"""The palette: every command that can be given here, and every screen, found by a few letters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from .app import Console


class CommandsProvider(Provider):
    """Offers what the registry holds; the key stands beside each, so that it is learned on the way."""

    def _offers(self) -> Iterator[tuple[str, str, Any]]:
        console = cast("Console", self.app)
        view = console.view
        if view is None:
            return
        for command in console.registry.ready(view):
            key = console.registry.shown_key(command)
            title = f"{command.title}  ({key})" if key else command.title
            yield title, f"{command.name}: {command.help}", partial(console.give, command.name, view)

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for title, help_text, run in self._offers():
            yield DiscoveryHit(title, run, help=help_text)

    async def search(self, query: str) -> Hits:
        """Those that fit, best first."""
        matcher = self.matcher(query)
        for title, help_text, run in self._offers():
            score = max(matcher.match(title), matcher.match(help_text) / 2)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, help=help_text)
