"""The log of this worker, as it is written: the events of a manager without its fleet."""

from __future__ import annotations

from .events import EventsView


class LogView(EventsView):
    """The log."""

    NAME, TITLE, PLACE = "log", "Log", 3
    ROLES = frozenset({"worker"})
    ABOUT = (
        "What this worker logs, newest at the top. The list stays at the newest until the cursor is moved;"
        " Home or F follows again. l leaves out what is less serious."
    )
    EMPTY = "nothing has been logged yet; l shows more levels"

    def jump(self) -> tuple[str, str] | None:
        """Nowhere: what an event is about is with the manager."""
        return None
