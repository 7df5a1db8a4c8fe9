"""A payload as text for people, and out to $EDITOR and back. Reads and writes a private temporary file.

JSON cannot say all that msgpack can: what it cannot is shown as an object with a telling key, as the command
line does, and read back from it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual.app import SuspendNotSupported

from ..core.errors import UsageError
from ..runtimes.payload import BadPayload, pack, unpack
from ..runtimes.plain import jsonable, parse

if TYPE_CHECKING:
    from .app import Console

MAX_EDITED: Final = 16 * 1024 * 1024
"""Bytes of an edited payload as text."""


def as_text(packed: bytes) -> str:
    """A msgpack value as JSON, indented; what is no msgpack as its bytes."""
    try:
        value: Any = unpack(packed)
    except BadPayload:
        value = packed
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False)


def from_text(text: str) -> bytes:
    """The msgpack value of what was edited.

    Raises:
        UsageError: says where it is wrong.
    """
    try:
        return pack(parse(text))
    except json.JSONDecodeError as error:
        raise UsageError(f"that is no JSON: {error.msg} at line {error.lineno}") from error
    except (BadPayload, ValueError, RecursionError) as error:
        raise UsageError(f"the payload cannot be sent: {error}") from error


async def edited(console: Console, packed: bytes, name: str) -> bytes | None:
    """Let the operator edit a payload; None when the editor failed or left it as it was.

    Raises:
        UsageError: there is no editor, or what came back is no payload.
    """
    before = as_text(packed)
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with _away(console):
        after = await asyncio.to_thread(_session, command, before, name)
    console.refresh()
    if after is None or after.strip() == before.strip():
        return None
    return from_text(after)


@contextmanager
def _away(console: Console) -> Iterator[None]:
    """The terminal belongs to the editor; where there is none, as in a test, nothing need be done."""
    try:
        with console.suspend():
            yield
    except SuspendNotSupported:
        yield


def _session(command: list[str], text: str, name: str) -> str | None:
    """Run the editor on a file that only this user can read; what it left, or None when it failed."""
    with tempfile.TemporaryDirectory(prefix="taskmessenger-") as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(text + "\n", encoding="utf-8")
        try:
            code = subprocess.run(
                [*command, str(path)],
                check=False,
                stdin=sys.__stdin__,  # the terminal, wherever 0, 1 and 2 lead
                stdout=sys.__stdout__,
                stderr=sys.__stderr__,
            ).returncode
        except OSError as error:
            raise UsageError(f"{command[0]}: cannot be started ({error.strerror}); set EDITOR") from error
        if code:
            return None
        with path.open("rb") as file:
            after = file.read(MAX_EDITED + 1)
    if len(after) > MAX_EDITED:
        raise UsageError("the edited payload is too large")
    return after.decode("utf-8", "replace")
