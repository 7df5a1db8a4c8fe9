"""Where log lines go and what they look like: text for people, JSON for machines, a bounded file for later.

Everybody else only calls `logging.getLogger(__name__)`. Whatever a line says, it stays one line: control
characters are escaped, so no peer can write to the terminal of whoever reads the log, and invites are blacked
out. A log that cannot be written never stops the work.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import math
import os
import sys
import time
from collections import deque
from contextlib import nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from .config.model import MIB, Logging
from .core.errors import ConfigError
from .core.text import printable, redact
from .paths import Paths, Role, private_directory
from .streams import underneath

if TYPE_CHECKING:
    from logging import LogRecord

log = logging.getLogger(__name__)

MAX_MESSAGE: Final = 8192
"""Characters of one message; what goes beyond is cut."""
MAX_STACK: Final = 65_536
"""Characters of one traceback."""
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOISY: Final = ("asyncio", "concurrent.futures")
"""Libraries whose details say nothing about the fleet."""


class TextFormatter(logging.Formatter):
    """One line for a person: local time, level, where, what, and the facts that came with it."""

    def format(self, record: LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        facts = "".join(f" {key}={printable(redact(str(value)))}" for key, value in _facts(record).items())
        where = record.name.removeprefix("taskmessenger.")
        start = f"{moment}.{int(record.msecs):03d} {record.levelname.lower():7} {where}"
        line = f"{start}: {_message(record)}{facts}"
        if not (stack := _stack(record)):
            return line
        # Indented, so that nothing an error quotes can pass for a line of the log.
        return "\n    ".join([line, *printable(stack, MAX_STACK, keep="\n").split("\n")])


class JsonFormatter(logging.Formatter):
    """One JSON object on one line: time (UTC), level, logger, message, `stack` of an error, and the facts."""

    def format(self, record: LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for key, value in _facts(record).items():
            number = isinstance(value, int | None) or (isinstance(value, float) and math.isfinite(value))
            line.setdefault(key, value if number else printable(redact(str(value)), MAX_MESSAGE))
        if stack := _stack(record):
            line["stack"] = printable(stack, MAX_STACK, keep="\n")
        return json.dumps(line)


_PACKAGE: Final = __name__.partition(".")[0]
_ours: Final[list[logging.Handler]] = []
"""Get the lines of this package whatever becomes of the root logger's handlers."""


class _Quiet(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be written is lost, and nothing else is."""

    def close(self) -> None:
        """Not by `logging.shutdown` and the like."""
        if self not in _ours:
            super().close()

    def handleError(self, record: LogRecord) -> None:  # noqa: N802  the name is logging's
        """A full disk or a closed terminal must not stop, or flood, whoever wanted to say something."""


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A log file that only its owner may read, from its first byte on."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def close(self) -> None:
        if self not in _ours:
            super().close()

    def reopen(self) -> None:
        """Go on in the file that has the name at this moment; in the old one if that cannot be."""
        with self.lock or nullcontext():
            try:
                anew = self._open()
            except OSError as error:
                log.warning("%s: the log cannot be opened anew (%s)", self.baseFilename, error.strerror)
                return
            before, self.stream = self.stream, anew
            if before is not None:
                before.close()

    def handleError(self, record: LogRecord) -> None:  # noqa: N802  the name is logging's
        """See `_Quiet`; standard error still gets the line."""


class _Logger(logging.Logger):
    """A logger of this package. Task code shares `logging`: what it does there silences none of these.

    `dictConfig` disables loggers that are there, `disable` silences all, `basicConfig` takes handlers away.
    """

    def __new__(cls, name: str, *more: Any) -> logging.Logger:  # type: ignore[misc]
        """One of these for a module of ours, and an ordinary one for anybody else's."""
        return super().__new__(cls) if _is_ours(name) else logging.Logger(name, *more)

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """It is not."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name is logging's
        return level >= self.getEffectiveLevel()

    def callHandlers(self, record: LogRecord) -> None:  # noqa: N802
        for handler in _ours:
            if record.levelno >= handler.level:
                handler.handle(record)
        at: logging.Logger | None = self
        while at is not None:
            for handler in at.handlers:
                if handler not in _ours and record.levelno >= handler.level:
                    handler.handle(record)
            at = at.parent if at.propagate else None


class Tail(logging.Handler):
    """Keeps the newest lines in memory, for whoever looks; may be written to from any thread."""

    def __init__(self, lines: int = 1_000) -> None:
        super().__init__()
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=lines)

    def emit(self, record: LogRecord) -> None:
        where = record.name.removeprefix("taskmessenger.")
        self._lines.append((record.created, record.levelname.lower(), where, _message(record)))

    def take(self) -> list[tuple[float, str, str, str]]:
        """Moment (wall clock), level, logger and text of the lines that came since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]


