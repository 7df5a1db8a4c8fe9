"""Writes the rows of a table to a file, as CSV or JSON lines: everything that matches, not what is seen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from ..core.errors import UsageError

FORMS: Final = (".csv", ".jsonl")
BATCH: Final = 1_000
"""Rows between two writes."""


def as_json(row: Any) -> str:
    """One row as one line of JSON; bytes in base64."""
    return json.dumps(msgspec.to_builtins(row))


async def write(rows: AsyncIterator[Any], path: Path) -> int:
    """Write them all; says how many.

    Raises:
        UsageError: the file cannot be written.
    """
    number = 0
    try:
        async with await anyio.open_file(path, "x", encoding="utf-8", newline="") as file:
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


def _line(row: Any, form: str, *, first: bool) -> str:
    if form == ".jsonl":
        return as_json(row) + "\n"
    fields = msgspec.to_builtins(row)
    out = io.StringIO()
    table = csv.writer(out)
    if first:
        table.writerow(fields)
    table.writerow([_cell(value) for value in fields.values()])
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A spreadsheet takes a text that begins like a formula for one: an apostrophe keeps it a text."""
    if isinstance(value, list | dict):
        return json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
