"""Keys are handled one after the other: none is looked at before the one before it has done all that it does.

Textual hands a key to whatever has the focus when it arrives, and finds its command later, when it climbed
through the queues of all widgets around that: of keys that arrive in one burst the second would be taken by
the screen that the first one is about to leave. Here a key waits until the one before it has come to its end:
its command has run or asks something, and field, dialog or screen that it opens has the focus.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from textual import events
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from .bursts import Burst, burst_of
from .under_way import UnderWay

R = TypeVar("R")
MAX_WAITING: Final = 4_096
"""Keys that wait for those before them; what is more is left out, and told."""
HOLD_SECONDS: Final = 3.0
"""For which keys wait for the node. Then what was typed ahead is left out: what it was for never came."""
PASSED_SECONDS: Final = 1.0
"""In which a message climbs from a widget to the application, on any machine."""
LOOK_SECONDS: Final = 0.01
ROUNDS: Final = 20
"""Of messages that follow from a key, one from the other."""
QUIET: Final = 2
"""Rounds that find no message: one that a widget has just taken and not yet passed on is in no queue."""


class Passed(Message, namespace="in_order"):
    """Climbs behind a key, through the same queues: where it has come, the key has been."""

    def __init__(self, arrived: asyncio.Event) -> None:
        super().__init__()
        self.arrived = arrived


class InOrder(UnderWay[R]):
    """An application that does so."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._typed: deque[events.InputEvent] = deque()
        self._typist: asyncio.Task[None] | None = None
        self._loose = False
        """Something was typed that may not have come to its end."""
        self._overflowed = False
        self._burst: tuple[Burst | None, int] = None, 0
        """With which others the key came that was handled last, and its place among them."""

    # For whoever knows what keys are for

    def left_out(self, number: int, why: str) -> None:
        """Keys were typed that cannot go where they were meant to go."""

    def leads_nowhere(self, key: str) -> bool:
        """Whether this key does nothing here, and what follows was not meant for this screen either."""
        return False

    def is_text(self, keys: Sequence[str]) -> bool:
        """Whether these keys, which came at once and which no field takes, are a text."""
        return False

    def holds(self, key: str) -> bool:
        """Whether this key is about something that has been asked for and is not there yet."""
        return False

    # What is typed

    @property
    def is_typing(self) -> bool:
        """Whether something that was typed has not come to its end."""
        return bool(self._typed) or (self._typist is not None and not self._typist.done())

    async def on_event(self, event: events.Event) -> None:
        """As Textual's; what is typed takes its turn."""
        if not isinstance(event, events.InputEvent) or event.is_forwarded:
            await super().on_event(event)
            return
        burst, _ = burst_of(event)
        if burst is not None and burst.left_out:
            return
        if len(self._typed) >= MAX_WAITING:
            self._overflowed = True
            return
        self._typed.append(event)
        if self._typist is None or self._typist.done():
            self._loose = True  # a dialog may be about to open that no key has asked for
            self._typist = asyncio.create_task(self._type())
            self._typist.add_done_callback(self._typist_ended)

    def forget_typed(self, why: str) -> None:
        """Leave out what waits, and what came with it and has not got here yet."""
        number = 0
        first: dict[Burst, int] = {}
        if self._burst[0] is not None:
            first[self._burst[0]] = self._burst[1] + 1
        for event in self._typed:
            burst, at = burst_of(event)
            if burst is not None:
                first.setdefault(burst, at)
            else:
                number += isinstance(event, events.Key | events.Paste)
        for burst, at in first.items():
            if not burst.left_out:
                burst.left_out = True
                number += len(burst.keys) - at
        self._typed.clear()
        if number:
            self.left_out(number, why)

    def on_in_order_passed(self, message: Passed) -> None:
        """It has come to the top."""
        message.arrived.set()

    def _typist_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._handle_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _type(self) -> None:
        while self._typed and self._running and not self._exit:
            event = self._typed[0]
            key = event.key if isinstance(event, events.Key) else ""
            if isinstance(event, events.Key) and self._is_loose(event):
                self._typed.popleft()
                self._typed.extendleft(reversed(_two(event)))
            elif isinstance(event, events.MouseEvent):
                await super().on_event(self._typed.popleft())
            elif isinstance(event, events.Key) and not self.commands_wait() and self._is_taken(event):
                self._loose = True
                await super().on_event(self._typed.popleft())
                await asyncio.sleep(0)
            elif await self._come_to_an_end(key) and self._typed:
                self._loose = True
                if isinstance(event, events.Key) and self._is_of_text(event):
                    continue
                self._typed.popleft()
                self._burst = burst_of(event)
                if isinstance(event, events.Key) and not self._is_taken(event) and self.leads_nowhere(key):
                    self.forget_typed("the key before them does nothing here")
                await super().on_event(event)
                await self._come_to_an_end("")
        if self._overflowed:
            self._overflowed = False
            self.left_out(0, f"more than {MAX_WAITING:,} keys came at once")

    def _is_taken(self, event: events.Key) -> bool:
        """Whether a field that has the focus takes this key for a character."""
        focused = self.focused
        return focused is not None and focused.check_consume_key(event.key, event.character)

    def _is_of_text(self, event: events.Key) -> bool:
        """Whether this key belongs to a text that no field takes: all of that is left out."""
        burst, at = burst_of(event)
        if burst is None or burst.looked_at or self._is_taken(event):
            return False
        burst.looked_at = True
        burst.left_out = self.is_text(burst.keys[at:])
        if burst.left_out:
            self._typed = deque(one for one in self._typed if burst_of(one)[0] is not burst)
            self.left_out(len(burst.keys) - at, "they came as a text, and no field is open for one")
        return burst.left_out

    def _is_loose(self, event: events.Key) -> bool:
        """Whether this is Escape with a key at its heels: nobody has bound it with Alt."""
        if not event.key.startswith("alt+") or event.character is None:
            return False
        return not any(event.key in bindings.key_to_bindings for _, bindings in self.screen._binding_chain)  # noqa: SLF001

    async def _come_to_an_end(self, key: str) -> bool:
        """Until what was typed has done all it does; False when that took too long: the rest is left out."""
        end = self.clock_now() + HOLD_SECONDS
        while self._loose or self._is_held(key):
            self._loose = False
            await self._climb()
            if not self._is_held(key):
                break
            if self.clock_now() >= end or not self._running:
                self.wait_no_longer()
                self.forget_typed(f"nothing has answered for {HOLD_SECONDS:g} s")
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _is_held(self, key: str) -> bool:
        return self._waits() or (bool(key) and self.holds(key))

    async def _climb(self) -> None:
        """Until no message is on its way from what has the focus to the application."""
        quiet = 0
        for _ in range(ROUNDS):
            chain = self._chain()
            await self._pass(chain[0])
            quiet = 0 if any(node.message_queue_size for node in {*chain, *self._chain()}) else quiet + 1
            if quiet == QUIET:
                return

    async def _pass(self, node: DOMNode) -> None:
        arrived = asyncio.Event()
        end = self.clock_now() + PASSED_SECONDS
        if not node.post_message(Passed(arrived)):
            return
        ran = False  # what has only been made runs soon
        while not arrived.is_set() and self.clock_now() < end:
            ran = ran or (node.is_running and node.is_attached)
            if ran and not (node.is_running and node.is_attached):
                return
            try:
                await asyncio.wait_for(arrived.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    def _chain(self) -> list[DOMNode]:
        """From what has the focus up to the screen."""
        return [
            node for node in (self.focused or self.screen).ancestors_with_self if isinstance(node, Widget)
        ]

    def _waits(self) -> bool:
        """Whether a command may still ask something, or a field still look something up."""
        if self.commands_wait():
            return True
        asking = {node for node in self._chain() if not isinstance(node, Screen)}
        if isinstance(self.screen, CommandPalette):
            asking.add(self.screen)
        return any(work.node in asking and not work.is_finished for work in self.workers)


def _two(event: events.Key) -> tuple[events.Key, events.Key]:
    """Escape, and the key at its heels."""
    return events.Key("escape", "\x1b"), events.Key(event.key.removeprefix("alt+"), event.character)
