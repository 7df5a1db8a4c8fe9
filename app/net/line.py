"""The session of a client or operator: carries questions and answers, and comes back when it was lost.

What is asked is the business of `remote`; whether a question may be asked twice, its caller says.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
import anyio.lowlevel

from ..core.errors import Conflict, PeerError, Refused, TaskMessengerError, TimedOut, Unreachable, by_code
from ..core.text import printable
from . import messages as m
from .client import Connected
from .session import Ended

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 60.0
"""How long an answer may take; a submission may wait that long for room."""
RETRY_FIRST: Final = 0.1
RETRY_CEILING: Final = 2.0
RETRY_FACTOR: Final = 1.5
STEADY_SECONDS: Final = 5.0
"""A session that ended sooner is a try that failed: it may be what is asked that ends it, each time again."""
_M = TypeVar("_M", bound=m.Message)

Dial = Callable[[], Awaitable[Connected]]
Then = Callable[[m.Message], None]


class Lost(Unreachable):
    """The link went while an answer was awaited."""


class _Request:
    __slots__ = ("answer", "answered", "came", "then", "total")

    def __init__(self, then: Then | None) -> None:
        self.answered = anyio.Event()
        self.answer: m.Message | TaskMessengerError | None = None
        self.came = 0
        """Outcomes of an answer in several messages; `total` is how many there will be."""
        self.total: int | None = None
        self.then = then

    def completes(self, message: m.Message) -> bool:
        """Whether the answer is whole with this message. Its parts come in any order."""
        if not isinstance(message, m.Outcomes):
            return True
        self.came += len(message.outcomes)
        if message.total is not None:
            self.total = message.total
        return self.total is not None and self.came >= self.total

    def settle(self, answer: m.Message | TaskMessengerError) -> None:
        self.answer = answer
        if self.then is not None and not isinstance(answer, TaskMessengerError):
            self.then(answer)
        self.answered.set()


class Line:
    """The session that carries questions and answers, and the next session when one is lost."""

    def __init__(
        self, dial: Dial, patience: float, welcome: m.Welcome, heard: Callable[[m.Outcomes], None]
    ) -> None:
        self.welcome = welcome
        self.failed: TaskMessengerError | None = None
        """Why there will be no session any more."""
        self.news = anyio.Event()
        """Set, and replaced, when outcomes came or the line failed."""
        self.connected: Connected | None = None
        """None while the manager is away."""
        self._dial, self._patience, self._heard = dial, patience, heard
        self._requests: dict[int, _Request] = {}
        self._next = 0
        self._up = anyio.Event()

    async def keep(self, first: Connected, returned: Callable[[], None]) -> None:
        """Serve the session, and the next one, until cancelled or out of patience.

        `returned` is called whenever a session stands.
        """
        connected: Connected | None = first
        brief = 0
        while connected is not None:
            since = anyio.current_time()
            self.connected, self.welcome = connected, connected.welcome
            self._up.set()
            returned()
            refused: Refused | None = None
            try:
                await connected.session.run(self._handle)
            except Ended as error:
                refused = Refused(printable(str(error))) if error.reason == "refused" else None
            except TaskMessengerError as error:
                log.info("the link to the manager is lost: %s", error)
            finally:
                self.connected = None
                self._up = anyio.Event()
                await connected.session.aclose()
            if refused is not None:
                self._give_up(refused)
                return
            self._fail_requests(Lost("the link to the manager was lost before it answered"))
            brief = 0 if anyio.current_time() - since >= STEADY_SECONDS else brief + 1
            connected = await self._dial_again(_pause(brief))

    async def _dial_again(self, pause: float) -> Connected | None:
        """The next session, after so many seconds; None when there will be none."""
        deadline, wait = anyio.current_time() + self._patience, max(pause, RETRY_FIRST)
        await anyio.sleep(min(pause, self._patience))
        while True:
            if anyio.current_time() >= deadline:
                self._give_up(Unreachable(_gone(self._patience)))
                return None
            try:
                return await self._dial()
            except (Refused, Conflict) as error:
                self._give_up(error)
                return None
            except TaskMessengerError:
                await anyio.sleep(min(wait, max(0.0, deadline - anyio.current_time())))
                wait = min(RETRY_CEILING, wait * RETRY_FACTOR)

    def _give_up(self, error: TaskMessengerError) -> None:
        self.failed = error
        self._up.set()
        self._fail_requests(error)
        self.wake()

    def wake(self) -> None:
        """Have those who wait for news look again."""
        self.news.set()
        self.news = anyio.Event()

    def _fail_requests(self, error: TaskMessengerError) -> None:
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.settle(error)

    async def _handle(self, messages: list[m.Message]) -> None:
        for message in messages:
            if isinstance(message, m.Outcomes):
                self._heard(message)
                self.wake()
            number: int = getattr(message, "request", 0)
            request = self._requests.get(number)
            if request is not None and request.completes(message):
                del self._requests[number]
                request.settle(message)

    async def ask(
        self,
        make: Callable[[int], m.Message],
        wanted: type[_M],
        *,
        again: bool = True,
        seconds: float = REQUEST_SECONDS,
        then: Then | None = None,
    ) -> _M:
        """Send a request and wait for its answer; `then` gets it before anything that came after it.

        Raises:
            Unreachable, TimedOut, or what the manager answered.
        """
        with anyio.move_on_after(seconds + self._patience):
            while True:
                await self._up.wait()
                if self.failed is not None:
                    raise self.failed
                connected = self.connected
                if connected is None:
                    await anyio.lowlevel.checkpoint()
                    continue
                self._next += 1
                number, request = self._next, _Request(then)
                self._requests[number] = request
                try:
                    connected.session.send(make(number))
                    await request.answered.wait()
                finally:
                    self._requests.pop(number, None)
                if isinstance(request.answer, Lost) and again and self._patience:
                    continue
                return _expect(request.answer, wanted)
        raise TimedOut(f"the manager did not answer within {seconds:g} s")


def _pause(brief: int) -> float:
    """Seconds before the next try, after so many sessions in a row that ended soon."""
    return min(RETRY_CEILING, RETRY_FIRST * RETRY_FACTOR ** min(brief - 1, 16)) if brief else 0.0


def _expect(answer: m.Message | TaskMessengerError | None, wanted: type[_M]) -> _M:
    if isinstance(answer, wanted):
        return answer
    if isinstance(answer, TaskMessengerError):
        raise answer
    if isinstance(answer, m.Failure):
        raise by_code(answer.code)(answer.message)
    raise PeerError(f"the manager answered `{type(answer).__name__}` instead of `{wanted.__name__}`")


def _gone(patience: float) -> str:
    if not patience:
        return "the link to the manager was lost: is it still running?"
    return f"the manager did not come back within {patience:g} s"
