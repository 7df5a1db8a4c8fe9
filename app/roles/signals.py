"""What SIGTERM and SIGINT mean to a role: once, leave in good order; twice, leave now."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

import anyio

log = logging.getLogger(__name__)


async def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` at each of them, until cancelled."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.warning("%s: stopping", signal.Signals(number).name)
            stop()
