"""What the suite of all transports wants to know of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taskmessenger.net.address import Address
from taskmessenger.net.transport import Transport


@dataclass
class Place:
    """A transport and where to listen with it."""

    transport: Transport
    new_address: Callable[[], Address]
    """Free to listen at; another one at each call."""
