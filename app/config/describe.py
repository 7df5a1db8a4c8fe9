"""Every setting with its value, its default and what the sample file says of it. Reads no other file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from .load import leaves
from .model import Group, ManagerConfig, WorkerConfig

_MODELS: Final[dict[str, type[Group]]] = {"manager": ManagerConfig, "worker": WorkerConfig}
_KEY: Final = re.compile(r'\s*"(?P<key>[a-z_0-9]+)":(?P<rest>.*)')
_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"')


@dataclass(frozen=True, slots=True)
class Described:
    """One setting."""

    key: str
    """As in `leases.ttl`."""
    value: str
    """As it is written in a file."""
    default: str
    doc: str


def described(role: str, config: msgspec.Struct) -> Iterator[Described]:
    """All settings of a role."""
    model = _MODELS[role]
    values, defaults, docs = msgspec.to_builtins(config), msgspec.to_builtins(model()), documented(role)
    for key in leaves(model):
        yield Described(key, _written(values, key), _written(defaults, key), docs.get(key, ""))


@cache
def documented(role: str) -> dict[str, str]:
    """What the comments of the sample file say of each key."""
    sample = resources.files("taskmessenger.defaults").joinpath(f"config-{role}.json")
    docs: dict[str, str] = {}
    groups: list[str] = []
    above: list[str] = []
    last = ""
    for line in sample.read_text(encoding="utf-8").splitlines():
        code, comment = _split(line)
        if not code:
            if last and line.startswith(" " * 12):  # goes on below the comment of the line before
                docs[last] = f"{docs[last]} {comment}".strip()
            else:
                above.append(comment)
            continue
        found = _KEY.match(code)
        if found and found["rest"].strip() == "{":
            groups.append(found["key"])
            last = ""
        elif found:
            last = ".".join((*groups, found["key"]))
            docs[last] = comment or " ".join(filter(None, above))
        elif code.startswith("}"):
            del groups[-1:]
            last = ""
        above.clear()
    return docs


def _split(line: str) -> tuple[str, str]:
    """What a line says and its comment, neither with blanks around it."""
    hidden = _STRING.sub(lambda match: "x" * len(match.group()), line)
    place = hidden.find("//")
    if place < 0:
        return line.strip(), ""
    return line[:place].strip(), line[place + 2 :].strip()


def _written(values: Any, key: str) -> str:
    for part in key.split("."):
        values = values[part]
    return json.dumps(values)
