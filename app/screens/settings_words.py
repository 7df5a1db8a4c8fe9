"""Settings as people read and write them: plain words instead of JSON, and where a value came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..config.source import variable
from ..handle import SettingRow
from .widgets.words import safe


def plain(written: str) -> str:
    """A value of a file as a person types it: text without quotes, lists with commas."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return written
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) and "," not in one for one in value):
        return ", ".join(value)
    return written


def is_changed(row: SettingRow) -> bool:
    """Whether it is not as it comes."""
    return row.origin != "default" and row.value != row.default


def source(row: SettingRow) -> str:
    """Where it came from, in a word: default, file, environment, command line."""
    word = row.origin.partition(" ")[0]
    return word if word in {"file", "environment"} else row.origin


def stronger(row: SettingRow) -> str:
    """What beats the file, so that a change of the file alone does nothing; empty when nothing does."""
    word, _, name = row.origin.partition(" ")
    if word == "environment":
        return f"the environment variable {safe(name)}"
    return "the command line" if row.origin == "command line" else ""


def explained(row: SettingRow, file: Path, role: str) -> Iterator[str]:
    """What to know before one changes it."""
    if row.doc:
        yield row.doc
    yield f"now {plain(row.value) or '(empty)'}, from {row.origin}"
    if by := stronger(row):
        yield f"! {by} beats the file: leave that out as well"
    yield f"{file}: heeded when the {role} starts again"


def variable_of(row: SettingRow) -> str:
    """The environment variable that sets it."""
    return variable(row.key)
