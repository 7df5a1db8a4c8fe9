"""Makes datagrams: numbers them, shortens what is said until it fits, signs it. No clock, no socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ...core.errors import UsageError
from ...core.text import printable
from ..security.certificates import renewal_due
from .registry import can_be_dialled
from .sealed import Signer
from .words import (
    MAX_ENDPOINT,
    MAX_ENDPOINTS,
    MAX_KIND,
    MAX_WANTED,
    MAX_WORKERS,
    Announce,
    Answer,
    Ask,
    Leave,
    Word,
    encode,
)

_MICRO: Final = 1_000_000


def check_kind(kind: str) -> None:
    """Whether a kind can be called so.

    Raises:
        UsageError: it cannot.
    """
    if len(kind) > MAX_KIND or not kind.isprintable():
        raise UsageError(
            f"`{printable(kind, MAX_KIND)}` is no name of a kind: those have {MAX_KIND} characters at most"
        )


class Voice:
    """One speaker. Sequences follow the wall clock in microseconds, so they go on rising after a restart."""

    def __init__(self, load: Callable[[], Signer], name: str = "") -> None:
        """`load` reads key and certificate; it is called again when the certificate is to be renewed.

        Raises:
            ConfigError: as `load` does.
        """
        self._load, self._name = load, name
        self._signer = load()
        self._sequence = 0

    def announce(self, endpoints: Sequence[str], wanted: Sequence[str], wall: float) -> bytes:
        """A manager is here. What has no room is left out: kinds first, then endpoints, from the end."""
        places = [one for one in endpoints if len(one) <= MAX_ENDPOINT and can_be_dialled(one)]
        kinds = [kind for kind in wanted if 0 < len(kind) <= MAX_KIND]
        word = Announce(
            self._next(wall), wall, self._name, tuple(places[:MAX_ENDPOINTS]), tuple(kinds[:MAX_WANTED])
        )
        while not self._fits(word):
            if word.wanted:
                word = Announce(word.sequence, wall, word.name, word.endpoints, word.wanted[:-1])
            else:
                word = Announce(word.sequence, wall, word.name, word.endpoints[:-1])
        return self._seal(word, wall)

    def leave(self, wall: float) -> bytes:
        """A manager stops."""
        return self._seal(Leave(self._next(wall), wall, self._name), wall)

    def ask(self, kind: str, wall: float) -> tuple[int, bytes]:
        """A question, and its sequence, by which answers refer to it.

        Raises:
            UsageError: no kind can be called so.
        """
        check_kind(kind)
        word = Ask(self._next(wall), wall, kind)
        return word.sequence, self._seal(word, wall)

    def answer(self, question: Ask, workers: Sequence[str], wall: float) -> bytes:
        """These workers offer the kind that was asked about; the list is cut where the datagram is full."""
        shown = list(workers[:MAX_WORKERS])
        sequence = self._next(wall)
        while True:
            word = Answer(
                sequence, wall, self._name, question.sequence, question.kind, len(workers), tuple(shown)
            )
            if self._fits(word):
                return self._seal(word, wall)
            shown.pop()

    def _fits(self, word: Word) -> bool:
        return len(encode(word)) <= self._signer.room

    def _seal(self, word: Word, wall: float) -> bytes:
        if renewal_due(self._signer.certificate, wall):
            self._signer = self._load()
        return self._signer.seal(encode(word))

    def _next(self, wall: float) -> int:
        """Higher than any before, even if the clock was set back."""
        self._sequence = max(self._sequence + 1, int(wall * _MICRO))
        return self._sequence
