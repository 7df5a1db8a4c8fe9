"""What a kind is, and how the code behind its name is found: built in, in a file, or `python:pkg.mod.func`.

Used by the worker and again by its child processes, so it loads nothing that they do not need. Which kinds a
worker offers is decided in `registry`, not here.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgpack

from ..core.errors import ConfigError
from . import beside, failures, trusted
from .finality import Finals, finals_of

ASYNC: Final = "async"
THREAD: Final = "thread"
PROCESS: Final = "process"
RUNTIMES: Final = (ASYNC, THREAD, PROCESS)

KIND_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
BUILT_IN: Final = "builtin"
FILE_PREFIX: Final = "file:"
PYTHON_PREFIX: Final = "python:"
DESCRIPTION_LENGTH: Final = 200

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of task: a name and the code that runs it."""

    name: str
    runtime: str
    """async, thread or process."""
    handler: Handler
    is_async: bool
    takes_context: bool
    """Whether the handler wants `ctx` as its second argument."""
    source: str
    """Where the code is: `builtin`, `file:/path.py` or `python:pkg.mod.func`; enough to load it again."""
    description: str = ""
    timeout: float | None = None
    """Seconds that one attempt may run when the task does not say; None for no limit."""
    final: Finals = ()
    """Exceptions, or their names, after which a task is not tried again."""
    example: Any = None
    """A payload that works."""
    files: tuple[str, ...] = ()
    """Its file, and what is part of it beside that."""
    digest: str = ""
    """Of their content: its version."""
    fresh: bool = False
    """Whether each task wants a process of its own, used for nothing before and nothing after it."""


class Changed(ConfigError):
    """The files of a kind are not those of the version that was asked for."""


def load_version(name: str, source: str, files: Sequence[str], digest: str) -> Kind:
    """The kind in exactly this version.

    Raises:
        ConfigError: it cannot be loaded. Changed: there is another version by now.
    """
    kind = load_kind(name, source) if beside.digest_of(files) == digest else None
    if kind is None or beside.digest_of(files) != digest:
        raise Changed(f"{source.removeprefix(FILE_PREFIX)}: it has been changed")
    return kind


def load_kind(name: str, source: str, runtime: str | None = None) -> Kind:
    """The kind behind `source`; `runtime` overrides what the code asks for.

    Raises:
        ConfigError: it cannot be loaded or is no kind; one line that names the source and the reason.
    """
    if not KIND_NAME.fullmatch(name):
        raise ConfigError(
            f"`{name[:80]}` cannot be the name of a kind: use letters, digits and _ . : -, at most 64"
        )
    module, handler = _find(name, source)
    return _checked(name, source, module, handler, runtime)


def _find(name: str, source: str) -> tuple[ModuleType | None, Any]:
    """The module whose attributes describe the kind, if any, and the handler."""
    if source == BUILT_IN:
        module = importlib.import_module(f"..kinds.{name}", __package__)
        return module, getattr(module, "handle", None)
    if source.startswith(FILE_PREFIX):
        module = _run_file(name, Path(source.removeprefix(FILE_PREFIX)))
        return module, getattr(module, "handle", None)
    if source.startswith(PYTHON_PREFIX):
        return _find_python(source)
    raise ConfigError(f"kind `{name}` has an unknown source `{source}`")


