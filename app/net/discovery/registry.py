"""What was heard lately: managers of this fleet, and answers to our questions. No clock, no socket.

A datagram counts once, from a certificate of this fleet, with a clock near ours; anything else changes
nothing but a counter. All of it is bounded, and who falls silent is forgotten.

Replays: of each certificate the highest sequence is remembered for as long as a datagram of it could still
be believed. A listener that has just started knows none yet, so it may believe one that is `CLOCK_TOLERANCE`
old: it then dials an address where the manager was a moment ago.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ...core.errors import UsageError
from ...core.text import printable
from ..address import Address
from ..security.authority import CLOCK_TOLERANCE
from .budget import Budget
from .sealed import MANAGER, Fault, Speaker, Verifier
from .words import OF_MANAGERS, Announce, Answer, Ask, Leave, Word, decode

HEARTBEAT_SECONDS: Final = 10.0
"""Between two announcements of a manager."""
EXPIRY_SECONDS: Final = 30.0
"""Of silence, after which a manager or an answer is forgotten."""
MAX_MANAGERS: Final = 64
MAX_ANSWERS: Final = 256
MAX_QUESTIONS: Final = 64
"""Of ours that wait for an answer."""
MAX_MARKS: Final = 4_096
"""Certificates whose highest sequence is remembered."""
MARK_SECONDS: Final = 2 * CLOCK_TOLERANCE
"""From one tolerance ahead of our clock to one behind it: so long can a datagram be believed."""
EACH_SOURCE: Final = (20.0, 40.0)
"""Datagrams a second, and at once, of one address that are looked at closely."""
ALL_SOURCES: Final = (200.0, 400.0)
"""The same of all; a check takes a tenth of a millisecond."""
DIALLED: Final = frozenset({"tcp", "zt"})
"""Schemes of addresses that may be learned from others: nothing that stays inside a machine."""
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerHeard:
    """A manager that has been heard within `EXPIRY_SECONDS`."""

    name: str
    endpoints: tuple[str, ...]
    """Addresses that can be dialled."""
    wanted: tuple[str, ...]
    source: str
    """Whence the datagram came; proves nothing."""
    heard_at: float
    """Monotonic seconds, like every `now`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """Which workers of a manager offer a kind."""

    manager: str
    kind: str
    workers: tuple[str, ...]
    total: int
    heard_at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """A datagram that counts."""

    speaker: Speaker
    word: Word