def follow(handler: logging.Handler) -> None:
    """Give it every line from here on, also those of libraries and of task code."""
    _own_loggers()
    _ours.append(handler)
    logging.getLogger().addHandler(handler)


def unfollow(handler: logging.Handler) -> None:
    """The end of `follow`."""
    if handler in _ours:
        _ours.remove(handler)
    logging.getLogger().removeHandler(handler)


def _is_ours(name: str) -> bool:
    return name == _PACKAGE or name.startswith(f"{_PACKAGE}.")


def _own_loggers() -> None:
    """The loggers of this package, those that are there and those to come."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if type(logger) is logging.Logger and _is_ours(name):
            logger.__class__ = _Logger
    logging.setLoggerClass(_Logger)


def setup(role: Role, config: Logging, paths: Paths, stream: TextIO | None = None) -> Path | None:
    """Log as `config` says, to `stream` (default: standard error) and a file; returns the file.

    May be called again, and then replaces what it set up before.

    Raises:
        ConfigError: the file cannot be written.
    """
    stream = underneath(sys.stderr) if stream is None else stream
    as_text = config.format == "text" or (config.format == "auto" and stream.isatty())
    console = _Quiet(stream)
    console.setFormatter(TextFormatter() if as_text else JsonFormatter())
    handlers: list[logging.Handler] = [console]
    path = paths.log_file(role) if config.file else None
    if path is not None:
        handlers.append(_file_handler(path, config))
    close()
    logging.getLogger().setLevel(config.level.upper())
    logging.getLogger(_PACKAGE).setLevel(config.level.upper())
    for handler in handlers:
        follow(handler)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    return path


def reopen() -> None:
    """Open the file anew: somebody has moved it away."""
    for handler in _ours:
        if isinstance(handler, _PrivateFile):
            handler.reopen()


def close() -> None:
    """Undo `setup`: let go of the file and of standard error."""
    for handler in [h for h in _ours if isinstance(h, _Quiet | _PrivateFile)]:
        unfollow(handler)
        handler.close()
    logging.getLogger(_PACKAGE).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


def _file_handler(path: Path, config: Logging) -> logging.Handler:
    private_directory(path.parent)
    try:
        handler = _PrivateFile(
            path, maxBytes=config.max_mb * MIB, backupCount=config.keep - 1, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(
            f"{path}: the log cannot be written ({error.strerror}); "
            f"make it writable or set logging.file to false"
        ) from error
    handler.setFormatter(JsonFormatter())
    return handler


def _message(record: LogRecord) -> str:
    try:
        text = record.getMessage()
    except (TypeError, ValueError) as error:
        # Placeholders and arguments do not fit: say what there is rather than nothing.
        text = f"{record.msg} {record.args} ({error})"
    return printable(redact(text), MAX_MESSAGE)


def _facts(record: LogRecord) -> dict[str, Any]:
    """What was passed as `extra`: task_id, attempt, worker_id and the like."""
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def _stack(record: LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return redact(logging.Formatter().formatException(record.exc_info))
    return redact(record.exc_text or record.stack_info or "")
