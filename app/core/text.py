"""Text that came from somebody else, made safe to show: on a terminal, in a log, in a table.

It escapes and shortens; it does not judge what the text says. Peers, tasks and files choose their own words,
so whatever they wrote goes through here before a person sees it.
"""

from __future__ import annotations

import re
from typing import Final

SHOWN: Final = 200
"""Characters of a stranger's text that one line shows when nothing else is said."""
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