class Registry:
    """What one listener knows. Feed it every datagram by `hear`."""

    def __init__(self, verifier: Verifier) -> None:
        self.faults: Counter[Fault] = Counter()
        """How many datagrams changed nothing, and why."""
        self._verifier = verifier
        self._budget = Budget(EACH_SOURCE, ALL_SOURCES)
        self._managers: OrderedDict[str, ManagerHeard] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str], Offering] = OrderedDict()
        self._questions: OrderedDict[int, tuple[str, float]] = OrderedDict()
        self._marks: OrderedDict[bytes | str, tuple[int, float]] = OrderedDict()
        """By certificate and, of managers, by name too: a restart brings another certificate."""

    @property
    def fleet_id(self) -> str:
        """Whose datagrams count."""
        return self._verifier.fleet_id

    def hear(self, data: bytes, source: str, now: float, wall: float) -> Heard | Fault:
        """Take in one datagram.

        Args:
            data: as it arrived.
            source: the address it came from, without a port; for rates and for people.
            now: monotonic seconds.
            wall: wall-clock seconds since the epoch.
        """
        self.forget(now)
        found = self._hear(data, source, now, wall)
        if isinstance(found, Fault):
            self.faults[found] += 1
        return found

    def _hear(self, data: bytes, source: str, now: float, wall: float) -> Heard | Fault:
        parts = self._verifier.peek(data)
        if isinstance(parts, Fault):
            return parts
        if not self._budget.take(source, now):
            return Fault.LIMITED
        speaker = self._verifier.prove(parts, wall)
        if isinstance(speaker, Fault):
            return speaker
        word = decode(parts.body)
        if word is None:
            return Fault.MALFORMED
        fault = self._unfit(speaker, word, wall)
        if fault is not None:
            return fault
        for key in _marks_of(speaker, word):
            self._note(key, word.sequence, now)
        return self._take(word, source, now) or Heard(speaker, word)

    def _unfit(self, speaker: Speaker, word: Word, wall: float) -> Fault | None:
        if isinstance(word, OF_MANAGERS) and speaker.role != MANAGER:
            return Fault.MISPLACED
        if not abs(word.moment - wall) <= CLOCK_TOLERANCE:  # written so that NaN fails
            return Fault.MISTIMED
        marks = [self._marks[key] for key in _marks_of(speaker, word) if key in self._marks]
        return Fault.REPLAYED if any(word.sequence <= highest for highest, _ in marks) else None

    def _note(self, key: bytes | str, sequence: int, now: float) -> None:
        self._marks[key] = (sequence, now)
        self._marks.move_to_end(key)
        if len(self._marks) > MAX_MARKS:
            self._marks.popitem(last=False)

    def _take(self, word: Word, source: str, now: float) -> Fault | None:
        match word:
            case Announce():
                self._on_announce(word, source, now)
            case Leave():
                self._managers.pop(printable(word.name), None)
            case Answer():
                return self._on_answer(word, now)
            case Ask():
                pass  # for a manager to answer; there is nothing to remember
        return None

    def _on_announce(self, word: Announce, source: str, now: float) -> None:
        name = printable(word.name)
        self._managers[name] = ManagerHeard(
            name=name,
            endpoints=tuple(filter(can_be_dialled, word.endpoints)),
            wanted=tuple(map(printable, word.wanted)),
            source=source,
            heard_at=now,
        )
        self._managers.move_to_end(name)
        if len(self._managers) > MAX_MANAGERS:
            self._managers.popitem(last=False)

    def _on_answer(self, word: Answer, now: float) -> Fault | None:
        question = self._questions.get(word.asked)
        if question is None or question[0] != word.kind:
            return Fault.UNASKED
        key = (printable(word.name), word.kind)
        self._answers[key] = Offering(
            manager=key[0],
            kind=word.kind,
            workers=tuple(map(printable, word.workers)),
            total=max(word.total, len(word.workers)),
            heard_at=now,
        )
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return None

    def asked(self, sequence: int, kind: str, now: float) -> None:
        """We asked this, so an answer is welcome."""
        self._questions[sequence] = (kind, now)
        if len(self._questions) > MAX_QUESTIONS:
            self._questions.popitem(last=False)

    def forget(self, now: float) -> None:
        """Drop what is too old. Everything is kept in the order of its age, so this costs what it drops."""
        _drop(self._managers, lambda heard: now - heard.heard_at > EXPIRY_SECONDS)
        _drop(self._answers, lambda answer: now - answer.heard_at > EXPIRY_SECONDS)
        _drop(self._questions, lambda question: now - question[1] > EXPIRY_SECONDS)
        _drop(self._marks, lambda mark: now - mark[1] > MARK_SECONDS)

    def managers(self, now: float) -> list[ManagerHeard]:
        """Those heard lately, the newest first."""
        self.forget(now)
        return list(reversed(self._managers.values()))

    def endpoints(self, now: float) -> list[str]:
        """Where a manager of this fleet can be dialled, the one heard last first."""
        return list(dict.fromkeys(address for one in self.managers(now) for address in one.endpoints))

    def offering(self, kind: str, now: float) -> list[Offering]:
        """Who offers this kind, by each manager that answered lately."""
        self.forget(now)
        return [answer for (_, about), answer in self._answers.items() if about == kind]


def _marks_of(speaker: Speaker, word: Word) -> list[bytes | str]:
    return [speaker.mark] if isinstance(word, Ask) else [speaker.mark, word.name]


def can_be_dialled(text: str) -> bool:
    """Whether this is an address that a stranger's machine may be told to dial."""
    try:
        return Address.parse(text).scheme in DIALLED
    except UsageError:
        return False


def _drop(kept: OrderedDict[_Key, _Value], is_old: Callable[[_Value], bool]) -> None:
    while kept and is_old(next(iter(kept.values()))):
        kept.popitem(last=False)
