"""Text that came from somebody else, made safe to show: on a terminal, in a log, in a table.

It escapes and shortens; it does not judge what the text says. Peers, tasks and files choose their own words,
so whatever they wrote goes through here before a person sees it.
"""

from __future__ import annotations

import re
from typing import Final

SHOWN: Final = 200
"""Characters of a stranger's text that one line shows when nothing else is said."""
SAVE_AS_UTF8: Final = "save it as UTF-8"
UNMARKED: Final = f"looks like UTF-16 or UTF-32 without a byte order mark: {SAVE_AS_UTF8}"
_LOOKED_AT: Final = 1_000
"""Bytes at the beginning of a text that show whether it is one."""
_CUT: Final = "…"
_INVITE: Final = re.compile(r"tm1-[0-9a-z][0-9a-z-]*", re.IGNORECASE)
REDACTED: Final = "tm1-[redacted]"


def printable(text: str, limit: int = SHOWN, *, keep: str = "") -> str:
    r"""`text` with everything that is not plainly visible written as an escape, at most `limit` characters.

    Escaped are control characters (so ANSI and OSC sequences), direction marks, zero-width characters, lone
    surrogates and line separators; `keep` names those that may stay, such as "\n". Text that was cut ends
    in "…".
    """
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)] + _CUT


def count(number: int, one: str, many: str = "") -> str:
    """`1 task`, `1,200 tasks`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def redact(text: str) -> str:
    """`text` without the secrets that invites carry: what an invite contains lets anybody join."""
    return _INVITE.sub(REDACTED, text)


_MARKS: Final = (  # the longer ones first: they begin like others
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


def marked(head: bytes) -> tuple[int, str]:
    """Length of the byte order mark that text begins with, and the encoding that it names: UTF-8 if none."""
    return next(((len(mark), name) for mark, name in _MARKS if head.startswith(mark)), (0, "utf-8"))


def decoded(data: bytes) -> str:
    """The text of a file that a person wrote: in UTF-8, or in the encoding that its byte order mark names.

    Raises:
        ValueError: it is in another one; a part of a sentence that says in which, and the cure.
    """
    length, encoding = marked(data)
    if not length and b"\0" in data[:_LOOKED_AT]:
        raise ValueError(UNMARKED)
    try:
        return data[length:].decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"is no whole {encoding[:6].upper()}: {SAVE_AS_UTF8}") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(not_utf8(data[error.start], f" in line {line}")) from None


def not_utf8(byte: int, place: str = "") -> str:
    """What is wrong with text that holds this byte where UTF-8 has none, and the cure."""
    return f"is not UTF-8 (byte 0x{byte:02x}{place}; is it Latin-1?): {SAVE_AS_UTF8}"
