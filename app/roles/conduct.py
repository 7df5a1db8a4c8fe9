"""What members do that no honest one does: counted, answered with ever longer waits, shown, written down.

A member that breaks the protocol once may be an old version, or have met a bug. One that does it again and
again is kept out for a time that doubles. Knows no session and no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..core.errors import Overloaded
from ..net.rate import Rate

MAX_MEMBERS: Final = 4_096
"""Remembered at once. Beyond that the one that has been good for longest is forgotten."""
FREE: Final = 3
"""Crimes that keep nobody out."""
FIRST_WAIT: Final = 1.0
MAX_WAIT: Final = 300.0
"""Seconds for which a member is kept out, after the first crime too many, and at most."""
FORGIVEN_SECONDS: Final = 3600.0
"""Without a crime for so long it is as if there had been none."""
LOG_SECONDS: Final = 10.0
"""At most one line about one member in this time; the others are counted."""


class Offender(NamedTuple):
    """A member that an operator should look at."""

    peer: str
    role: str
    crimes: int
    last: str


@dataclass(slots=True)
class _Record:
    role: str
    crimes: int = 0
    last: str = ""
    at: float = 0.0
    until: float = 0.0


class Conduct:
    """Of one manager's members."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def crime(self, peer: str, role: str, what: str, now: float) -> None:
        """It broke the protocol, and how."""
        record = self._records.setdefault(peer, _Record(role))
        self._records.move_to_end(peer)
        if now - record.at > FORGIVEN_SECONDS:
            record.crimes = 0
        record.crimes += 1
        record.role, record.last, record.at = role, what, now
        if record.crimes > FREE:
            doubled = FIRST_WAIT * 2.0 ** min(record.crimes - FREE - 1, 16)
            record.until = now + min(MAX_WAIT, doubled)
        if len(self._records) > MAX_MEMBERS:
            self._records.popitem(last=False)

    def check(self, peer: str, now: float) -> None:
        """Whether it may come in now.

        Raises:
            Overloaded: not yet.
        """
        record = self._records.get(peer)
        if record is not None and now < record.until:
            raise Overloaded(
                f"{peer} broke the protocol {record.crimes} times: it may come back in"
                f" {record.until - now:.0f} s; see to its version, or revoke it"
            )

    def forget(self, peer: str) -> None:
        """It is no member any more."""
        self._records.pop(peer, None)

    def offenders(self, now: float) -> Iterator[Offender]:
        """Those that did it more than once or twice, of late."""
        for peer, one in self._records.items():
            if one.crimes >= FREE and now - one.at <= FORGIVEN_SECONDS:
                yield Offender(peer, one.role, one.crimes, one.last)


class Rates:
    """How fast each member may speak, whatever sessions it has."""

    def __init__(self) -> None:
        self._rates: OrderedDict[str, Rate] = OrderedDict()

    def of(self, peer: str) -> Rate:
        """The one of this member."""
        rate = self._rates.setdefault(peer, Rate())
        self._rates.move_to_end(peer)
        if len(self._rates) > MAX_MEMBERS:
            self._rates.popitem(last=False)
        return rate


class Complaints:
    """Says when something about somebody may be written down again, so that no peer can wash out the log."""

    def __init__(self, seconds: float = LOG_SECONDS) -> None:
        self._seconds = seconds
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When it was written, and how often it was not since."""

    def due(self, who: str, now: float) -> str | None:
        """What to add to the line; None where there is to be none."""
        at, left_out = self._last.get(who, (float("-inf"), 0))
        if now - at < self._seconds:
            self._last[who] = (at, left_out + 1)
            return None
        self._last[who] = (now, 0)
        self._last.move_to_end(who)
        if len(self._last) > MAX_MEMBERS:
            self._last.popitem(last=False)
        return f" (and {left_out} more like it)" if left_out else ""
