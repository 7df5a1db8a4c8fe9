"""Which commands run, and whether keys have to wait for them: until they have ended, or ask something."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from textual.app import App
from textual.screen import Screen

R = TypeVar("R")
ACT_SECONDS: Final = 0.3
"""For which keys wait while an order is carried out: nothing will be asked any more."""


class Doing:
    """A command that runs."""

    def __init__(self) -> None:
        self.until = math.inf
        """Seconds of the event loop's clock at which nobody waits for it any more."""
        self.asks: Screen[Any] | None = None
        """The dialog that it waits for."""


_DOING: ContextVar[Doing | None] = ContextVar("the command that runs in this task", default=None)


class UnderWay(App[R]):
    """An application that knows."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._under_way: set[Doing] = set()

    @contextmanager
    def doing(self) -> Iterator[None]:
        """While a command runs in this task, keys wait for it."""
        one = Doing()
        self._under_way.add(one)
        token = _DOING.set(one)
        try:
            yield
        finally:
            _DOING.reset(token)
            self._under_way.discard(one)

    def nothing_to_ask(self) -> None:
        """What runs in this task asks nothing any more: keys need not wait for its end."""
        if (one := _DOING.get()) is not None:
            one.until = min(one.until, self.clock_now() + ACT_SECONDS)

    def keys_wait(self, *, wait: bool) -> None:
        """Whether keys wait for the command that runs in this task."""
        if (one := _DOING.get()) is not None:
            one.until = math.inf if wait else 0.0

    async def push_screen_wait(self, screen: Any, **options: Any) -> Any:
        """As Textual's. Keys are for the dialog from here on."""
        if (one := _DOING.get()) is None or not isinstance(screen, Screen):
            return await super().push_screen_wait(screen, **options)
        one.asks = screen
        try:
            return await super().push_screen_wait(screen, **options)
        finally:
            one.asks, one.until = None, math.inf

    def commands_wait(self) -> bool:
        """Whether one runs that may still ask something."""
        now = self.clock_now()
        return any(one.until > now and one.asks not in self.screen_stack for one in self._under_way)

    def wait_no_longer(self) -> None:
        """Those that run have had their time."""
        for one in self._under_way:
            one.until = 0.0

    def clock_now(self) -> float:
        """Seconds of the event loop's clock."""
        return asyncio.get_running_loop().time()
