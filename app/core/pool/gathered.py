"""Events of one batch that say the same of one task each are one event that says it of all of them."""

from __future__ import annotations

from ..effects import Event


class _Group:
    __slots__ = ("ids", "least", "longest", "place", "why")

    def __init__(self, place: int, delay: float, why: str) -> None:
        self.why = why
        self.place = place
        """Of its event among those of the batch."""
        self.ids: list[int] = []
        self.least = self.longest = delay


class Gathered:
    """What was said in this batch."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, bool, str], _Group] = {}

    def say(
        self, events: list[Event], what: str, whom: str, task_id: int, delay: float = 0.0, why: str = ""
    ) -> None:
        """One more task of which that is so. `delay`: seconds that it waits now; `why`: a word."""
        key = (what, whom, delay > 0, why)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(len(events), delay, why)
            events.append((what, whom, group.ids, why))
        group.ids.append(task_id)
        if delay > 0:
            group.least, group.longest = min(group.least, delay), max(group.longest, delay)
            events[group.place] = (what, whom, group.ids, f"{why} {_seconds(group)}".strip())

    def clear(self) -> None:
        """The batch is decided."""
        if self._groups:
            self._groups = {}


def _seconds(group: _Group) -> str:
    least, longest = f"{group.least:.1f}", f"{group.longest:.1f}"
    return least if least == longest else f"{least} to {longest}"
