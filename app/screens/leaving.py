"""What becomes of a role when its console is closed: the question that is asked, and its answers.

A role that goes on does so in the same process and on the same thread: links, leases and running tasks do
not notice. A process made anew would have to let go of the address, the database and every task first. It
stays in the foreground of the shell, its log on the terminal; when the terminal is closed it goes on without
one, and its log file has what it says. Ctrl-C or SIGTERM ends it in good order;
`taskmessenger` attaches again.
"""

from __future__ import annotations

from typing import Final

from .dialogs.choice import Option

HEADLESS: Final = "headless"
STOP: Final = "stop"


def leaving(role: str) -> tuple[Option, ...]:
    """The answers for a role that runs in this process; the one that does no harm comes first."""
    return (
        Option(HEADLESS, f"Close the console; the {role} goes on here, its log on this terminal"),
        Option(STOP, f"Stop the {role}: what runs may end, within the time that is set"),
    )
