"""A node on a thread of its own, beside whoever looks at it: a role, or a session with one elsewhere.

What happens to the one who looks does not happen to the node. Everything here may block, but never for long
without a bound; a console calls it from a thread that may.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from time import time
from typing import Final

from anyio.from_thread import BlockingPortal

from . import node
from .attached import Attached, attached
from .config.model import ManagerConfig, WorkerConfig
from .core.errors import Conflict, TaskMessengerError, TimedOut, Unreachable
from .core.groups import the_one
from .feed import Feed
from .handle import NodeHandle, Snapshot
from .handle.guest import Guest
from .net.line import Dial
from .paths import Paths

log = logging.getLogger(__name__)

START_SECONDS: Final = 120.0
"""A manager with millions of open tasks takes a while."""
NOW_SECONDS: Final = 15.0
"""For the end of a node that was told to stop at once."""
Main = Callable[[node.Began], Awaitable[None]]


class Hosted:
    """Runs `main` on a thread. As a context manager: from `start` to `stop`."""

    def __init__(self, main: Main, *, read_only: bool = False, again: bool = False) -> None:
        """`main` tells its handle to what it is given, and returns when the node has ended.

        `again`: whoever looks may have it started anew when it has ended.
        """
        self._main, self._read_only, self._may_again = main, read_only, again
        self._known: Guest | None = None
        """Whoever looks: the same at every start."""
        self._began: Future[Guest] = Future()
        self._inner: NodeHandle | None = None
        self._portal: BlockingPortal | None = None
        self._thread = self._a_thread()
        self._starting = Lock()

    def _a_thread(self) -> Thread:
        return Thread(target=node.run, args=(self._run,), name="node", daemon=True)

    def start(self) -> Guest:
        """Start it; returns when there is something to look at.

        Raises:
            TaskMessengerError: it cannot start; says why.
        """
        self._thread.start()
        try:
            return self._began.result(START_SECONDS)
        except NotInTime as error:
            raise TimedOut(f"the node did not start within {START_SECONDS:g} s: see its log") from error

    def again(self) -> None:
        """Start it anew, once it has ended.

        Raises:
            TaskMessengerError: as `start`. Conflict: it has not ended.
        """
        if not self._starting.acquire(blocking=False):
            raise Conflict("it is being started already")
        try:
            if not self.wait(NOW_SECONDS):
                raise Conflict("it has not ended yet")
            self._inner, self._portal = None, None
            self._began, self._thread = Future(), self._a_thread()
            self.start()
        finally:
            self._starting.release()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Until it has ended, at most so long; says whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self, deadline: float | None = None) -> bool:
        """End it, giving what runs `deadline` seconds (None: as it is set); then end it at once.

        Says whether it has ended; only a node that is stuck has not.
        """
        self._leave(deadline)
        if self.wait((deadline or 0.0) + NOW_SECONDS):
            return True
        self._leave(0.0)
        return self.wait(NOW_SECONDS)

    def leave(self) -> None:
        """Have it end in good order, within the time that is set for that; does not wait."""
        self._leave(None)

    def _leave(self, deadline: float | None) -> None:
        if self._inner is None or self._portal is None:
            return
        inner = self._inner
        with suppress(RuntimeError):  # it has ended meanwhile
            self._portal.start_task_soon(inner.leave if isinstance(inner, Attached) else inner.stop, deadline)

    def __enter__(self) -> Guest:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop(0.0)

    async def _run(self) -> None:
        async with BlockingPortal() as portal:

            def began(handle: NodeHandle) -> None:
                self._inner, self._portal = handle, portal
                if self._known is None:
                    again = self.again if self._may_again else None
                    self._known = Guest(handle, portal, read_only=self._read_only, again=again)
                else:
                    self._known.moves(handle, portal)
                self._began.set_result(self._known)

            why: BaseException | None = None
            try:
                await self._main(began)
            except BaseExceptionGroup as group:
                why = the_one(group)
            except Exception as error:  # the border of a node: nobody else could tell what became of it
                why = error
            finally:
                self._over(why)
                await portal.stop(cancel_remaining=True)

    def _over(self, why: BaseException | None) -> None:
        """Whoever waits, or still looks, is told."""
        unforeseen = why is not None and not isinstance(why, TaskMessengerError)
        if unforeseen:
            log.error("the node has failed", exc_info=why)
        said = f"the node has failed: {why!r}" if unforeseen else str(why or "this role has ended")
        if self._known is not None:
            self._known.ended = said
        if not self._began.done():
            self._began.set_exception(Unreachable(said) if unforeseen or why is None else why)


def manager(
    config: ManagerConfig,
    paths: Paths,
    origins: Mapping[str, str],
    *,
    read_only: bool = False,
    accept_loss: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> Hosted:
    """A manager in this process."""

    async def main(began: node.Began) -> None:
        await node.manager(config, paths, began, origins, accept_loss, ready)

    return Hosted(main, read_only=read_only)


def worker(
    config: WorkerConfig,
    paths: Paths,
    invite: str | None,
    origins: Mapping[str, str],
    *,
    read_only: bool = False,
) -> Hosted:
    """A worker in this process; with an invite it joins first. It can be started again."""
    feed = Feed(Snapshot(time(), "worker"))
    invites = [invite]

    async def main(began: node.Began) -> None:
        await node.worker(config, paths, invites.pop() if invites else None, began, origins, feed)

    return Hosted(main, read_only=read_only, again=True)


def remote(dial: Dial, *, read_only: bool = False) -> Hosted:
    """A session with a manager elsewhere."""
    return Hosted(partial(_attach, dial), read_only=read_only)


async def _attach(dial: Dial, began: node.Began) -> None:
    async with attached(dial) as handle:
        began(handle)
        await handle.ended.wait()
