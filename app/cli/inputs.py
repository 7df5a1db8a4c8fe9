"""The payloads of one submission: read and checked once, then handed out in pieces.

What does not fit into a little memory waits in a temporary file without a name: a million lines cost no more
memory than a few, and a bad one is known before the first is sent.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import UsageError
from ..core.text import printable
from ..runtimes.head import HEAD, HEAD_BYTES, head

if TYPE_CHECKING:
    from tempfile import SpooledTemporaryFile

MAX_TASKS: Final = 1_000_000
"""Tasks that one command submits."""
MAX_INPUT: Final = 16 * 1024**3
"""Bytes of payloads that one command reads."""
IN_MEMORY: Final = 8 * 1024 * 1024
"""Bytes of them that are kept without a file."""
MAX_KEY: Final = 256
"""Characters of an idempotency key."""
_DIGEST: Final = 10
"""Bytes that tell one payload from others under the same key."""


class Inputs:
    """Payloads in order. Of each is known its key, and its line, if it came from a file of lines."""

    def __init__(self, times: int | None = None) -> None:
        """`times`: how often the only one is meant; its keys are numbered then."""
        from tempfile import SpooledTemporaryFile  # here and below: most commands need none of it

        self.largest = 0
        """Bytes of the largest payload."""
        self.largest_at = 0
        """Its place."""
        self._times, self._numbered = times or 1, times is not None
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  for good
        self._ends, self._key_sizes, self._lines = array("Q"), array("H"), array("L")
        self._size = 0

    def __len__(self) -> int:
        return len(self._ends) * self._times

    def close(self) -> None:
        """They are not needed any more."""
        self._file.close()

    def add(self, payload: bytes, key: str = "", line: int = 0) -> None:
        """One more.

        Raises:
            UsageError: there is no room to keep it.
        """
        name = key.encode()
        try:
            self._file.seek(self._size)
            self._file.write(name)
            self._file.write(payload)
        except OSError as error:
            raise UsageError(
                f"the payloads cannot be kept while they are submitted ({error.strerror}): set TMPDIR to a"
                " folder with more room, or split them"
            ) from error
        if len(payload) > self.largest:
            self.largest, self.largest_at = len(payload), len(self._ends)
        self._size += len(name) + len(payload)
        self._ends.append(self._size)
        self._key_sizes.append(len(name))
        self._lines.append(line)

    @property
    def is_repeated(self) -> bool:
        """Whether one payload is meant several times."""
        return self._numbered

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def payload(self, place: int) -> bytes:
        """The payload at a place, from 0 on."""
        start, end = self._where(place)
        return self._read(start, end)

    def key(self, place: int) -> str:
        """Its key; empty when it has none. Of one that is meant several times each has a number."""
        at = place // self._times
        start, _ = self._where(place)
        found = self._read(start - self._key_sizes[at], start).decode()
        return f"{found}-{place % self._times + 1}" if found and self._numbered else found

    def line(self, place: int) -> int | None:
        """The line that it came from."""
        return self._lines[place // self._times] or None

    def head(self, place: int, limit: int = HEAD) -> str:
        """The beginning of its payload, for people."""
        start, end = self._where(place)
        return head(self._read(start, min(end, start + HEAD_BYTES)), limit)

    def pieces(self, tasks: int, size: int) -> Iterator[tuple[int, list[bytes]]]:
        """Place and payloads: so many, and so many bytes unless a single one is larger, at a time."""
        first, some, total = 0, list[bytes](), 0
        for place in range(len(self)):
            payload = some[-1] if some and self._times > 1 else self.payload(place)
            if some and (len(some) == tasks or total + len(payload) > size):
                yield first, some
                first, some, total = place, [], 0
            some.append(payload)
            total += len(payload)
        if some:
            yield first, some

    def about(self, place: int) -> str:
        """Which one it is, for people: its line, its key, the beginning of its payload."""
        line, key = self.line(place), self.key(place)
        parts = [f"line {line}"] if line is not None else [f"input {place + 1}"] if len(self) > 1 else []
        parts += [f"key {key}"] if key else []
        return ", ".join([*parts, f"payload {printable(self.head(place), HEAD)}"])

    def _where(self, place: int) -> tuple[int, int]:
        at = place // self._times
        before = self._ends[at - 1] if at else 0
        return before + self._key_sizes[at], self._ends[at]

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)


class Keys:
    """Makes a key for each line: from its payload, or from one of its fields."""

    def __init__(self, key: str | None, field: str | None) -> None:
        self._key, self._field = key, field
        self._seen: dict[int, int] = {}
        """By digest: how often there was such a payload, or in which line there was such a key."""

    def of(self, payload: bytes, value: Any, line: int, where: str) -> str:
        """The key of the payload of a line; empty when there are to be none.

        Raises:
            UsageError: there is no such field in it, or another line has the same.
        """
        if self._field is not None:
            return self._of_field(value, line, where)
        if self._key is None:
            return ""
        from hashlib import blake2b

        digest = blake2b(payload, digest_size=_DIGEST)
        number = int.from_bytes(digest.digest(), "big")
        again = self._seen[number] = self._seen.get(number, 0) + 1
        return f"{self._key}-{digest.hexdigest()}" + (f"-{again}" if again > 1 else "")

    def _of_field(self, value: Any, line: int, where: str) -> str:
        found = value.get(self._field) if isinstance(value, dict) else None
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            raise UsageError(
                f"{where} has no text or whole number as `{printable(self._field or '')}` to make its key of;"
                " nothing was submitted"
            )
        key = str(found) if self._key is None else f"{self._key}-{found}"
        if len(key) > MAX_KEY or not key.isprintable():
            raise UsageError(
                f"the key of {where} is not of at most {MAX_KEY} printable characters; nothing was submitted"
            )
        earlier = self._seen.setdefault(hash(key), line)
        if earlier != line:
            raise UsageError(
                f"{where} has the same `{printable(self._field or '')}` as line {earlier}, {printable(key)}:"
                " each task needs a key of its own; nothing was submitted"
            )
        return key
