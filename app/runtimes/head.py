"""The beginning of a msgpack value as text for people: of what task a line speaks, however large its payload.

Reads no more than it shows, so that the first bytes of a value are enough.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Any, Final

HEAD: Final = 80
"""Characters that are shown."""
HEAD_BYTES: Final = 512
"""Bytes of a value that are enough for that."""
_CUT: Final = "…"
_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h",
    0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_SIZES: Final = {
    0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4), 0xC4: ("bytes", 1), 0xC5: ("bytes", 2),
    0xC6: ("bytes", 4), 0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
    0xC7: ("ext", 1), 0xC8: ("ext", 2), 0xC9: ("ext", 4),
}  # fmt: skip
"""By first byte: what it is, and how many bytes say how long."""
_WORDS: Final = {0xC0: "null", 0xC2: "false", 0xC3: "true"}


class _Full(Exception):
    """There is no room for more, or no more was given."""


def head(data: bytes, limit: int = HEAD) -> str:
    """The first characters of the value as JSON, about as `runtimes.plain` says it; cut ones end in `…`."""
    reader = _Reader(data[: max(HEAD_BYTES, limit)], limit)
    try:
        reader.value()
    except _Full:
        return reader.text[: limit - 1] + _CUT
    return reader.text


class _Reader:
    def __init__(self, data: bytes, limit: int) -> None:
        self.text = ""
        self._data, self._limit, self._at = data, limit, 0

    def value(self) -> None:
        first = self._take(1)[0]
        if first < 0x80 or first >= 0xE0:  # noqa: PLR2004  the format of msgpack, as below
            self._say(str(first if first < 0x80 else first - 0x100))  # noqa: PLR2004
        elif first < 0xC0:  # noqa: PLR2004
            what = ("map", "list", "text", "text")[(first - 0x80) >> 4]
            self._sized(what, first & (0x1F if what == "text" else 0x0F))
        elif first in _WORDS:
            self._say(_WORDS[first])
        elif first in _NUMBERS:
            form = _NUMBERS[first]
            self._say(json.dumps(struct.unpack(form, self._take(struct.calcsize(form)))[0]))
        elif first in _SIZES:
            what, width = _SIZES[first]
            self._sized(what, int.from_bytes(self._take(width), "big"))
        else:
            self._sized("ext", 1 << (first - 0xD4) if first >= 0xD4 else 0)  # noqa: PLR2004

    def _sized(self, what: str, size: int) -> None:
        match what:
            case "text":
                self._said(
                    json.dumps(self._some(size).decode("utf-8", "ignore"), ensure_ascii=False)[:-1], '"'
                )
            case "bytes":
                self._said('{"base64": "' + base64.b64encode(self._some(size)).decode(), '"}')
            case "ext":
                self._say(f'{{"ext": {int.from_bytes(self._take(1), "big", signed=True)}, ')
                self._said('"base64": "' + base64.b64encode(self._some(size)).decode(), '"}')
            case "list":
                self._parts("[", size, "]", pairs=False)
            case _:
                self._parts("{", size, "}", pairs=True)

    def _parts(self, begin: str, size: int, end: str, *, pairs: bool) -> None:
        self._say(begin)
        for number in range(size):
            if number:
                self._say(", ")
            self.value()
            if pairs:
                self._say(": ")
                self.value()
        self._say(end)

    def _said(self, text: Any, end: str) -> None:
        """A text of which there may be more than was given."""
        self._say(text)
        if self._short:
            raise _Full
        self._say(end)

    def _say(self, text: str) -> None:
        self.text += text
        if len(self.text) > self._limit:
            raise _Full

    def _take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += size
        if len(found) < size:
            raise _Full
        return found

    def _some(self, size: int) -> bytes:
        """So many bytes, or what there is of them."""
        found = self._data[self._at : self._at + size]
        self._short = len(found) < size
        self._at += size
        return found

    _short = False
