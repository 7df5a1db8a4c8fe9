"""What becomes of keys that were typed ahead, where the screen they were meant for does not come.

It knows commands and views; in which order keys are handled is `in_order`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from ..core.text import count
from .bursts import Does, is_text
from .commands import Open
from .dialogs.confirm import Confirm
from .view import View
from .warming import Warming
from .widgets.grid import Grid

if TYPE_CHECKING:
    from .commands import Registry

Severity = Literal["information", "warning", "error"]
_ANYWHERE: Final = ("command('go.", "command('console.", "command('order.")
"""Actions of keys that are not about what is seen."""


class Typed(Warming):
    """What a console has of it."""

    registry: Registry

    def tell(self, text: str, severity: Severity = "information") -> None:
        """One line for the operator."""
        raise NotImplementedError

    def give(self, name: str, view: View | None = None, words: str = "") -> Any:
        """Give a command, by its name."""
        raise NotImplementedError

    def left_out(self, number: int, why: str) -> None:
        """Say that something typed was not taken, else it would be missed."""
        self.tell(f"{count(number, 'key')} left out: {why}" if number else f"keys left out: {why}", "warning")

    def holds(self, key: str) -> bool:
        """Keys about rows wait for the rows that were asked for; those that lead elsewhere do not."""
        view = self.screen
        if not isinstance(view, View) or (view.frame is not None and not view.behind):
            return False
        return not any(binding.action.startswith(_ANYWHERE) for binding in view.bindings_of(key))

    def leads_nowhere(self, key: str) -> bool:
        """A key that does something on other screens and nothing on this one: what follows was for those."""
        if not isinstance(self.screen, View) or key not in self.registry.all_keys:
            return False
        return not any(key in bindings.key_to_bindings for _, bindings in self.screen._binding_chain)  # noqa: SLF001

    def is_text(self, keys: Sequence[str]) -> bool:
        """On a screen, and where Yes or No is asked. In a list letters choose, many of them at once."""
        if not isinstance(self.screen, View | Confirm):
            return False
        at = self.screen.NAME if isinstance(self.screen, View) else ""

        def does(key: str) -> Does:
            nonlocal at
            for command in self.registry.commands.values():
                if key in self.registry.keys(command) and (not command.views or at in command.views):
                    if isinstance(command, Open):
                        at = command.name.partition(".")[2]
                        return Does.MOVES
                    return Does.OPENS if command.asks_words else Does.ACTS
            if key in Grid.MOVING:
                return Does.MOVES
            return Does.ELSEWHERE if at and key in self.registry.all_keys else Does.NOTHING

        return is_text(keys, does)

    async def action_quit(self) -> None:
        """Textual's own key for leaving: as the command."""
        self.give("console.quit")

    def action_help_quit(self) -> None:
        """And for those who expect ^c to leave."""
        self.give("console.quit")
