"""Reads settings as they were written: a commented JSON file, environment variables.

It knows syntax, not meaning: which keys exist and what they may hold is for `model` and `load` to say.
Comments are `// to the end of the line` and `/* between */`; everything else is plain JSON.
"""

from __future__ import annotations

import json
import os
import re
import stat
import types
import typing
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from ..core.errors import ConfigError
from ..core.text import decoded, printable
from ..paths import check_unshared
from .wording import explain

MAX_FILE: Final = 1024 * 1024
"""Bytes of a configuration file; nobody writes more by hand."""
PREFIX: Final = "TASKMESSENGER_"
_TOKEN: Final = re.compile(r'"(?:\\.|[^"\\\n])*"?|//[^\n]*|/\*(?:.*?\*/)?', re.DOTALL)
_NOT_NEWLINE: Final = re.compile(r"[^\n]")


def read_file(path: Path) -> dict[str, Any] | None:
    """What a configuration file holds, or None when there is none.

    Raises:
        ConfigError: it cannot be read, or is not JSON; names file, line and column.
    """
    label = printable(str(path), MAX_FILE)
    try:
        raw = _read(path)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(
            f"{label}: may not be read by this user; run `chmod u+r {label}` as its owner"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{label}: cannot be read ({error.strerror}); name another file with --config"
        ) from error
    if len(raw) > MAX_FILE:
        raise ConfigError(f"{label}: is larger than {MAX_FILE} bytes; that is no configuration file")
    return parse(as_text(raw, label), label)


def as_text(raw: bytes, label: str) -> str:
    """What is in a configuration file; `label` names it in errors.

    Raises:
        ConfigError: it is in an encoding that is not read; says in which, and the cure.
    """
    try:
        return decoded(raw)
    except ValueError as error:
        raise ConfigError(f"{label}: {error}") from None


def _read(path: Path) -> bytes:
    """The beginning of a file that nobody else can change; a pipe without a writer keeps nobody waiting."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(number, "rb") as file:
        if stat.S_ISREG(os.fstat(number).st_mode):
            check_unshared(path)
        else:  # the shell's `<(...)`, say
            os.set_blocking(number, True)
        return file.read(MAX_FILE + 1)


def parse(text: str, label: str) -> dict[str, Any]:
    """Commented JSON as an object; `label` names the file in errors.

    Raises:
        ConfigError: it is not JSON, or no object; names line and column.
    """
    try:
        value = json.loads(
            strip_comments(text, label), object_pairs_hook=_no_twins, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise ConfigError(f"{label}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{label}: is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{label}: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{label}: must hold one group of keys in {{...}}")
    return value


def strip_comments(text: str, label: str) -> str:
    """`text` with comments turned into blanks, so that every line and column stays where it was.

    Raises:
        ConfigError: a comment is opened and never closed.
    """

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        if found.startswith('"'):
            return found
        if found == "/*":
            line = text.count("\n", 0, match.start()) + 1
            column = match.start() - text.rfind("\n", 0, match.start())
            raise ConfigError(
                f"{label}: line {line}, column {column}: this comment is never closed; add `*/`"
            )
        return _NOT_NEWLINE.sub(" ", found)

    return _TOKEN.sub(blank, text)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key `{printable(twin)}` is there twice in one group; remove one")
    return whole


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that can be used")


def variable(key: str) -> str:
    """The environment variable that sets this key: TASKMESSENGER_LEASES_TTL for `leases.ttl`."""
    return PREFIX + key.replace(".", "_").upper()


def from_text(name: str, text: str, wanted: Any) -> object:
    """The value of type `wanted` that an environment variable spells: lists by commas, mappings as `a=b,c=d`.

    Raises:
        ConfigError: it spells none; names the variable.
    """
    try:
        return msgspec.to_builtins(msgspec.convert(_spelled(text, wanted), wanted, strict=False))
    except ValueError as error:  # msgspec's own error is one
        problem = explain(str(error), wanted).removesuffix(", not text")
        raise ConfigError(f"{name}: {problem} (it is `{printable(text)}`)") from None


def _spelled(text: str, wanted: Any) -> object:
    items = [item.strip() for item in text.split(",") if item.strip()]
    shape = typing.get_origin(_bare(wanted))
    if shape is tuple:
        return items
    if shape is dict:
        pairs = [item.partition("=") for item in items]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError("wants `name=value` pairs, separated by commas")
        return {key.strip(): value.strip() for key, _, value in pairs}
    text = text.strip()
    if type(None) in typing.get_args(wanted) and text.lower() in {"null", "none"}:
        return None
    return {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text)


def _bare(wanted: Any) -> Any:
    """A type without its bounds and without `| None`."""
    if typing.get_origin(wanted) is typing.Annotated:
        return _bare(typing.get_args(wanted)[0])
    if typing.get_origin(wanted) in {typing.Union, types.UnionType}:
        return _bare(next(a for a in typing.get_args(wanted) if a is not type(None)))
    return wanted
