"""Which exceptions of a kind are final: `Permanent`, and those that its module names in `FINAL`.

Looks at classes only, and asks nothing of the exception itself: it is task code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..core.errors import ConfigError
from ..core.finality import PERMANENT, Permanent

MAX_FINAL: Final = 64
"""Exceptions that one kind may name."""
MAX_PARTS: Final = 256
"""Exceptions of a group that are looked at."""

Finals = tuple[type[BaseException] | str, ...]


def finals_of(module: Any, place: str) -> Finals:
    """What the module of a kind has as `FINAL`: one exception class or its name, or several.

    Raises:
        ConfigError: it is something else.
    """
    given = getattr(module, "FINAL", ())
    entries = tuple(given) if isinstance(given, tuple | list | set | frozenset) else (given,)
    if len(entries) > MAX_FINAL:
        raise ConfigError(f"{place}: FINAL names {len(entries):,}, and may name {MAX_FINAL} exceptions")
    for entry in entries:
        is_class = isinstance(entry, type) and issubclass(entry, BaseException)
        if not is_class and not (isinstance(entry, str) and entry):
            raise ConfigError(
                f"{place}: FINAL must be exception classes such as (ValueError, KeyError), not {entry!r:.40}"
            )
    return entries


def code_for(error: BaseException, finals: Finals) -> str:
    """`permanent` when another attempt cannot help, else `failed`."""
    classes = (base for part in _parts(error) for base in type(part).__mro__)
    return PERMANENT if any(_is_named(base, finals) for base in classes) else "failed"


def _is_named(base: type, finals: Finals) -> bool:
    if base is Permanent:
        return True
    names = (base.__name__, f"{base.__module__}.{base.__qualname__}")
    return any(entry is base or (isinstance(entry, str) and entry in names) for entry in finals)


def _parts(error: BaseException) -> Iterator[BaseException]:
    """It, and what is in it when it is a group."""
    waiting = [error]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        part = waiting.pop()
        yield part
        if isinstance(part, BaseExceptionGroup):
            waiting += part.exceptions