def _run_file(name: str, path: Path) -> ModuleType:
    full_name = beside.PREFIX + name
    spec = beside.spec_of(full_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module  # dataclasses and annotations look their module up by name
    try:
        with beside.importing(full_name, path):
            spec.loader.exec_module(module)
    except BaseException as error:  # border: the operator's code, which may even call sys.exit
        sys.modules.pop(full_name, None)
        raise ConfigError(f"{path}: cannot be loaded: {_one_line(error)}") from error
    return module


def _find_python(source: str) -> tuple[ModuleType | None, Any]:
    """`pkg.mod` with a `handle`, or `pkg.mod.func`."""
    dotted = source.removeprefix(PYTHON_PREFIX)
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise ConfigError(f"`{source}`: write it as python:package.module or python:package.module.function")
    trusted.check_module(dotted)
    if _is_module(dotted):
        module = _import(dotted, source)
        return module, getattr(module, "handle", None)
    parent, _, function = dotted.rpartition(".")
    if not parent or not _is_module(parent):
        raise ConfigError(f"`{source}`: no module called `{parent or dotted}` can be found on this machine")
    module = _import(parent, source)
    if not hasattr(module, function):
        raise ConfigError(f"`{source}`: module `{parent}` has no `{function}`")
    return None, getattr(module, function)


def _is_module(dotted: str) -> bool:
    try:
        return importlib.util.find_spec(dotted) is not None
    except ModuleNotFoundError:
        return False  # a parent is missing, or is a module and not a package
    except BaseException as error:  # border: looking for it runs the packages it is in
        raise ConfigError(f"`python:{dotted}`: cannot be loaded: {_one_line(error)}") from error


def _import(dotted: str, source: str) -> ModuleType:
    try:
        return importlib.import_module(dotted)
    except BaseException as error:  # border: the operator's code
        raise ConfigError(f"`{source}`: cannot be loaded: {_one_line(error)}") from error


def _checked(name: str, source: str, module: ModuleType | None, handler: Any, runtime: str | None) -> Kind:
    place = source.removeprefix(FILE_PREFIX) if source != BUILT_IN else f"kind `{name}`"
    if not callable(handler):
        raise ConfigError(f"{place}: has no function `handle(payload)` or `handle(payload, ctx)`")
    is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004  an object whose __call__ is async
    )
    asked = runtime or getattr(module, "RUNTIME", None) or _default(source, is_async=is_async)
    wanted = runtime_of(name, place, asked, is_async=is_async)
    return Kind(
        name=name,
        runtime=wanted,
        handler=handler,
        is_async=is_async,
        takes_context=_takes_context(handler, place),
        source=source,
        description=_description(module, handler, place),
        timeout=_timeout(module, place),
        final=finals_of(module, place),
        example=getattr(module, "EXAMPLE", None),
        fresh=bool(getattr(module, "FRESH", False)),
    )


def _default(source: str, *, is_async: bool) -> str:
    """Where code runs that does not say: nobody here knows what a stranger's does."""
    if is_async:
        return ASYNC
    return THREAD if source == BUILT_IN else PROCESS


def runtime_of(name: str, place: str, wanted: Any, *, is_async: bool) -> str:
    """Where a kind runs that wants to run there.

    Raises:
        ConfigError: it cannot run there.
    """
    if wanted not in RUNTIMES:
        raise ConfigError(f"{place}: runtime {wanted!r:.40} is none of {', '.join(RUNTIMES)}")
    if wanted == ASYNC and not is_async:
        raise ConfigError(
            f"{place}: `{name}` cannot run as async, because its handler is an ordinary function that would "
            "block the event loop; use thread or process, or write `async def handle`"
        )
    return str(wanted)


def facts_of(kind: Kind) -> dict[str, Any]:
    """What a worker that does not load it wants to know; plain values."""
    try:
        example = msgpack.packb(kind.example) if kind.example is not None else b""
    except (TypeError, ValueError, OverflowError, RecursionError):
        example = b""  # it helps to fill in a form, and nothing depends on it
    path = Path(kind.source.removeprefix(FILE_PREFIX))
    beside_it = beside.loaded_from(path.parent) if kind.source.startswith(FILE_PREFIX) else []
    return {
        "runtime": kind.runtime,
        "is_async": kind.is_async,
        "takes_context": kind.takes_context,
        "description": kind.description,
        "timeout": kind.timeout,
        "example": example,
        "fresh": kind.fresh,
        "files": beside_it,
    }


def _takes_context(handler: Handler, place: str) -> bool:
    """True for (payload, ctx); False for (payload), also when what follows has defaults."""
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (ValueError, TypeError):
        return False  # some functions written in C do not say; they take one argument or fail when called
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    accepts_one = positional or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if named or len(required) > len(("payload", "ctx")) or not accepts_one:
        raise ConfigError(f"{place}: its handler must accept (payload) or (payload, ctx)")
    second = positional[1] if len(positional) > 1 else None
    return second is not None and (second in required or second.name == "ctx")


def _description(module: ModuleType | None, handler: Handler, place: str) -> str:
    given = getattr(module, "DESCRIPTION", None)
    if given is not None and not isinstance(given, str):
        raise ConfigError(f"{place}: DESCRIPTION must be text, not {type(given).__name__}")
    text = given or getattr(module, "__doc__", None) or getattr(handler, "__doc__", None) or ""
    lines = text.strip().splitlines()
    return failures.clean(lines[0].strip(), DESCRIPTION_LENGTH) if lines else ""


def _timeout(module: ModuleType | None, place: str) -> float | None:
    given = getattr(module, "TIMEOUT", None)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < float("inf"):
        raise ConfigError(f"{place}: TIMEOUT must be a number of seconds above 0, not {given!r:.40}")
    return float(given)


def _one_line(error: BaseException) -> str:
    message = " ".join(failures.describe(error)[0].split())
    where = ""
    if isinstance(error, SyntaxError) and error.lineno:
        where = f" (line {error.lineno})" if f"line {error.lineno}" not in message else ""
    return f"{message[:300]}{where}"
