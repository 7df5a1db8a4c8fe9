"""The event loop of roles, and of commands that ask a manager: uvloop where there is one, else asyncio's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

_T = TypeVar("_T")


def run(main: Callable[..., Coroutine[Any, Any, _T]], *arguments: object) -> _T:
    """What `main(*arguments)` returns or raises. Importing uvloop takes some milliseconds, once."""
    options: dict[str, Any] = {}
    try:
        import uvloop  # noqa: F401
    except ImportError:
        pass
    else:
        options["use_uvloop"] = True
    return anyio.run(main, *arguments, backend_options=options)
