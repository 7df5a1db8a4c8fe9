"""Where kinds lie: which names a worker's settings let in, which files are kinds, which only help them.

Reads files and runs none of them.
"""

from __future__ import annotations

import ast
import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..core.errors import ConfigError
from ..kinds import NAMES
from ..paths import check_own, check_unshared
from .loading import BUILT_IN, FILE_PREFIX, KIND_NAME, PYTHON_PREFIX

MAX_FILES: Final = 1_000
"""Files beside a kind whose change is a change of the kind."""
_WILDCARDS: Final = frozenset("*?[")


def sources_of(allow: Sequence[str], paths: Sequence[Path]) -> tuple[dict[str, str], dict[str, str]]:
    """Name and source of every kind that `allow` lets in; and of files that can be none, why."""
    explicit = [entry for entry in allow if entry.startswith(PYTHON_PREFIX)]
    patterns = [entry for entry in allow if not entry.startswith(PYTHON_PREFIX)]
    there: dict[str, str] = dict.fromkeys(NAMES, BUILT_IN)
    broken: dict[str, str] = {}
    for file in _dropped_in(paths):
        why = _fault(file)
        if file.stem in there:
            first = there[file.stem].removeprefix(FILE_PREFIX)
            other = "a built-in kind" if first == BUILT_IN else first
            broken[str(file)] = f"{file}: kind `{file.stem}` is also {other}; rename one of them"
        elif why:
            broken[file.stem] = why
        elif file.stem in patterns or _has_handle(file):
            there[file.stem] = f"{FILE_PREFIX}{file}"
    chosen = {
        name: source
        for name, source in there.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    for pattern in patterns:
        if not _WILDCARDS & set(pattern) and pattern not in there and pattern not in broken:
            raise ConfigError(f"allowed kinds: there is no kind called `{pattern}`{hint(pattern, there)}")
    for name in explicit:
        if _WILDCARDS & set(name):
            raise ConfigError(f"allowed kinds: `{name}`: python: kinds are named in full, without wildcards")
        chosen[name] = name
    return chosen, {
        name: why
        for name, why in broken.items()
        if any(fnmatch.fnmatchcase(Path(name).stem, pattern) for pattern in patterns)
    }


def _dropped_in(paths: Sequence[Path]) -> Iterator[Path]:
    for directory in paths:
        try:
            check_unshared(directory)
            files = sorted(directory.resolve(strict=True).iterdir())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(f"{directory}: kinds cannot be read from there: {reason}") from error
        for file in files:
            if file.suffix == ".py" and not file.name.startswith(("_", ".")):
                yield file


def _fault(file: Path) -> str:
    """Why no kind can be in this file; empty when it may be one."""
    if not file.stem.isidentifier() or not KIND_NAME.fullmatch(file.stem):
        return f"{file}: `{file.stem[:80]}` cannot be the name of a kind; rename it to letters, digits and _"
    try:
        check_own(file)
        if not file.is_file():
            return f"{file}: is no file; move it away"
    except OSError as error:
        return f"{file}: cannot be read: {error.strerror or type(error).__name__}"
    except ConfigError as error:
        return str(error)
    return ""


def helpers_in(folder: Path) -> tuple[str, ...]:
    """Files in the folder of kinds that are none."""
    try:
        files = sorted(folder.resolve(strict=True).iterdir())
    except OSError:
        return ()
    python = [
        file for file in files if file.suffix == ".py" and not file.name.startswith(".") and file.is_file()
    ]
    return tuple(str(file) for file in python if file.name.startswith("_") or not _has_handle(file))[
        :MAX_FILES
    ]


def _has_handle(file: Path) -> bool:
    """Whether it defines `handle`, without running it; also when that cannot be told."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return True  # whoever loads it will say what is wrong
    return any(map(_binds_handle, _statements(tree.body)))


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All that run when the module is loaded."""
    for statement in body:
        yield statement
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, part, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body)


def _binds_handle(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name in {"handle", "__getattr__"}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return any((alias.asname or alias.name) in {"handle", "*"} for alias in aliases)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            return "handle" in names
        case _:
            return False


def hint(name: str, known: Iterable[str]) -> str:
    """The nearest known name, as a part of a sentence."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
