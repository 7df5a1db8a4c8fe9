"""How members of a fleet are named, in certificates and everywhere else. Standard library only."""

from __future__ import annotations

import re
from typing import Final

MANAGER_NAME: Final = "manager.tm.internal"
"""The one name of every manager. Addresses say nothing of identity here; the fleet's CA does."""
ROLES: Final = ("worker", "client", "operator")
"""What a member may be. The place in this tuple is what an invite carries; only append."""
PEER_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_URI: Final = re.compile(rf"tm://([0-9a-z]{{10}})/({'|'.join(ROLES)})/({PEER_ID.pattern})")


def member_uri(fleet_id: str, role: str, peer_id: str) -> str:
    """How a certificate names a member; `parse_member_uri` reads it."""
    uri = f"tm://{fleet_id}/{role}/{peer_id}"
    assert _URI.fullmatch(uri), "names are checked before they get here"
    return uri


def parse_member_uri(uri: str) -> tuple[str, str, str] | None:
    """Fleet id, role and peer id; None when it does not name a member."""
    found = _URI.fullmatch(uri)
    return (found[1], found[2], found[3]) if found else None
