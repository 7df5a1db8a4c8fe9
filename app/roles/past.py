"""What a worker keeps over its sessions belongs to one life of the manager's data, and goes with it."""

from __future__ import annotations

import logging
from pathlib import Path

from ..core.life import ID_BYTES
from ..core.text import count
from ..net.messages import Welcome
from ..net.security import marks
from .outbox import Outbox
from .slots import Slots

log = logging.getLogger(__name__)


class Past:
    """Of one worker."""

    def __init__(self, folder: Path, outbox: Outbox, slots: Slots) -> None:
        """`folder`: of its identity, where it remembers which life it knows."""
        self._folder, self._outbox, self._slots = folder, outbox, slots

    def compare(self, welcome: Welcome) -> None:
        """Before anything else is said in a session: drop what its manager's data know nothing of.

        What is kept goes first. If this machine stops in between, the rest goes the next time.
        """
        if marks.read(self._folder)[:ID_BYTES] != welcome.epoch:
            outcomes, leases = self._outbox.forget(), self._slots.forget()
            if outcomes or leases:
                log.warning(
                    "the manager's data were put back to an older moment, or are new: %s that it has not"
                    " got and %s are dropped; it hands out their tasks again if it knows them",
                    count(outcomes, "outcome"),
                    count(leases, "lease"),
                )
        marks.keep(self._folder, welcome.mark)
