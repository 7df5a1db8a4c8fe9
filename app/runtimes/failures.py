"""An exception as text that can travel: bounded, valid Unicode, and only the part that is task code.

Knows no wire types, so that a child process can use it without loading them.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Final

MESSAGE_BYTES: Final = 2 * 1024
STACK_BYTES: Final = 16 * 1024
STACK_FRAMES: Final = 64

_OURS: Final = ("invoke.py", "async_.py")
"""Files whose frames lie between this program and the handler."""


def describe(error: BaseException) -> tuple[str, str]:
    """`ValueError: what it says`, and the stack from the handler's first frame on.

    Never raises, whatever the exception's own methods do.
    """
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException as broken:  # border: the exception is task code too
        text = f"(its text cannot be had: {type(broken).__name__})"
    message = clean(f"{name}: {text}" if text else name, MESSAGE_BYTES)
    return message, clean_end(_stack(error), STACK_BYTES)


def _stack(error: BaseException) -> str:
    try:
        shown = traceback.TracebackException(
            type(error), error, _from_handler(error.__traceback__), limit=-STACK_FRAMES
        )
        return "".join(shown.format())
    except BaseException as broken:  # border: formatting runs task code
        return f"(the stack cannot be shown: {type(broken).__name__})"


def _from_handler(trace: TracebackType | None) -> TracebackType | None:
    """The part of `trace` after the last frame of ours."""
    start, here = trace, trace
    while here is not None:
        file = here.tb_frame.f_code.co_filename
        if file.endswith(_OURS) and here.tb_frame.f_globals.get("__package__") == __package__:
            start = here.tb_next
        here = here.tb_next
    return start


def clean(text: str, limit: int) -> str:
    """The first `limit` bytes of `text`, as valid Unicode."""
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def clean_end(text: str, limit: int) -> str:
    """The last `limit` bytes of `text`, as valid Unicode."""
    return text[-limit:].encode("utf-8", "replace")[-limit:].decode("utf-8", "ignore")
