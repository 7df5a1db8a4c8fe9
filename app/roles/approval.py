"""A member that waits until an operator approves it: when it tries again, what a person is told meanwhile."""

from __future__ import annotations

import logging
from random import Random
from typing import Final

import anyio

from ..net.security.identity import Identity
from .controls import Controls

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 1.0
"""Before the second try; each wait is longer than the one before."""
FACTOR: Final = 1.5
CEILING_SECONDS: Final = 5.0
"""The longest wait: who was approved is not kept waiting for long."""
JITTER: Final = 0.1
"""Part of a wait by which it differs from others, so that a hundred machines do not come back together."""


class Awaiting:
    """The waits of one member."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._tries = 0

    async def again(self, identity: Identity, controls: Controls) -> None:
        """Say once what is waited for, then wait until it is time for the next try."""
        controls.reason = identity.waits
        if not self._tries:
            log.warning("%s", identity.waits)
        self._tries += 1
        await anyio.sleep(self.seconds(self._tries))

    def seconds(self, tries: int) -> float:
        """How long after so many tries."""
        wait = min(CEILING_SECONDS, FIRST_SECONDS * FACTOR ** min(tries - 1, 16))
        return wait * (1.0 - JITTER * self._rng.random())
