"""How many may be connected, and who makes room for whom. Knows no stream and no protocol.

Three sorts of callers have counts of their own, so that none can take the places of another:

* strangers have not proved who they are. When their places are taken, one that came earlier yields: of the
  address from which most have come, and there the one that has said nothing yet before one whose handshake is
  under way. So a crowd costs its own address, and whoever comes from elsewhere gets in;
* members have shown a certificate of the fleet. Each has a bound of its own, operators have places besides;
* whoever comes through the local socket is this user.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from .. import descriptors
from ..config.model import ManagerLimits
from ..core.errors import Overloaded

log = logging.getLogger(__name__)

WORKER_SESSIONS: Final = 4
"""Connections of one worker: one that serves, and those before it that are just closing."""
OPERATORS: Final = 64
"""Sessions of operators elsewhere, besides all others."""
LOCAL: Final = 256
"""Connections at the local socket."""
KEPT: Final = 64
"""File descriptors that are kept for the database, logs and listeners."""
HANDSHAKE: Final = 1.0
"""Seconds for which a handshake that is under way does not yield to another one from the same address."""


@dataclass(frozen=True, slots=True)
class Seats:
    """How many of each sort there may be."""

    strangers: int
    strangers_per_address: int
    sessions: int
    per_member: int
    operators: int = OPERATORS
    local: int = LOCAL

    def within(self, descriptors: int) -> Seats:
        """No more than that many file descriptors allow: those at the manager's own machine come first."""
        local, operators = min(self.local, descriptors // 8), min(self.operators, descriptors // 16)
        left = max(8, descriptors - KEPT - local - operators)
        strangers = min(self.strangers, max(left // 4, left - self.sessions))
        return Seats(
            strangers=strangers,
            strangers_per_address=min(self.strangers_per_address, max(1, strangers // 2)),
            sessions=min(self.sessions, left - strangers),
            per_member=self.per_member,
            operators=operators,
            local=local,
        )

    @property
    def wanted(self) -> int:
        """File descriptors for all of them."""
        return KEPT + max(
            8 * self.local, 16 * self.operators, self.strangers + self.sessions + self.local + self.operators
        )


def seats_of(limits: ManagerLimits) -> Seats:
    """What is set."""
    return Seats(
        strangers=limits.unauthenticated,
        strangers_per_address=limits.unauthenticated_per_address,
        sessions=limits.sessions,
        per_member=limits.sessions_per_member,
    )


def allowed(limits: ManagerLimits) -> Seats:
    """What is set, as far as the system allows this process so many files; tells when that is less."""
    wanted = seats_of(limits)
    seats = wanted.within(descriptors.raise_limit(wanted.wanted))
    if seats != wanted:
        log.warning(
            "this process may open too few files (%d): room is for %d and"
            " in their handshake %d, not for %d and %d; raise the limit (`ulimit -n`, LimitNOFILE=) to %d",
            descriptors.limit(),
            seats.sessions,
            seats.strangers,
            wanted.sessions,
            wanted.strangers,
            wanted.wanted,
        )
    return seats


class Stranger:
    """One connection of somebody unknown."""

    __slots__ = ("_scope", "place", "since", "spoke", "yielded")

    def __init__(self, place: str, since: float, scope: anyio.CancelScope) -> None:
        self.place, self.since = place, since
        self.spoke = False
        """Its first message was one that a peer of ours may send: its handshake is under way."""
        self.yielded = False
        self._scope = scope

    def makes_sense(self) -> None:
        """It speaks as a peer does."""
        self.spoke = True

    def give_way(self) -> None:
        """Its place is another's."""
        self.yielded = True
        self._scope.cancel()


class Places:
    """Of one manager."""

    def __init__(self, seats: Seats) -> None:
        self.seats = seats
        self._strangers: dict[str, dict[Stranger, None]] = {}
        """By address, oldest first."""
        self._total = 0
        self._members: Counter[str] = Counter()
        self._sessions = self._operators = self._local = 0

    # ---- strangers --------------------------------------------------------------------------------------

    @contextmanager
    def stranger(self, place: str) -> Iterator[Stranger]:
        """A place for somebody unknown, for the time of the block; cancelled when another one needs it.

        Raises:
            Overloaded: there is none; or it was given to another one.
        """
        now = anyio.current_time()
        self._make_room(place, now)
        with anyio.CancelScope() as scope:
            one = Stranger(place, now, scope)
            self._strangers.setdefault(place, {})[one] = None
            self._total += 1
            try:
                yield one
            finally:
                if not one.yielded:
                    self._remove(one)
        if one.yielded:
            raise Overloaded("too many connections are in their handshake, and a newer one took this place")

    def _make_room(self, place: str, now: float) -> None:
        mine = self._strangers.get(place, {})
        if len(mine) >= self.seats.strangers_per_address:
            self._yield_one(mine, now, place)
        elif self._total >= self.seats.strangers:
            crowd = max(self._strangers.values(), key=_in_the_way)
            if len(crowd) > len(mine):
                self._send_away(_first_to_go(crowd))
            else:
                self._yield_one(mine, now, place)

    def _yield_one(self, crowd: dict[Stranger, None], now: float, place: str) -> None:
        """Of those from one address; no handshake ends for another one that begins just as honestly."""
        one = _first_to_go(crowd)
        if one.spoke and now - one.since < HANDSHAKE:
            raise Overloaded(
                f"too many connections from {place} are in their handshake; try again in a moment"
            )
        self._send_away(one)

    def _send_away(self, one: Stranger) -> None:
        self._remove(one)
        one.give_way()

    def _remove(self, one: Stranger) -> None:
        self._total -= 1
        crowd = self._strangers[one.place]
        del crowd[one]
        if not crowd:
            del self._strangers[one.place]

    # ---- those who are known ----------------------------------------------------------------------------

    @contextmanager
    def member(self, peer: str, role: str) -> Iterator[None]:
        """A place for somebody with a certificate, from the greeting to the end of the session.

        Raises:
            Overloaded: it has enough of them, or all are taken.
        """
        most = WORKER_SESSIONS if role == "worker" else self.seats.per_member
        if self._members[peer] >= most:
            raise Overloaded(f"{peer} has {most} connections already: close some, then try again")
        operator = role == "operator"
        if operator and self._operators >= self.seats.operators:
            raise Overloaded(
                f"this manager has its {self.seats.operators} sessions of operators: try again later"
            )
        if not operator and self._sessions >= self.seats.sessions:
            raise Overloaded(
                f"this manager has its {self.seats.sessions} sessions; raise limits.sessions, or how many"
                " files it may open"
            )
        self._operators += operator
        self._sessions += not operator
        self._members[peer] += 1
        try:
            yield
        finally:
            self._operators -= operator
            self._sessions -= not operator
            self._members[peer] -= 1
            if not self._members[peer]:
                del self._members[peer]

    @contextmanager
    def here(self) -> Iterator[None]:
        """A place at the local socket.

        Raises:
            Overloaded: all are taken.
        """
        if self._local >= self.seats.local:
            raise Overloaded(
                f"{self.seats.local} commands talk to this manager already: try again in a moment"
            )
        self._local += 1
        try:
            yield
        finally:
            self._local -= 1


def _in_the_way(crowd: dict[Stranger, None]) -> tuple[int, bool]:
    """Most of them first; of as many, those whose oldest has said nothing."""
    return len(crowd), not next(iter(crowd)).spoke


def _first_to_go(crowd: dict[Stranger, None]) -> Stranger:
    """The oldest of those that have said nothing, else the oldest."""
    return next((one for one in crowd if not one.spoke), None) or next(iter(crowd))
