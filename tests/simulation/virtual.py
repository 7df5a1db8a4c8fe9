"""An asyncio loop whose clock jumps to the next timer when nothing is left to do: hours in milliseconds.

Deterministic: there is one thread, no socket is waited for, and callbacks run in the order of their moments.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import anyio


class NothingLeft(AssertionError):
    """Every task waits for something that nothing will bring about."""


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NothingLeft("every task waits, and no timer is set")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when everybody waits."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
    """Run `main` to its end in virtual time."""
    anyio.run(main, *arguments, backend_options={"loop_factory": VirtualLoop})
