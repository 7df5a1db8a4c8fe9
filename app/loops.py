"""The event loop of roles, and of commands that ask a manager: uvloop where there is one, else asyncio's.

Whatever still runs when the main coroutine is over is ended, and nobody waits long for it: task code that
does not stop must not keep a loop, nor a process, from ending.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

END_SECONDS: Final = 2.0
"""How long what was left in a loop may take to end."""
_T = TypeVar("_T")
_left: Final[list[asyncio.Runner]] = []
"""Loops that could not be closed: kept, for nothing in them may be destroyed while the process goes on."""
_foreign: Final[list[str]] = []
"""Whose code has run in this process besides our own."""
_last: Final[list[Callable[[], object]]] = []


def run(main: Callable[..., Coroutine[Any, Any, _T]], *arguments: object) -> _T:
    """What `main(*arguments)` returns or raises. Importing uvloop takes some milliseconds, once."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    factory: Callable[[], asyncio.AbstractEventLoop] | None
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    runner, helpers = asyncio.Runner(loop_factory=factory), ThreadPoolExecutor(thread_name_prefix="loop")
    runner.get_loop().set_default_executor(helpers)
    try:
        return runner.run(main(*arguments))
    finally:
        ended = runner.run(_end_the_rest())
        if _shut(helpers) and ended:
            runner.close()
        else:
            _left.append(runner)


async def _end_the_rest() -> bool:
    """Cancel what is left in this loop; says whether all of it has ended."""
    import asyncio

    me = asyncio.current_task()
    rest = [task for task in asyncio.all_tasks() if task is not me]
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=END_SECONDS)
    return all(task.done() for task in rest)


def _shut(helpers: ThreadPoolExecutor) -> bool:
    """Let go of the threads for what blocks; says whether all of them have ended."""
    shutting = Thread(target=helpers.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    shutting.start()
    shutting.join(END_SECONDS)
    return not shutting.is_alive()


def runs_foreign_code(whose: str) -> None:
    """From here on this process runs code that may leave anything behind: `leave` ends it all the same."""
    _foreign.append(whose)


def at_the_end(last: Callable[[], object]) -> None:
    """Call this at the end of the process, however it ends in good order."""
    atexit.register(last)
    _last.append(last)


def leave(code: int) -> None:
    """End this process, threads that do not stop and all; returns where none but our own code has run.

    The interpreter would wait for such threads, for executors, and for what was registered to run at exit.
    """
    import logging

    if not _foreign:
        return
    for last in _last:
        with suppress(OSError):
            last()
    for handler in logging.getLogger().handlers:
        with suppress(OSError, ValueError):
            handler.flush()
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError, AttributeError):  # closed, gone, or never there
            stream.flush()  # type: ignore[union-attr]
    os._exit(code)
