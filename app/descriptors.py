"""How many files and connections this process may have open. Changes the limit; counts nobody's."""

from __future__ import annotations

import errno
import os
from typing import Final

NO_MORE: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""What the system says when this process, or the machine, has as many open as it may. It passes."""
TOGETHER: Final = 4
"""Files that SQLite opens together: it closes the first of them again when it cannot open the last."""
UNKNOWN: Final = 1024
"""Where the system does not say."""
WORKER: Final = 65_536
"""For a worker: each task in a process of its own takes a few."""
FEW: Final = 2048
"""Below that a manager cannot have all the connections that it has room for by default."""


def limit() -> int:
    """How many this process may have open now."""
    return _limits()[0]


def most() -> int:
    """How many it may have open if it asks for it."""
    return _limits()[1]


def raise_limit(wanted: int) -> int:
    """Ask for that many, as far as this user may have them; says how many there are then.

    Shells and service managers start programs with 1,024, for the sake of some that could not count further.
    """
    soft, hard = _limits()
    if soft < wanted and soft < hard:
        import resource

        try:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (min(wanted, hard), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            )
        except (OSError, ValueError):
            return soft  # macOS has a limit of its own below the one it tells
        return limit()
    return soft


def exhausted() -> bool:
    """Whether fewer than `TOGETHER` files can be opened at this moment."""
    opened: list[int] = []
    try:
        while len(opened) < TOGETHER:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in NO_MORE
    finally:
        for one in opened:
            os.close(one)
    return False


def _limits() -> tuple[int, int]:
    try:
        import resource  # absent on Windows
    except ImportError:
        return UNKNOWN, UNKNOWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = 2**31
    soft, hard = (endless if one == resource.RLIM_INFINITY else one for one in (soft, hard))
    return soft, hard
