"""Writes the rows of a table to a file, as CSV or JSON lines: everything that matches, not what is seen."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
from msgspec.structs import asdict

from ..core.errors import UsageError
from ..core.lifecycle import TaskState

FORMS: Final = (".csv", ".jsonl")
PRIVATE: Final = 0o600
MOMENTS: Final = frozenset(
    {"submitted_at", "due_at", "finished_at", "started_at", "ended_at", "enrolled_at", "expires_at"}
    | {"revoked_at", "created_at", "at", "since", "until", "leave_by", "certificate_until"}
)
"""Fields of rows that are moments, in seconds since the epoch; other numbers are lengths and counts."""
FORMULA: Final = frozenset("=+-@＝＋－＠")  # noqa: RUF001  those of a wide keyboard are read alike
BLANKS: Final = " \t\r\n\v\f\0\u00a0"
"""What a spreadsheet leaves out before it looks."""
BATCH: Final = 1_000
"""Rows between two writes."""


def as_json(row: Any) -> str:
    """One row as one line of JSON: states as words, moments as ISO 8601 in UTC, bytes in base64."""
    return json.dumps(_told(row), allow_nan=False)


async def write(rows: AsyncIterator[Any], path: Path) -> int:
    """Write them all; says how many.

    Raises:
        UsageError: the file cannot be written.
    """
    number = 0
    try:
        async with await anyio.open_file(path, "x", encoding="utf-8", newline="", opener=_private) as file:
            lines: list[str] = []
            async for row in rows:
                lines.append(_line(row, path.suffix, first=not number))
                number += 1
                if len(lines) >= BATCH:
                    await file.write("".join(lines))
                    lines.clear()
            await file.write("".join(lines))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    return number


def _private(path: str, flags: int) -> int:
    """Payloads and errors are the fleet's business, not that of everybody on this machine."""
    return os.open(path, flags, PRIVATE)


def _line(row: Any, form: str, *, first: bool) -> str:
    if form == ".jsonl":
        return as_json(row) + "\n"
    fields = _told(row)
    out = io.StringIO()
    table = csv.writer(out)
    if first:
        table.writerow(fields)
    table.writerow([_cell(value) for value in fields.values()])
    return out.getvalue()


def _told(row: Any) -> Any:
    """Every field of a row, in the words of the screen."""
    fields = asdict(row) if isinstance(row, msgspec.Struct) else row
    if not isinstance(fields, dict):
        return _plain(fields)
    return {name: _field(name, value) for name, value in fields.items()}


def _field(name: str, value: Any) -> Any:
    if name in MOMENTS and isinstance(value, int | float):
        return _moment(value)
    return _state(value) if name == "state" and isinstance(value, int) else _plain(value)


def _plain(value: Any) -> Any:
    """A value as JSON can say it."""
    match value:
        case msgspec.Struct():
            return _told(value)
        case dict():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case bytes():
            return base64.b64encode(value).decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _moment(at: float) -> str | float:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return at if math.isfinite(at) else str(at)


def _state(number: int) -> str | int:
    try:
        return TaskState(number).word
    except ValueError:  # of a newer version
        return number


def _cell(value: Any) -> Any:
    """A spreadsheet takes a text that begins like a formula for one: an apostrophe keeps it a text."""
    if isinstance(value, list):
        value = ", ".join(_word(part) for part in value)
    elif isinstance(value, dict):
        value = ", ".join(f"{key}={_word(part)}" for key, part in value.items())
    return f"'{value}" if isinstance(value, str) and value.lstrip(BLANKS)[:1] in FORMULA else value


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
