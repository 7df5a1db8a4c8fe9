"""What several commands take: names, durations, task ids, `--json`."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import click

MAX_ID: Final = 2**63 - 1
MAX_DIGITS: Final = 19
MAX_SECONDS: Final = 10 * 365 * 86_400.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BARE: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def seconds(text: str) -> float:
    """`90`, `90s`, `15m`, `1h30m` or `1d` in seconds.

    Raises:
        ValueError: it is none of these, or longer than ten years.
    """
    text = text.strip().lower()
    parts = _PART.findall(text)
    if _BARE.fullmatch(text):
        found = float(text)
    elif parts and "".join(number + unit for number, unit in parts) == text:
        found = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        raise ValueError(f"`{text[:40]}` is not a duration: write seconds, or 30s, 15m, 2h, 1d, 1h30m")
    if found > MAX_SECONDS:
        raise ValueError(f"`{text[:40]}` is longer than ten years")
    return found


class Name(click.ParamType[str]):
    """What somebody or something is called, or is looked for by; never empty, as a variable may be."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        text = str(value)
        if not text.strip():
            self.fail("it is empty: say which, or leave it out", param, ctx)
        return text


def take_only_text(command: click.Command) -> click.Command:
    """Have this command, and those below it, refuse words that are no text; names of files may be anything.

    What is typed comes as bytes, and where these are no UTF-8 Python keeps them as halves of characters:
    they can be sent to nobody.
    """
    for param in command.params:
        if not isinstance(param.type, click.Path) and param.callback is None:  # flags like --version have one
            param.callback = _text
    if isinstance(command, click.Group):
        for below in command.commands.values():
            take_only_text(below)
    return command


def _text(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_text(ctx, param, word) for word in value)
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        try:  # where a locale knows less than UTF-8 does
            return os.fsencode(value).decode()
        except UnicodeError:
            raise click.BadParameter(f"`{value[:40]}` is not UTF-8", ctx, param) from None
    return value


def brief(length: float) -> str:
    """A bound as it is written: the largest unit of which it is a whole number."""
    for unit, of_it in reversed(_SECONDS.items()):
        if length >= of_it and length % of_it == 0:
            return f"{length / of_it:,.0f}{unit}"
    return f"{length * 1000:g}ms" if length else "0s"


class Duration(click.ParamType[float]):
    """A length of time between two bounds, both of them included."""

    name = "duration"

    def __init__(self, least: float = 0.0, most: float = MAX_SECONDS) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        try:
            found = seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not self._least <= found <= self._most:
            bounds = f"{brief(self._least)} to {brief(self._most)}"
            self.fail(f"`{str(value)[:40]}` is not within {bounds}", param, ctx)
        return found


class TaskId(click.ParamType[int]):
    """The number of a task."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """A number that a task can have."""
        text = str(value)
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and 0 < int(text) <= MAX_ID):
            self.fail(f"`{text[:40]}` is not the id of a task: ids are numbers from 1 on", param, ctx)
        return int(text)


NAME: Final = Name()
DURATION: Final = Duration()
"""Of which nothing makes sense too: at once."""
LEAST: Final = 0.001
A_WHILE: Final = Duration(LEAST)
"""Of which nothing makes no sense."""
ID: Final = TaskId()
as_json: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
