"""What makes two submissions with one idempotency key the same, and what differs when they are not.

Kind, payload, and the options that change how the task runs. Not its batch and its priority: who submits last
night's work once more does so in today's batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

_KIND: Final = slice(0, 3)
_OPTIONS: Final = slice(3, 6)
_PAYLOAD: Final = slice(6, 16)
"""Bytes of a digest, so that it shows which part is another one."""
_PARTS: Final = (
    (_KIND, "another kind"),
    (_PAYLOAD, "another payload"),
    (_OPTIONS, "another timeout, delay, worker or number of attempts"),
)


def digests(kind: str, options: object, payloads: Sequence[bytes]) -> list[bytes]:
    """Of tasks that differ only in their payloads. Takes as long as reading them does."""
    head = _fold(kind.encode("utf-8", "surrogatepass"), _KIND) + _fold(repr(options).encode(), _OPTIONS)
    return [head + _fold(body, _PAYLOAD) for body in payloads]


def difference(known: bytes, given: bytes) -> str:
    """What a task has that was submitted with a key, and this one with the same key has not."""
    found = [words for part, words in _PARTS if known[part] != given[part]]
    return " and ".join(found) or "something else"


def _fold(data: bytes, part: slice) -> bytes:
    return hashlib.blake2b(data, digest_size=part.stop - part.start).digest()
