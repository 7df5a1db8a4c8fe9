"""What a terminal sends, cut into what belongs together: text, sequences, keys with Alt, pastes.

A terminal is a stranger: what it sends may be no UTF-8, half a sequence, or one that nobody asked for. Here
all of it becomes something harmless, and nothing of a sequence is ever taken for keys. It knows no clock.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MAX_PASTE: Final = 1 << 20
"""Bytes of one paste; what is beyond is left out."""
MAX_SEQUENCE: Final = 64
"""Bytes of a sequence; a longer one is none."""
MAX_STRING: Final = 4_096
"""Bytes of an answer of the terminal that is a string."""
ALONE_SECONDS: Final = 0.05
"""After which Escape, or Escape and a bracket, was pressed and begins nothing."""
HALF_SECONDS: Final = 0.5
"""After which the rest of a sequence does not come any more."""
PASTE_SECONDS: Final = 3.0
"""After which a paste has ended, though the terminal has not said so, if no more comes than a hand types."""
DRIBBLE: Final = 16
"""Bytes at a time that a hand may type."""
_ESC: Final = b"\x1b"
_BEGIN: Final = b"\x1b[200~"
_END: Final = b"\x1b[201~"
_MOUSE: Final = b"\x1b[M"
_MOUSE_BYTES: Final = 6
"""Of a mouse event in the oldest way: three of them are button, column and line, and may be any byte."""
_LINUX: Final = b"\x1b[["
_CSI: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*")
_STRING: Final = re.compile(rb"\x1b(?:\][0-9]|P[0-9>=!$+]|_G)[\x20-\x7e\x80-\xff]*")
_NO_STRING: Final = re.compile(rb"\x1b(?:\][^0-9]|P[^0-9>=!$+]|_[^G])", re.DOTALL)
_SPACE: Final = 0x20
_LEAD: Final = ((0x80, 1), (0xC0, 1), (0xE0, 2), (0xF0, 3), (0xF8, 4))
"""Bytes of a character by its first one: below the number, so many."""


class Kind(Enum):
    """What a unit is."""

    TEXT = auto()
    """Characters, each of them a key."""
    SEQUENCE = auto()
    """One whole control sequence."""
    ESCAPE = auto()
    ALT = auto()
    """Escape and a character at its heels: Alt and that key, or the two of them."""
    PASTE = auto()


@dataclass(frozen=True, slots=True)
class Unit:
    """What belongs together."""

    kind: Kind
    text: str = ""


class Units:
    """Cuts one stream. `held` bytes wait for what follows; `tick` says that time has passed."""

    def __init__(self) -> None:
        self._bytes = b""
        self._since = 0.0
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._pasted: bytearray | None = None
        """Of a paste that has begun."""

    @property
    def held(self) -> bool:
        """Whether something waits for what follows, or for time to pass."""
        return bool(self._bytes) or self._pasted is not None

    def feed(self, data: bytes, now: float) -> list[Unit]:
        """What has come, at this second."""
        self._bytes += data
        if self._pasted is None or len(data) > DRIBBLE:
            self._since = now
        return self._cut()

    def tick(self, now: float) -> list[Unit]:
        """Nothing has come since."""
        waited = now - self._since
        if self._pasted is not None:
            return self._end_paste() + self._cut() if waited >= PASTE_SECONDS else []
        if not self._bytes or waited < (ALONE_SECONDS if len(self._bytes) <= 2 else HALF_SECONDS):  # noqa: PLR2004
            return []
        held, self._bytes = self._bytes, b""
        return self._half(held) + self._cut()

    def _half(self, held: bytes) -> list[Unit]:
        """What begins like a sequence and does not go on."""
        if held == _ESC:
            return [Unit(Kind.ESCAPE)]
        if held.startswith((b"\x1b[", b"\x1bO")) and len(held) > 2:  # noqa: PLR2004
            known = not held.startswith(_MOUSE) and len(held) <= MAX_SEQUENCE
            return [Unit(Kind.SEQUENCE, held.decode("latin-1"))] if known else []
        self._bytes = held[2:]
        return [Unit(Kind.ALT, chr(held[1]))]

    def _cut(self) -> list[Unit]:
        found: list[Unit] = []
        while self._bytes:
            before = self._bytes
            found += self._in_paste() if self._pasted is not None else self._one()
            if self._bytes == before:
                break
        return found

    def _one(self) -> list[Unit]:
        at = self._bytes.find(_ESC)
        if at:
            text = self._bytes if at < 0 else self._bytes[:at]
            self._bytes = b"" if at < 0 else self._bytes[at:]
            return self._text(text, final=at > 0)
        rest = self._text(b"", final=True)  # half a character before it
        second = self._bytes[1:2]
        if second == b"[":
            return rest + self._sequence()
        if second == b"O":
            return rest + self._take(3, Kind.SEQUENCE)
        if second and second in b"]P_":
            return rest + self._string()
        return rest + self._alt(second)

    def _text(self, data: bytes, *, final: bool) -> list[Unit]:
        text = self._decoder.decode(data, final)
        return [Unit(Kind.TEXT, text)] if text else []

    def _sequence(self) -> list[Unit]:
        held = self._bytes
        if held.startswith(_MOUSE):
            return self._drop(_MOUSE_BYTES) if len(held) >= _MOUSE_BYTES else []
        if held.startswith(_LINUX):
            return self._take(4, Kind.SEQUENCE)
        match = _CSI.match(held)
        end = 0 if match is None else match.end()
        if end == len(held) < MAX_STRING:
            return []
        whole = held[end : end + 1] >= b"@" and held[end : end + 1] <= b"~"
        if not whole or end > MAX_SEQUENCE:
            return self._drop(end + whole)
        begins = held.startswith(_BEGIN)
        self._pasted = bytearray() if begins else None
        return self._drop(end + 1) if begins or held.startswith(_END) else self._take(end + 1, Kind.SEQUENCE)

    def _string(self) -> list[Unit]:
        """The answer to a question that the console has not asked: left out. Escape, then P, is two keys."""
        held = self._bytes
        match = _STRING.match(held)
        if match is None:
            return self._alt(held[1:2]) if _NO_STRING.match(held) else []
        end = match.end()
        if held[end : end + 1] == b"\x07":
            return self._drop(end + 1)
        if held[end : end + 2] == b"\x1b\\":
            return self._drop(end + 2)
        more = held[end:] in {b"", _ESC} and end < MAX_STRING
        return [] if more else self._alt(held[1:2])

    def _alt(self, second: bytes) -> list[Unit]:
        if not second:
            return []
        if second == _ESC or second[0] < _SPACE:
            self._bytes = self._bytes[1:]
            return [Unit(Kind.ESCAPE)]
        long = next((number for below, number in _LEAD if second[0] < below), 1)
        if len(self._bytes) <= long:
            return []
        text = self._bytes[1 : long + 1].decode("utf-8", "replace")
        self._bytes = self._bytes[long + 1 :]
        return [Unit(Kind.ALT, text[:1])]

    def _take(self, number: int, kind: Kind) -> list[Unit]:
        if len(self._bytes) < number:
            return []
        text = self._bytes[:number].decode("latin-1")
        return [Unit(kind, text), *self._drop(number)]

    def _drop(self, number: int) -> list[Unit]:
        self._bytes = self._bytes[number:]
        return []

    def _in_paste(self) -> list[Unit]:
        at = self._bytes.find(_END)
        ends = at >= 0
        if not ends:  # its end may have come half
            at = next(
                (len(self._bytes) - n for n in range(len(_END) - 1, 0, -1) if self._bytes.endswith(_END[:n])),
                len(self._bytes),
            )
        assert self._pasted is not None
        self._pasted += self._bytes[: min(at, max(MAX_PASTE - len(self._pasted), 0))]
        self._bytes = self._bytes[at + len(_END) :] if ends else self._bytes[at:]
        return self._end_paste() if ends else []

    def _end_paste(self) -> list[Unit]:
        text = bytes(self._pasted or b"").decode("utf-8", "replace").replace("\x00", "")
        self._pasted = None
        return [Unit(Kind.PASTE, text)]
