"""Whether others could change the code behind a `python:` kind, looked at before any of it is imported.

As for kinds in files: the owner and mode of each file, and of every folder above it. Where this Python has
its own packages is no question: who can write there has this program already.
"""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Final

from ..core.errors import ConfigError
from ..paths import check_unshared
from .failures import describe

MAX_WHY: Final = 300
"""Characters of an error of a package."""


def check_module(dotted: str) -> None:
    """The packages above a module, and it itself as far as there is one, can be changed by this user alone.

    Raises:
        ConfigError: somebody else could change one; names the place and the cure.
    """
    parts = dotted.split(".")
    for end in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:end]))
        if spec is None:
            return
        for place in _places(spec):
            _check(place, dotted)


def _spec(dotted: str) -> ModuleSpec | None:
    """Where it would be loaded from; None where that is said by whoever imports it."""
    known = sys.modules.get(dotted)
    if known is not None:
        return known.__spec__
    try:
        return importlib.util.find_spec(dotted)  # imports what is above it, and that was looked at
    except ModuleNotFoundError:
        return None
    except BaseException as error:  # border: the packages above it are the operator's code
        why = " ".join(describe(error)[0].split())[:MAX_WHY]
        raise ConfigError(f"`python:{dotted}`: cannot be loaded: {why}") from error


def _places(spec: ModuleSpec) -> Iterator[Path]:
    if spec.has_location and spec.origin:
        yield Path(spec.origin)
    elif spec.submodule_search_locations:  # a package without a file of its own
        yield from map(Path, spec.submodule_search_locations)


def _check(place: Path, dotted: str) -> None:
    there = next((path for path in (place, *place.parents) if path.exists()), None)  # it may be in an archive
    if there is None or any(there.resolve().is_relative_to(folder) for folder in _own()):
        return
    try:
        check_unshared(there)
    except OSError as error:
        raise ConfigError(f"`python:{dotted}`: {there} cannot be looked at: {error.strerror}") from error


@cache
def _own() -> tuple[Path, ...]:
    """Where this Python has its packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in names})
