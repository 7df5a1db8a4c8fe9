"""Puts one setting into a configuration file and leaves the rest of it as it is, comments included.

What would come out is checked as a whole, the way a role that starts checks it, before anything is written.
It knows files; it does not tell a running node.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ..core.errors import ConfigError
from ..core.text import printable
from ..paths import Paths, Role, private_directory
from .load import leaves, load
from .model import Group, ManagerConfig, WorkerConfig
from .source import MAX_FILE, as_text, from_text, parse, strip_comments

_MODELS: Final[dict[Role, type[Group]]] = {"manager": ManagerConfig, "worker": WorkerConfig}
_INDENT: Final = "    "
_FIRST: Final = "{\n}\n"
_BLANK: Final = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class _Member:
    """`"key": value` in a file."""

    key: str
    value: int
    """Where its value begins, and ends."""
    end: int


def meant(role: Role, key: str, text: str) -> Any:
    """The value that a person typed for a setting: as JSON, or as an environment variable would spell it.

    Raises:
        ConfigError: names the setting and says what it wants; also when there is none of this name.
    """
    wanted = leaves(_MODELS[role]).get(key)
    if wanted is None:
        raise ConfigError(f"there is no setting `{printable(key)}`")
    try:
        value: object = msgspec.convert(json.loads(text), wanted)
    except (ValueError, RecursionError):  # no JSON, or of another type: as words, then
        value = from_text(key, text, wanted)
    return json.loads(msgspec.json.encode(value))


def changed(text: str, key: str, value: Any, label: str) -> str:
    """The text of a configuration file with this setting in it.

    Raises:
        ConfigError: the text is no configuration file, or cannot be changed without touching the rest.
    """
    before = parse(text, label)
    after = _with(before, key, value)
    draft = _put(text, strip_comments(text, label), key, value)
    if parse(draft, label) != after:
        raise ConfigError(f"{label}: this file cannot be changed here: set `{key}` in it with an editor")
    return draft


def write(file: Path, paths: Paths, role: Role, key: str, text: str) -> Any:
    """Put what was typed into the file of a role, which is made if there is none; gives the value.

    Raises:
        ConfigError: the value or the file cannot be used; nothing was written.
    """
    return write_all(file, paths, role, {key: text})[key]


def write_all(file: Path, paths: Paths, role: Role, texts: Mapping[str, str]) -> dict[str, Any]:
    """The same for several settings at once, which need to be right together only.

    Raises:
        ConfigError: a value or the file cannot be used; nothing was written.
    """
    label = printable(str(file), MAX_FILE)
    values = {key: meant(role, key, text) for key, text in texts.items()}
    try:
        file = file.resolve()
        draft = as_text(file.read_bytes(), label) if file.exists() else _FIRST
        for key, value in values.items():
            draft = changed(draft, key, value, label)
        if not file.parent.exists():
            private_directory(file.parent)
        _replace(file, draft, paths, role, label)
    except OSError as error:
        named = ", ".join(f"`{key}`" for key in texts)
        raise ConfigError(
            f"{label}: cannot be written ({error.strerror}); set {named} by other means"
        ) from error
    return values


def _replace(file: Path, draft: str, paths: Paths, role: Role, label: str) -> None:
    """The draft takes the place of the file once it has been found good."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    try:
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as out:
            out.write(draft)
            out.flush()
            os.fsync(out.fileno())
        try:
            load(role, {}, {}, paths, file=beside)
        except ConfigError as error:
            raise ConfigError(str(error).replace(printable(str(beside)), label)) from None
        beside.chmod(mode)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _with(before: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    if not rest:
        return {**before, first: value}
    inner = before.get(first, {})
    return {**before, first: _with(inner if isinstance(inner, dict) else {}, rest, value)}


def _put(text: str, bare: str, key: str, value: Any) -> str:
    """Replace the value, or add what is missing to the innermost group that is there. `bare`: no comments."""
    parts = key.split(".")
    start, depth = _BLANK.match(bare).end(), 0  # type: ignore[union-attr]
    while True:
        members = list(_members(bare, start))
        found = next((m for m in members if m.key == parts[depth]), None)
        if found is None:
            return _add(text, bare, start, members, parts[depth:], value, depth + 1)
        if depth == len(parts) - 1:
            return text[: found.value] + _json(value, depth + 1) + text[found.end :]
        start, depth = found.value, depth + 1


def _add(
    text: str, bare: str, start: int, members: list[_Member], parts: list[str], value: Any, depth: int
) -> str:
    for part in reversed(parts[1:]):
        value = {part: value}
    pad = _INDENT * depth
    line = f"\n{pad}{json.dumps(parts[0])}: {_json(value, depth)}"
    if not members:
        rest = text[start + 1 :]
        return (
            f"{text[: start + 1]}{line}{'' if rest[:1] == chr(10) else chr(10) + _INDENT * (depth - 1)}{rest}"
        )
    last = members[-1].end
    ends = bare.find("\n", last)
    # A comment behind the last value stays with it: the new line comes after it.
    at = ends if ends >= 0 and not bare[last:ends].strip() else last
    return f"{text[:last]},{text[last:at]}{line}{text[at:]}"


def _json(value: Any, depth: int) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, indent=len(_INDENT), ensure_ascii=False).replace("\n", "\n" + _INDENT * depth)


def _members(bare: str, start: int) -> Iterator[_Member]:
    """Of the object that begins at `start`, in JSON that is known to be right."""
    decoder = json.JSONDecoder()
    at = _after(bare, start + 1)
    while bare[at] != "}":
        key, at = decoder.raw_decode(bare, at)
        at = _after(bare, _after(bare, at) + 1)  # the colon
        _, end = decoder.raw_decode(bare, at)
        yield _Member(key, at, end)
        at = _after(bare, end)
        if bare[at] == ",":
            at = _after(bare, at + 1)


def _after(bare: str, at: int) -> int:
    found = _BLANK.match(bare, at)
    return at if found is None else found.end()
