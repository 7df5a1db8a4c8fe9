"""What an invite can be at all: for the manager that makes it, its settings, and who asks for one."""

from __future__ import annotations

from typing import Final

MIN_TTL: Final = 1.0
MAX_TTL: Final = 7 * 86_400.0
"""Seconds that one is good for. None is for ever."""
MAX_USES: Final = 10_000
"""Members that may join with one."""
