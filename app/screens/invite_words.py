"""What is said of an invite: its state, what it allows, how one joins with it. Keeps no secret."""

from __future__ import annotations

import ipaddress
from typing import Final

from ..core.errors import InviteError
from ..handle import InviteRow
from .widgets.cells import Cell

ROLES: Final = ("worker", "client", "operator")
MAY: Final = {
    "worker": "run tasks",
    "client": "submit tasks, see, cancel and retry them",
    "operator": "do everything that you may do here",
}
JOIN: Final = {
    "worker": "taskmessenger --role worker --no-ui --join -",
    "client": "taskmessenger join -",
    "operator": "taskmessenger join -",
}
SOON: Final = 60
"""Seconds before its end in which an invite is shown as nearly over."""
_SHOWN: Final[dict[str, Cell]] = {
    "open": ("● open", "good"),
    "used": ("✓ used up", "dim"),
    "expired": ("⊖ expired", "dim"),
    "revoked": ("⊘ revoked", "bad"),
}


def state(row: InviteRow, now: float) -> str:
    """open, used, expired or revoked."""
    if row.revoked_at is not None:
        return "revoked"
    if row.uses_left <= 0:
        return "used"
    return "expired" if now >= row.expires_at else "open"


def shown_state(row: InviteRow, now: float) -> Cell:
    """The same as a cell."""
    return _SHOWN[state(row, now)]


def terms(row: InviteRow) -> str:
    """What it asks of those who join with it, as the end of a sentence; mostly nothing."""
    asked = ", once approved" if row.approve else ""
    return f"{asked}, and is forgotten when it leaves" if row.ephemeral else asked


def countdown(row: InviteRow, now: float) -> Cell:
    """How long it is good for, to the second: `14:59`, `2:00:00`; empty once it is of no use."""
    if state(row, now) != "open":
        return ""
    left = max(int(row.expires_at - now), 0)
    minutes, second = divmod(left, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minutes}:{second:02}"
    return (text, "warn") if left < SOON else text


def endpoints(text: str) -> tuple[str, ...]:
    """Where an invite leads; nothing for what is none."""
    from ..net.security.invites import decode

    try:
        return tuple(map(str, decode(text, 0.0).endpoints))
    except InviteError:
        return ()


def only_here(addresses: tuple[str, ...]) -> bool:
    """Whether only this machine can reach all of them."""
    return bool(addresses) and all(map(_is_loopback, addresses))


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
