"""The standard streams of a process that runs task code: what a task prints is its output, and does no harm.

`put_in_place` sets `sys.stdin`, `sys.stdout` and `sys.stderr` to objects that ask who writes. Within a task
(`belongs_to`) text goes where the task's output goes, and there is nothing to read. Anybody else gets the
streams that were there before, but for one thing: to print never fails, whatever became of its target.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import IO, Any, Final, TextIO

from . import outlet

LARGEST: Final = 16 * 1024 * 1024
"""Characters, or bytes, of one call that are looked at; output is cut long before."""
ENCODING: Final = "utf-8"
ERRORS: Final = "backslashreplace"

Take = Callable[[bytes], None]
"""Where the output of a task goes; callable from any thread, and never fails."""

belongs_to: Final[ContextVar[Take | None]] = ContextVar("belongs_to", default=None)
"""Where what is printed here goes; None outside of tasks. New threads are outside."""
_forked: Final[list[bool]] = []
"""Filled in the fork of a task: what its output goes to is the other process's."""


def _taker() -> Take | None:
    return None if _forked else belongs_to.get()


class _Stream(io.TextIOBase):
    """What is there in any case; the rest is that of the stream underneath."""

    def __init__(self, number: int, name: str, underneath: TextIO | None) -> None:
        super().__init__()
        self._number, self._name = number, name
        self.underneath = underneath

    @property
    def name(self) -> str:
        return self._name

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return ENCODING if _taker() else getattr(self.underneath, "encoding", None) or ENCODING

    @property
    def errors(self) -> str:  # type: ignore[override]
        return ERRORS if _taker() else getattr(self.underneath, "errors", None) or ERRORS

    @property
    def closed(self) -> bool:
        return False

    def close(self) -> None:
        """Nobody closes the streams of the whole process."""

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        if _taker() is not None or self.underneath is None:
            return False
        with suppress(OSError, ValueError):
            return self.underneath.isatty()
        return False

    def reconfigure(self, **changes: Any) -> None:
        """For the stream underneath; what a task asks for is how its own stream is anyway."""
        if _taker() is None and isinstance(self.underneath, io.TextIOWrapper):
            self.underneath.reconfigure(**changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["underneath"], name)


class Output(_Stream):
    """Standard output or standard error."""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        take = _taker()
        if take is not None:
            take(text[:LARGEST].encode(ENCODING, ERRORS))
        elif self.underneath is not None:
            with suppress(OSError, ValueError):  # its reader has gone, the disk is full, it was closed
                self.underneath.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        for one in lines:
            self.write(one)

    def flush(self) -> None:
        if _taker() is None and self.underneath is not None:
            with suppress(OSError, ValueError):
                self.underneath.flush()

    @property
    def buffer(self) -> io.RawIOBase:
        """For bytes."""
        return _Bytes(self)


class _Bytes(io.RawIOBase):
    """The same stream, for bytes."""

    def __init__(self, stream: Output) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        take = _taker()
        if take is not None:
            take(bytes(view[:LARGEST]))
        elif self._stream.underneath is not None:
            with suppress(OSError, ValueError, AttributeError):
                self._stream.underneath.buffer.write(view)
        return len(view)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """As for text."""


class Input(_Stream):
    """Standard input: at its end, for a task."""

    def _source(self) -> IO[str]:
        return io.StringIO() if _taker() is not None or self.underneath is None else self.underneath

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> str:
        return self._source().read(-1 if size is None else size)

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return self._source().readline(size)

    def readlines(self, hint: int = -1, /) -> list[str]:  # type: ignore[override]
        return self._source().readlines(hint)

    def __next__(self) -> str:  # type: ignore[override]
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    @property
    def buffer(self) -> Any:
        """For bytes."""
        source = self._source()
        return io.BytesIO() if isinstance(source, io.StringIO) else getattr(source, "buffer", io.BytesIO())


_ours: Final[dict[str, _Stream]] = {}


def put_in_place() -> None:
    """From here on. Call it where no task runs; what is there is what is underneath."""
    for name, number, kind in (("stdin", 0, Input), ("stdout", 1, Output), ("stderr", 2, Output)):
        now = getattr(sys, name)
        if isinstance(now, _Stream):
            continue
        # What a console draws on in the meantime is not what stays.
        stays = now if isinstance(now, io.TextIOWrapper) else getattr(sys, f"__{name}__")
        ours = _ours.setdefault(name, kind(number, f"<{name}>", stays))
        ours.underneath = stays
        setattr(sys, name, ours)


def nothing_to_read() -> None:
    """For a process that runs task code: programs that it starts inherit standard input."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    if nowhere:
        os.close(nowhere)


def stay() -> None:
    """Before task code runs: others replace streams as well."""
    if _ours and (sys.stdout is not _ours["stdout"] or sys.stderr is not _ours["stderr"]):
        for name, ours in _ours.items():
            setattr(sys, name, ours)


def mend() -> None:
    """After task code has run: the streams are ours again, and their three descriptors are there."""
    stay()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            outlet.fill(number)  # before something that must not be printed to gets that number


def take_away() -> None:
    """What was there before is there again."""
    for name, ours in _ours.items():
        if getattr(sys, name, None) is ours:
            setattr(sys, name, ours.underneath)


def underneath(stream: TextIO) -> TextIO:
    """The stream itself, past what is put in place."""
    return stream.underneath or stream if isinstance(stream, _Stream) else stream


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _forked.append(True))
