"""The kinds that this worker offers. The worker's own configuration decides; no manager can widen it.

Finds them, checks them all at start, and says what they are. Does not run anything.
"""

from __future__ import annotations

import difflib
import fnmatch
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ..core.errors import ConfigError
from ..kinds import NAMES
from .loading import BUILT_IN, FILE_PREFIX, KIND_NAME, PROCESS, PYTHON_PREFIX, RUNTIMES, Kind, load_kind

MAX_KINDS: Final = 1_000
MAX_EXAMPLE: Final = 1_024
"""Bytes of an example that is told."""
_WILDCARDS: Final = frozenset("*?[")


class KindInfo(msgspec.Struct, frozen=True, array_like=True):
    """What a worker tells its manager of one kind."""

    name: str
    runtime: str
    isolated: bool
    """It runs in a process of its own: a crash takes nothing else with it."""
    description: str = ""
    example: bytes = b""
    """A payload that works, msgpack; empty when none is known, or it is long."""


class Registry:
    """Kinds by name."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds: dict[str, Kind] = {}
        for kind in kinds:
            self._add(kind)

    @classmethod
    def load(
        cls,
        allow: Sequence[str] = ("*",),
        paths: Sequence[Path] = (),
        runtimes: Mapping[str, str] | None = None,
    ) -> Registry:
        """Everything that `allow` lets in.

        Args:
            allow: patterns (`*`, `?`, `[...]`) of names, for built-in kinds and files in `paths`; and exact
                `python:package.module[.function]` names, which no pattern ever matches.
            paths: directories; each `name.py` in them is the kind `name`, but for names that begin with `_`.
            runtimes: by kind, the runtime the operator wants instead of the code's own choice.

        Raises:
            ConfigError: a kind that cannot be used, a name given twice, or a setting that fits no kind.
        """
        wanted = runtimes or {}
        sources = _sources(allow, paths)
        for name, runtime in wanted.items():
            if name not in sources:
                raise ConfigError(
                    f"runtime of `{name}`: this worker offers no such kind{_hint(name, sources)}"
                )
            if runtime not in RUNTIMES:
                raise ConfigError(f"runtime of `{name}`: `{runtime}` is none of {', '.join(RUNTIMES)}")
        if len(sources) > MAX_KINDS:
            raise ConfigError(
                f"{len(sources):,} kinds are more than the {MAX_KINDS:,} that one worker may offer"
            )
        return cls(load_kind(name, source, wanted.get(name)) for name, source in sources.items())

    def _add(self, kind: Kind) -> None:
        if kind.name in self._kinds:
            raise ConfigError(f"kind `{kind.name}` is defined twice")
        self._kinds[kind.name] = kind

    def get(self, name: str) -> Kind | None:
        """The kind of this name, or None."""
        return self._kinds.get(name)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._kinds)

    def announce(self) -> list[KindInfo]:
        """What to tell the manager, sorted by name."""
        return [
            KindInfo(
                kind.name, kind.runtime, kind.runtime == PROCESS, kind.description, _packed(kind.example)
            )
            for _, kind in sorted(self._kinds.items())
        ]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __len__(self) -> int:
        return len(self._kinds)


def _sources(allow: Sequence[str], paths: Sequence[Path]) -> dict[str, str]:
    """Name and source of every kind that `allow` lets in."""
    explicit = [entry for entry in allow if entry.startswith(PYTHON_PREFIX)]
    patterns = [entry for entry in allow if not entry.startswith(PYTHON_PREFIX)]
    there: dict[str, str] = dict.fromkeys(NAMES, BUILT_IN)
    for file in _dropped_in(paths):
        if file.stem in there:
            first = there[file.stem].removeprefix(FILE_PREFIX)
            other = "a built-in kind" if first == BUILT_IN else first
            raise ConfigError(f"{file}: kind `{file.stem}` is also {other}; rename one of them")
        there[file.stem] = f"{FILE_PREFIX}{file}"
    chosen = {
        name: source
        for name, source in there.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    for pattern in patterns:
        if not _WILDCARDS & set(pattern) and pattern not in there:
            raise ConfigError(f"allowed kinds: there is no kind called `{pattern}`{_hint(pattern, there)}")
    for name in explicit:
        if _WILDCARDS & set(name):
            raise ConfigError(f"allowed kinds: `{name}`: python: kinds are named in full, without wildcards")
        chosen[name] = name
    return chosen


def _dropped_in(paths: Sequence[Path]) -> Iterator[Path]:
    for directory in paths:
        try:
            files = sorted(directory.resolve(strict=True).iterdir())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(f"{directory}: kinds cannot be read from there: {reason}") from error
        for file in files:
            if file.suffix == ".py" and not file.name.startswith(("_", ".")):
                yield _usable(file)


def _usable(file: Path) -> Path:
    if not file.stem.isidentifier() or not KIND_NAME.fullmatch(file.stem):
        raise ConfigError(
            f"{file}: `{file.stem[:80]}` cannot be the name of a kind; rename it to letters, digits and _"
        )
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or type(error).__name__}") from error
    if mode & stat.S_IWOTH:
        raise ConfigError(f"{file}: anyone on this machine may write it; chmod o-w it, then start again")
    return file


def _packed(example: Any) -> bytes:
    if example is None:
        return b""
    try:
        packed = msgspec.msgpack.encode(example)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""  # it helps to fill in a form, and nothing depends on it
    return packed if len(packed) <= MAX_EXAMPLE else b""


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
