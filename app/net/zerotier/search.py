"""Where to look for a root that may be at several places: at one after the other, and then at all of them.

A node says hello to one endpoint of a root in each family of addresses, chosen by chance, and to the next one
5 s later. Where some of them cannot be reached from this machine - the other sides of a manager's house -
chance alone takes half a minute now and then. So a node is given one at a time, and begins anew with another
as long as nobody answers. It decides what comes next; it starts nothing.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from ipaddress import ip_address
from itertools import zip_longest
from typing import Final

from ..addresses import own_addresses
from .roots import OwnRoots, Roots

MAX_TURNS: Final = 4
"""Endpoints of each family that are tried alone, before all are named together."""

LOST_SECONDS: Final = 10.0
"""For a root that was found here before: it may be about to come back, and then to the same place."""


class Search:
    """The way to one root, or set of roots, from where this machine is now."""

    def __init__(self, roots: Roots, *, tells: bool = True, last: Search | None = None) -> None:
        """Where this library `tells` whether a root has answered; else there is nothing to go by.

        Begin where the `last` search has ended well.
        """
        self.roots = roots
        """All that is known of them."""
        self.found = False
        """A root has answered at `current`, so that nothing else needs to be tried."""
        self.worked: Roots | None = last.worked if last is not None else None
        """Where a root has answered last."""
        self.begun = 0.0
        """When the node was last started with `current`, on the clock of the event loop."""
        self._tells = tells
        found = choices(roots) if tells else (roots,)
        self._choices = [*sorted(found[:-1], key=lambda one: one != self.worked), found[-1]]
        self._at = 0
        self._seen_from = own_addresses(6)

    @property
    def current(self) -> Roots:
        """What the node is to be started with."""
        return self._choices[self._at]

    @property
    def over(self) -> bool:
        """Whether there is nothing else to try, or no need to."""
        return self.found or self._at == len(self._choices) - 1

    def next(self) -> None:
        """Nobody has answered: turn to the next choice. Not when it is `over`."""
        self._at += 1

    def succeed(self) -> None:
        """A root has answered."""
        self.found, self.worked = True, self.current

    def again(self) -> Search:
        """From the beginning, as this machine sees it now."""
        return Search(self.roots, tells=self._tells, last=self)

    def lost(self, now: float) -> bool:
        """Whether a silent root will hardly be heard here: it had its time, or this machine has moved."""
        return self.outdated or (self.found and now - self.begun > LOST_SECONDS)

    @property
    def outdated(self) -> bool:
        """Whether this machine has got other addresses since, so that other ways may lead there."""
        return self._seen_from != own_addresses(6)


def search_for(roots: Roots, last: Search | None, *, tells: bool) -> Search:
    """The `last` one, if it was for these roots and still holds; else a new one."""
    if last is None or last.roots != roots:
        return Search(roots, tells=tells)
    return last.again() if last.outdated else last


def choices(roots: Roots) -> tuple[Roots, ...]:
    """With one endpoint of each family at a time, those first that are likely; the last one names them all.

    Only roots of our own are told apart, and only where there is one; places no route leads to are left out.
    """
    if not isinstance(roots, OwnRoots) or len(roots.roots) != 1:
        return (roots,)
    (root,) = roots.roots
    ranked = sorted((rank, where) for where in root.endpoints if (rank := _distance(where)) is not None)
    reached = tuple(where for _, where in ranked)
    families = [[where for where in reached if (":" in where) is six] for six in (False, True)]
    if max(map(len, families)) <= 1:
        return (OwnRoots((replace(root, endpoints=reached or root.endpoints),)),)
    pairs = [tuple(where for where in pair if where) for pair in zip_longest(*families)]
    return tuple(OwnRoots((replace(root, endpoints=some),)) for some in (*pairs[:MAX_TURNS], reached))


def _distance(endpoint: str) -> int | None:
    """How little of its address is shared with the one it would be sent to from, in bits; None: no route.

    The own address comes last of all: many machines have the same ones inside, towards their containers.
    """
    host, _, port = endpoint.partition("/")
    there = ip_address(host)
    family = socket.AF_INET if there.version == 4 else socket.AF_INET6  # noqa: PLR2004
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))  # sends nothing
        here = ip_address(probe.getsockname()[0].partition("%")[0])
        apart = (int(here) ^ int(there)).bit_length()
        return apart or there.max_prefixlen + 1
    return None
