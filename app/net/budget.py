"""Memory for messages: what all sessions hold of unfinished and unread ones, and who goes if it is too much.

One session may hold a message of the largest size in each direction; that all of them do at once is nothing
that honest ones need. Who has most when too much is held is cut off, and may come back. Knows no bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

UNCOUNTED: Final = 64 * 1024
"""Bytes that any session may hold besides."""
Cut = Callable[[str, bool], None]
"""Is told why, and whether its member held more than an honest one does."""


class Account:
    """What one session holds."""

    __slots__ = ("_budget", "cut", "held", "owner")

    def __init__(self, budget: Budget, owner: str, cut: Cut) -> None:
        self._budget, self.owner, self.cut = budget, owner, cut
        self.held = 0

    def hold(self, size: int) -> None:
        """So many bytes, from now on."""
        size = size if size > UNCOUNTED else 0
        if size != self.held:
            self._budget.change(self, size)

    def close(self) -> None:
        """Nothing any more."""
        self._budget.close(self)


class Budget:
    """What may be held together, in bytes."""

    def __init__(self, most: int, honest: int) -> None:
        """`honest`: as much as one member may have good reasons to hold."""
        self._most, self._honest = most, honest
        self.held = 0
        self._accounts: dict[str, dict[Account, None]] = {}

    def open(self, owner: str, cut: Cut) -> Account:
        """For a session of that member. `cut` has to let go of all that it holds, at once."""
        one = Account(self, owner, cut)
        self._accounts.setdefault(owner, {})[one] = None
        return one

    def change(self, account: Account, size: int) -> None:
        """It holds so many bytes now; whoever holds most is cut off when that is too much."""
        self.held += size - account.held
        account.held = size
        while self.held > self._most:
            owner = max(self._accounts, key=self._of)
            whole = self._of(owner)
            largest = max(self._accounts[owner], key=_held)
            self.held -= largest.held
            largest.held = 0
            largest.cut(
                f"{whole >> 20} MiB of unfinished and unread messages, where all members together may have"
                f" {self._most >> 20} MiB (limits.buffers): come back later",
                whole > self._honest,
            )

    def close(self, account: Account) -> None:
        """Its session has ended."""
        self.held -= account.held
        account.held = 0
        mine = self._accounts.get(account.owner)
        if mine is not None:
            mine.pop(account, None)
            if not mine:
                del self._accounts[account.owner]

    def _of(self, owner: str) -> int:
        return sum(map(_held, self._accounts[owner]))


def _held(account: Account) -> int:
    return account.held
