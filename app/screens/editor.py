"""A text out to $EDITOR and back. What was written is in a file of this user until it has been put to use.

It is private, and lies where the console keeps what it remembers: an editor that fails, a process that is
ended meanwhile and an answer No leave it there, and whoever asks for the same text again goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..core.errors import UsageError
from ..core.text import printable
from ..paths import private_directory

if TYPE_CHECKING:
    from .app import Console

MAX_EDITED: Final = 16 * 1024 * 1024
"""Bytes of an edited text."""
MAX_DRAFTS: Final = 20
"""Texts that were not put to use; the oldest goes for another one."""
MAX_NAME: Final = 100
LOOK_SECONDS: Final = 0.05
"""Between two looks whether the editor has ended."""
LEAVE_SECONDS: Final = 2.0
"""That an editor has to keep what it holds, when this process ends."""
_LOG: Final = logging.getLogger(__name__)
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Draft:
    """What the operator has written."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def used(self) -> None:
        """It is not needed any more."""
        _forget(self.path)

    @property
    def kept(self) -> str:
        """Where it is, as the end of a sentence."""
        return f"what you wrote is kept in {printable(str(self.path))}"


async def edit(console: Console, text: str, name: str) -> Draft | None:
    """Let the operator edit a text; None when it was left as it was, or emptied.

    A draft of the same name is gone on with.

    Raises:
        UsageError: there is no editor, or it has failed; says where the text is.
    """
    command = _command()
    path = _file(console.drafts, name)
    goes_on = path.exists()
    if not goes_on:
        _write(path, text)
    with console.terminal_lent(), _never_lost(path, text):
        if goes_on:
            print(
                f"going on with {printable(str(path))}: empty it to begin anew",
                file=sys.__stderr__,
                flush=True,
            )
        code = await _session(command, path, text)
    return _read(path, text, command[0], code)


def _command() -> list[str]:
    words = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        found = shlex.split(words)
    except ValueError as error:
        raise UsageError(f"EDITOR is `{printable(words)}`: {error}") from error
    if not found:
        raise UsageError("EDITOR is blank: set it to the name of an editor")
    return found


async def _session(command: list[str], path: Path, text: str) -> int:
    """Run the editor to its end; its exit code. When this task is cancelled it may keep what it holds."""
    try:
        editor = subprocess.Popen(  # noqa: ASYNC220  it begins at once, and is not waited for here
            [*command, str(path)],
            stdin=sys.__stdin__,  # the terminal, wherever 0, 1 and 2 lead
            stdout=sys.__stdout__,
            stderr=sys.__stderr__,
        )
    except OSError as error:
        _drop_if_same(path, text)
        raise UsageError(
            f"{printable(command[0])}: cannot be started ({error.strerror}); set EDITOR to an editor"
        ) from error
    try:
        while editor.poll() is None:
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        if editor.poll() is None:
            _hang_up(editor)
    return editor.returncode


def _hang_up(editor: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        editor.send_signal(signal.SIGHUP)
    with suppress(subprocess.TimeoutExpired):
        editor.wait(LEAVE_SECONDS)


@contextmanager
def _never_lost(path: Path, text: str) -> Iterator[None]:
    """Say where the text is when this process is ended while it is edited."""
    try:
        yield
    except asyncio.CancelledError:
        line = f"the console has ended while a text was edited: it is kept in {printable(str(path))}"
        if not _drop_if_same(path, text):
            _LOG.warning("%s", line)
            with suppress(OSError, ValueError):
                print(line, file=sys.__stderr__, flush=True)
        raise


def _read(path: Path, before: str, editor: str, code: int) -> Draft | None:
    """What the editor has left.

    Raises:
        UsageError: it has failed, or what it left is no text that can be used.
    """
    kept = f"what was saved is kept in {printable(str(path))}"
    if code:
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with {code}"
        rest = "nothing was done" if _drop_if_same(path, before) else f"nothing was done; {kept}"
        raise UsageError(f"{printable(editor)} {how}: {rest}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_EDITED + 1)
        if len(data) > MAX_EDITED:
            raise UsageError(f"the edited text is larger than {MAX_EDITED >> 20} MiB; {kept}")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{printable(str(path))}: cannot be read ({error.strerror}): nothing was done"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the edited text is no UTF-8; {kept}") from error
    if text.strip() in {"", before.strip()}:
        _forget(path)
        return None
    return Draft(path, text)


def _drop_if_same(path: Path, text: str) -> bool:
    """Forget a file in which nothing was written; whether that was so."""
    try:
        same = path.stat().st_size <= MAX_EDITED and path.read_bytes().strip() == text.strip().encode()
    except OSError:
        return True
    if same:
        _forget(path)
    return same


def _forget(path: Path) -> None:
    """Nothing is left of it, nor of its folder when that is empty: it may be in the temporary directory."""
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def _file(folder: Path, name: str) -> Path:
    """Where the text of this name is edited."""
    return private_directory(folder) / f"{_ODD.sub('-', name)[:MAX_NAME]}.json"


def _write(path: Path, text: str) -> None:
    try:
        kept = sorted(path.parent.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in kept[: max(len(kept) - MAX_DRAFTS + 1, 0)]:
            old.unlink(missing_ok=True)
        private_directory(path.parent)  # whoever was the last to edit there has removed it
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{printable(str(path))}: cannot be written ({error.strerror})") from error


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
