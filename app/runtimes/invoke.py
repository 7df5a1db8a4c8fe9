"""Calls a handler from bytes to bytes, whatever it does. For threads and child processes.

Nothing a handler raises gets past here, `SystemExit` and `KeyboardInterrupt` included: they are its failure
and not the end of the worker.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .context import Context, Stop
from .failures import describe
from .finality import code_for
from .loading import Kind
from .payload import BadPayload, pack, unpack


class Failure(NamedTuple):
    """Why there is no result."""

    code: str
    message: str
    stack: str = ""


def attempt(kind: Kind, payload: bytes, context: Context | None, stop: Stop) -> bytes | Failure:
    """The packed result, or why there is none."""
    try:
        value = unpack(payload)
    except BadPayload as error:
        return bad_payload(kind, error)
    try:
        if kind.is_async:
            result = _run_async(kind, value, context, stop)
        elif kind.takes_context:
            result = kind.handler(value, context)
        else:
            result = kind.handler(value)
        return pack(result)
    except BadPayload as error:
        return bad_result(kind, error)
    except BaseException as error:  # border: task code may raise anything
        return failed(kind, error)


def failed(kind: Kind, error: BaseException) -> Failure:
    """What the handler raised."""
    return Failure(code_for(error, kind.final), *describe(error))


def bad_payload(kind: Kind, error: BadPayload) -> Failure:
    """What came in is no value."""
    return Failure("bad_payload", f"payload of `{kind.name}`: {error}")


def bad_result(kind: Kind, error: BadPayload) -> Failure:
    """What the handler returned cannot be sent."""
    return Failure("bad_result", f"kind `{kind.name}` returned {error}")


def _run_async(kind: Kind, value: Any, context: Context | None, stop: Stop) -> Any:
    """In an event loop of its own, which ends when it is told to stop."""
    import asyncio  # a child process that runs no async kind is ready 40 ms earlier without it

    async def run() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        stop.tell(lambda: loop.call_soon_threadsafe(task.cancel))
        try:
            return await (kind.handler(value, context) if kind.takes_context else kind.handler(value))
        finally:
            stop.tell(None)

    with asyncio.Runner() as runner:
        return runner.run(run())
