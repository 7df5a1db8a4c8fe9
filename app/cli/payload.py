"""Payloads from what was typed, and results as they are shown.

JSON cannot say all that msgpack can. What it cannot is shown, and read, as `runtimes.plain` says.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from ..core.errors import UsageError
from ..core.text import SAVE_AS_UTF8, UNMARKED, marked, not_utf8, printable
from ..runtimes.payload import MAX_BYTES, BadPayload, pack, unpack
from ..runtimes.plain import jsonable, parse
from .inputs import MAX_INPUT, MAX_TASKS, Inputs, Keys
from .output import on_terminal

MAX_SHOWN: Final = 1_000_000
"""Characters of a result on a terminal."""
STDIN: Final = "-"
_MARK: Final = "\ufeff"
_LONGEST_MARK: Final = 4
READ_SIZE: Final = 65_536


def packed(value: Any, where: str = "the payload") -> bytes:
    """The value as msgpack.

    Raises:
        UsageError: says what in it msgpack cannot hold, or that it is too large.
    """
    try:
        return pack(value)
    except BadPayload as error:
        raise UsageError(f"{where} cannot be sent: {error}") from error


def from_text(text: str) -> bytes:
    """Plain text as a string."""
    return packed(text)


def from_json(text: str, where: str = "--json-payload") -> bytes:
    """Any JSON value.

    Raises:
        UsageError: names line and column.
    """
    try:
        value = parse(text.removeprefix(_MARK))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{where} is not valid JSON: {error.msg} at {place}") from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    except ValueError as error:  # Python's own limit on the digits of an integer
        raise UsageError(f"{where} holds a number with thousands of digits") from error
    return packed(value, where)


def from_file(name: str) -> bytes:
    """The bytes of a file, or of standard input for `-`.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    with _opened(name) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{_called(name)} is over the {MAX_BYTES:,} bytes that a payload may have: split it")
    return packed(data, _called(name))


def from_lines(name: str, inputs: Inputs, keys: Keys) -> None:
    """Add one JSON value from each line of a file, or of standard input for `-`; an empty line is no value.

    Raises:
        UsageError: names the line that is wrong; or there is too much of it.
    """
    with _opened(name) as file:
        for number, text in _lines(file, name):
            where = f"line {number} of {_called(name)}"
            value = _value(text, where)
            payload = packed(value, where)
            inputs.add(payload, keys.of(payload, value, number, where), number)
            if len(inputs) > MAX_TASKS or inputs.size > MAX_INPUT:
                limits = f"{MAX_TASKS:,} lines or {MAX_INPUT:,} bytes"
                raise UsageError(f"{_called(name)} is over the {limits} that are taken at once: split it")


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    number, readline = 0, _as_utf8(file)
    try:
        while text := readline(MAX_BYTES + 1):
            number += 1
            if len(text) > MAX_BYTES:
                raise UsageError(
                    f"line {number} of {_called(name)} is over the {MAX_BYTES:,} bytes of a payload"
                )
            if text.strip():
                yield number, text
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{_called(name)} is no whole {error.encoding[:6].upper()}: {SAVE_AS_UTF8}; nothing was submitted"
        ) from error


class _Rejoined(io.RawIOBase):
    """A file, and what of it has been read already."""

    def __init__(self, head: bytes, file: IO[bytes]) -> None:
        super().__init__()
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int:
        room = memoryview(into).cast("B")
        data, self._head = self._head[: len(room)], self._head[len(room) :]
        data = data or self._file.read1(len(room))  # type: ignore[attr-defined]
        room[: len(data)] = data
        return len(data)


def _as_utf8(file: IO[bytes]) -> Callable[[int], bytes]:
    """Gives the lines of this text in UTF-8, without a byte order mark, at most so much of each."""
    head = file.read(_LONGEST_MARK)
    length, encoding = marked(head)
    whole = io.BufferedReader(_Rejoined(head[length:], file), READ_SIZE)
    if encoding == "utf-8":
        return whole.readline
    text = io.TextIOWrapper(whole, encoding, newline="\n")
    return lambda most: text.readline(most).encode()


def _value(text: bytes, where: str) -> Any:
    if b"\0" in text:  # not in JSON, where it has an escape
        raise UsageError(f"{where} {UNMARKED}; nothing was submitted")
    try:
        return parse(text.decode().strip())
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} is not valid JSON: {error.msg} at column {error.colno}; nothing was submitted"
        ) from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply; nothing was submitted") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}; nothing was submitted") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} {not_utf8(text[error.start])}; nothing was submitted") from error
    except ValueError as error:  # an integer of thousands of digits
        raise UsageError(f"{where} is not valid JSON: {error}; nothing was submitted") from error


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    try:
        if name != STDIN:
            with Path(name).open("rb") as file:
                yield file
        elif sys.stdin is None:
            raise UsageError("there is no standard input to read from")
        else:
            yield sys.stdin.buffer
    except OSError as error:
        raise UsageError(f"{_called(name)} cannot be read: {error.strerror}") from error


def _called(name: str) -> str:
    return "standard input" if name == STDIN else printable(name)


# ---- the way back ---------------------------------------------------------------------------------------


def value_of(data: bytes) -> Any:
    """The value in a stored payload or result; what cannot be read is shown as the bytes it is."""
    try:
        return unpack(data)
    except BadPayload:
        return data


def shown(data: bytes) -> str:
    """A result as text: text as it is, any other value as JSON."""
    value = value_of(data)
    text = value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False)
    return printable(text, MAX_SHOWN, keep="\n\t") if on_terminal() else text


def print_result(data: bytes) -> None:
    """A result for `task result`: bytes as they are, unless a person looks."""
    value = value_of(data)
    if isinstance(value, bytes) and not on_terminal():
        click.echo(value, nl=False)
    else:
        click.echo(shown(data))
