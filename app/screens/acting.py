"""How an order is carried out: what is asked before, what can be undone after, how it is told. In one place.

Rules: what cannot be taken back is asked for, with No as the answer that Enter gives; for more than ten
things, or for all that match, the operator types their number; what wipes something out wants its name.
Cancelling and deleting wait five seconds, in which they can be undone. A read-only console changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import Refused, TaskMessengerError
from ..core.text import count
from ..handle import ActDone
from .chosen import NAMED
from .dialogs.confirm import Confirm, Typed
from .widgets.words import safe

if TYPE_CHECKING:
    from textual.timer import Timer

    from .app import Console
    from .view import View
    from .widgets.grid import Grid

UNDO_SECONDS: Final = 5.0
MAX_PENDING: Final = 10
"""Orders that wait for their undo to run out; one more is carried out at once."""


class Danger(Enum):
    """What an order can do."""

    NONE = auto()
    """Undone by the opposite order: pause, resume, retry."""
    ASK = auto()
    """Cannot be taken back."""
    DELAYED = auto()
    """Cannot be taken back, but can wait: cancel, delete."""


class Question(Enum):
    """What an operator has to answer first."""

    NOTHING = auto()
    YES = auto()
    NUMBER = auto()
    NAME = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One thing to do, to one or many."""

    what: str
    """Begins with a verb: `cancel 3 tasks`."""
    done: str
    """How it is told afterwards: `cancelled`."""
    do: Callable[[], Awaitable[ActDone | None]]
    noun: str = "task"
    number: int = 1
    """How many it applies to."""
    whole: bool = False
    """It applies to all that match."""
    names: tuple[str, ...] = ()
    danger: Danger = Danger.NONE
    phrase: str = ""
    """A name that must be typed, because something is wiped out."""
    note: str = ""
    """What the operator should know, a sentence."""
    twin: str = ""
    """The same as a command line."""
    meant: bool = False
    """The operator has worked for it: Enter says yes."""


def question(order: Order) -> Question:
    """What must be answered before this is done."""
    if order.phrase:
        return Question.NAME
    if order.whole or order.number > NAMED:
        return Question.NUMBER
    return Question.NOTHING if order.danger is Danger.NONE else Question.YES


@dataclass(slots=True)
class Meant:
    """What was marked when an order was given, in which table."""

    grid: Grid[Any] | None = None
    keys: frozenset[Any] = frozenset()

    def mark(self, *, on: bool) -> None:
        """Take these marks away, or put them back."""
        if self.grid is not None and self.grid.is_running:
            self.grid.mark(self.keys, on=on)


@dataclass(slots=True)
class Pending:
    """An order that waits, so that it can be undone."""

    order: Order
    view: View
    until: float
    meant: Meant
    timer: Timer | None = None


class Actor:
    """Carries out the orders of one console."""

    def __init__(self, console: Console, seconds: float = UNDO_SECONDS) -> None:
        self._console = console
        self._seconds = seconds
        self.pending: list[Pending] = []
        """Oldest first."""

    async def perform(self, view: View, order: Order) -> bool:
        """Ask what must be asked and do it, or let it wait; False when the operator said no.

        Raises:
            Refused: the console is read-only. TaskMessengerError: the node said why not.
        """
        if self._console.read_only:
            raise Refused("this console is read-only: start it without --read-only")
        if not order.number:
            self._console.tell(f"nothing to do: no {order.noun}s match", "warning")
            return False
        meant = _meant(view, order)
        if not await self._asked(order):
            return False
        if order.danger is Danger.DELAYED and self._seconds and len(self.pending) < MAX_PENDING:
            self._wait(view, order, meant)
        else:
            await self._do(view, order)
        # The next key is not about them any more.
        meant.mark(on=False)
        view.whole = view.whole and not order.whole
        view.hint()
        return True

    def undo(self) -> bool:
        """Forget the newest order that waits."""
        if not self.pending:
            return False
        waiting = self.pending.pop()
        if waiting.timer is not None:
            waiting.timer.stop()
        waiting.meant.mark(on=True)
        self._console.tell(f"undone: {waiting.order.what} was not done")
        return True

    async def flush(self) -> None:
        """Do now what waits: the console is closing, and it was confirmed."""
        while self.pending:
            waiting = self.pending[0]
            if waiting.timer is not None:
                waiting.timer.stop()
            await self._fire(waiting)

    async def _asked(self, order: Order) -> bool:
        lines = [*order.names] if not order.whole and order.number <= NAMED and len(order.names) > 1 else []
        lines += [order.note] if order.note else []
        title = f"{order.what[:1].upper()}{order.what[1:]}?"
        match question(order):
            case Question.NOTHING:
                return True
            case Question.YES:
                ask: Any = Confirm(title, lines, twin=order.twin, meant=order.meant)
            case Question.NUMBER:
                ask = Typed(title, lines, str(order.number), twin=order.twin)
            case Question.NAME:
                ask = Typed(title, lines, order.phrase, twin=order.twin)
        return bool(await self._console.push_screen_wait(ask))

    def _wait(self, view: View, order: Order, meant: Meant) -> None:
        waiting = Pending(order, view, self._console.clock() + self._seconds, meant)
        self.pending.append(waiting)

        def fire() -> None:
            # Of the console, not of the screen: that may be left before its time has come.
            work: Any = partial(self._fire, waiting)
            self._console.run_worker(work, group="acts")

        waiting.timer = self._console.set_timer(self._seconds, fire)
        self._console.touch()

    async def _fire(self, waiting: Pending) -> None:
        if waiting not in self.pending:
            return
        self.pending.remove(waiting)
        try:
            await self._do(waiting.view, waiting.order)
        except TaskMessengerError as error:
            self._console.tell(str(error), "error")

    async def _do(self, view: View, order: Order) -> None:
        self._console.nothing_to_ask()
        done = await order.do()
        number = order.number if done is None else done.count
        left = order.number - number
        told = f"{order.done} {count(number, order.noun)}" if order.number != 1 or not number else order.done
        if number == 1 == order.number:
            told = f"{order.done} {order.noun} {order.names[0]}" if order.names else order.done
        if left > 0:
            told += f"; {left:,} could not be: they were in another state"
        self._console.tell(safe(told), "warning" if left > 0 else "information")
        if view.is_running:
            view.acted()


def _meant(view: View, order: Order) -> Meant:
    """The marks that this order is about, if it is about any."""
    grid = view.grid
    if grid is None or order.whole or order.number != len(grid.table.marks):
        return Meant()
    return Meant(grid, grid.table.marks)
