"""Says in an operator's words what is wrong with a value; msgspec says it in a programmer's.

It changes words only; what is right and wrong is decided by the types in `model`.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from ..core.text import printable

_TYPES: Final = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "array": "a list in [...]",
    "object": "a group of keys in {...}",
    "null": "null",
}
_PATH: Final = re.compile(r" - at (?P<in_key>`key` in )?`\$\.?(?P<path>[^`]*)`$")
_EXPECTED: Final = re.compile(r"Expected `(?P<types>[^`]+)`(?P<rest>.*)", re.DOTALL)
_GOT: Final = re.compile(r", got `(?P<type>[^`]+)`")
_BOUND: Final = re.compile(r" (>=|<=|>|<) (-?\d[\d.e+-]*)")
_BOUNDS: Final = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


def split(message: str) -> tuple[str, str]:
    """A message of msgspec as the key path it speaks of (empty for the whole) and what it says of it."""
    found = _PATH.search(message)
    if not found:
        return "", message
    return found["path"].partition("[")[0], message[: found.start()]


def explain(message: str, wanted: Any = None) -> str:
    """What msgspec says, as a sentence about what is wanted; `wanted` is the type of the setting."""
    _, message = split(message)
    if message.startswith("Invalid enum value "):
        got = message.removeprefix("Invalid enum value ").strip("'")
        choices = list(_choices(wanted))
        near = "".join(f" (did you mean `{c}`?)" for c in get_close_matches(got, choices, n=1))
        return f"wants one of {', '.join(choices)}, not `{printable(got)}`{near}"
    found = _EXPECTED.fullmatch(message)
    if not found:
        return message
    rest = found["rest"]
    if "matching regex" in rest:
        return "wants letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit"
    sort = " or ".join(_TYPES.get(t.strip(), t.strip()) for t in found["types"].split("|"))
    rest = _GOT.sub(lambda m: f", not {_TYPES.get(m['type'], m['type'])}", rest)
    return f"wants {sort}{_BOUND.sub(lambda m: f' {_BOUNDS[m[1]]} {float(m[2]):.15g}', rest)}"


def _choices(wanted: Any) -> Iterator[str]:
    """Every word that a type allows, wherever in it."""
    if typing.get_origin(wanted) is typing.Literal:
        yield from typing.get_args(wanted)
        return
    for part in typing.get_args(wanted):
        yield from _choices(part)
