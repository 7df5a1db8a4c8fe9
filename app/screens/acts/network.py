"""What can be done on the network screen: look again, copy an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...core.errors import UsageError
from ..commands import Command
from ..dialogs.choice import Choice, Option
from ..view import View

if TYPE_CHECKING:
    from ..views.network import NetworkView


class OnNetwork(Command):
    """Base of those for the network."""

    views, roles = ("network",), frozenset({"manager", "worker"})


class Again(OnNetwork):
    """Look again now, instead of within two seconds."""

    name, title, key, place = "network.again", "Look again", "ctrl+r", 20

    def twin(self, view: View) -> str:
        return "taskmessenger doctor"

    async def run(self, view: View, words: str = "") -> None:
        view.acted()


class CopyAddress(OnNetwork):
    """Copy an address at which the manager is reached."""

    name, title, key, place = "network.copy", "Copy address", "a", 30

    def ready(self, view: View) -> bool:
        return bool(cast("NetworkView", view).info.addresses)

    async def run(self, view: View, words: str = "") -> None:
        addresses = cast("NetworkView", view).info.addresses
        if words and words not in addresses:
            raise UsageError(f"it is reached at {', '.join(addresses)}, not at `{words}`")
        console = view.console
        chosen = words or addresses[0]
        if not words and len(addresses) > 1:
            options = [Option(address, address) for address in addresses]
            chosen = await console.push_screen_wait(Choice("Copy an address", options)) or ""
        if chosen:
            console.copy_to_clipboard(chosen)
            console.tell(f"copied {chosen}")
