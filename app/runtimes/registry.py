"""The kinds that this worker offers, each in one version at a time. Its own configuration decides which.

Finds them, has them looked at in processes of their own, and loads those that run in threads or on the event
loop. What cannot be used is set aside alone, with a word. Does not run anything.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from ..core.errors import ConfigError
from . import beside
from .dropins import MAX_FILES, helpers_in, hint, sources_of
from .inspection import Facts, Inspect, inspect
from .limits import Limits
from .loading import BUILT_IN, FILE_PREFIX, PROCESS, RUNTIMES, Kind, load_kind, runtime_of
from .spawn import Given

log = logging.getLogger(__name__)

MAX_KINDS: Final = 1_000
MAX_EXAMPLE: Final = 1_024
"""Bytes of an example that is told."""
MAX_ASKED: Final = 4
"""Files of one kind that are looked at before each of its tasks."""
_Stamp = tuple[tuple[int, int, int] | None, ...]


class KindInfo(msgspec.Struct, frozen=True, array_like=True):
    """What a worker tells its manager of one kind."""

    name: str
    runtime: str
    isolated: bool
    """It runs in a process of its own: a crash takes nothing else with it."""
    description: str = ""
    example: bytes = b""
    """A payload that works, msgpack; empty when none is known, or it is long."""


@dataclass(slots=True)
class _Entry:
    """One kind as it was last looked at."""

    source: str
    files: tuple[str, ...] = ()
    """Its own, first, and those beside it that are part of it; none when no change is looked for."""
    stamp: _Stamp | None = None
    digest: str = ""
    helpers: str = ""
    """Digest of all but its own file."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found when a kind was looked at."""

    name: str
    entry: _Entry
    found: Facts | str


class Registry:
    """Kinds by name: those in force, and those that cannot be used."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self.kinds: dict[str, Kind] = {}
        """In force; changed in place."""
        self.broken: dict[str, str] = {}
        """By kind, or by file, why it is not offered: one line."""
        self.folders: tuple[Path, ...] = ()
        self._allow: tuple[str, ...] = ()
        self._wanted: dict[str, str] = {}
        self._limits, self._given = Limits(), Given()
        self._inspect: Inspect = inspect
        self._entries: dict[str, _Entry] = {}
        self._folder_stamp: _Stamp = ()
        for kind in kinds:
            self.kinds[kind.name] = kind

    @classmethod
    def find(
        cls,
        allow: Sequence[str] = ("*",),
        paths: Sequence[Path] = (),
        runtimes: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        given: Given | None = None,
        look: Inspect = inspect,
    ) -> Registry:
        """Everything that `allow` lets in, not loaded yet.

        Args:
            allow: patterns (`*`, `?`, `[...]`) of names, for built-in kinds and files in `paths`; and exact
                `python:package.module[.function]` names, which no pattern ever matches.
            paths: directories; each `name.py` in them is the kind `name`, but for names that begin with `_`
                and files without a `handle`, which may help others.
            runtimes: by kind, the runtime the operator wants instead of the code's own choice.
            limits: of the processes that load them.
            given: what those are given of the worker's surroundings.
            look: has kinds looked at.

        Raises:
            ConfigError: a setting that fits no kind, or a directory that is not there.
        """
        made = cls()
        made.folders, made._allow = tuple(path.resolve() for path in paths), tuple(allow)
        made._limits, made._given, made._inspect = limits or Limits(), given or Given(), look
        sources, made.broken = sources_of(allow, paths)
        made._wanted = wanted = dict(runtimes or {})
        for name, runtime in wanted.items():
            if name not in sources and name not in made.broken:
                raise ConfigError(
                    f"runtime of `{name}`: this worker offers no such kind{hint(name, sources)}"
                )
            if runtime not in RUNTIMES:
                raise ConfigError(f"runtime of `{name}`: `{runtime}` is none of {', '.join(RUNTIMES)}")
        if len(sources) > MAX_KINDS:
            raise ConfigError(
                f"there are {len(sources):,} of the {MAX_KINDS:,} kinds that one worker may offer"
            )
        made._entries = {name: _Entry(source) for name, source in sources.items()}
        made._folder_stamp = _stamp(map(str, made.folders))
        return made

    @classmethod
    def load(cls, *args: Any, **more: Any) -> Registry:
        """`find`, and load it all."""
        made = cls.find(*args, **more)
        made.install(made.look(made.names_known()))
        return made

    def names_known(self) -> list[str]:
        """All that were found, whether they can be used or not."""
        return sorted(self._entries)

    def look(self, names: Sequence[str]) -> list[Look]:
        """Have these looked at. Blocks for as long as they take to be loaded; touches nothing here."""
        before = {name: _Entry(self._entries[name].source) for name in names}
        helpers = {folder: helpers_in(folder) for folder in self.folders}
        for entry in before.values():
            if entry.source.startswith(FILE_PREFIX):
                own = entry.source.removeprefix(FILE_PREFIX)
                entry.files = (own, *helpers.get(Path(own).parent, ()))
                entry.stamp = _stamp(entry.files)
        sources = {name: entry.source for name, entry in before.items() if entry.source != BUILT_IN}
        found = self._inspect(sources, self._limits, self._given) if sources else {}
        looks = []
        for name, entry in before.items():
            facts = found.get(name, "")
            if entry.files and isinstance(facts, Facts):
                more = tuple(file for file in facts.files if file not in entry.files)[:MAX_FILES]
                entry.stamp = (*(entry.stamp or ()), *_stamp(more))
                entry.files = (*entry.files, *more)
            entry.digest, entry.helpers = beside.digest_of(entry.files), beside.digest_of(entry.files[1:])
            looks.append(Look(name, entry, facts))
        return looks

    def install(self, looks: Iterable[Look]) -> list[str]:
        """Put what was found in force, all of it or, of each kind, nothing; says which have changed."""
        changed = []
        looks = list(looks)
        for folder in {Path(look.entry.files[0]).parent for look in looks if self._has_new_helpers(look)}:
            beside.forget(folder)
        for look in looks:
            before = self._entries.get(look.name)
            self._entries[look.name] = look.entry
            same = before is not None and before.digest == look.entry.digest and look.name in self.kinds
            if same and look.entry.digest and look.entry.files:
                continue
            try:
                kind = self._kind(look)
            except ConfigError as error:
                self.kinds.pop(look.name, None)
                if self.broken.get(look.name) != str(error):
                    changed.append(look.name)
                self.broken[look.name] = str(error)
            else:
                self.kinds[look.name] = kind
                self.broken.pop(look.name, None)
                changed.append(look.name)
        return changed

    def _has_new_helpers(self, look: Look) -> bool:
        before = self._entries.get(look.name)
        return bool(
            look.entry.files and before is not None and before.helpers not in {"", look.entry.helpers}
        )

    def _kind(self, look: Look) -> Kind:
        """As it is to run.

        Raises:
            ConfigError: it cannot be used.
        """
        entry, wanted = look.entry, self._wanted.get(look.name)
        if entry.source == BUILT_IN:
            return load_kind(look.name, entry.source, wanted)
        place = entry.source.removeprefix(FILE_PREFIX)
        facts, runtime = self._judged(look, place, wanted)
        if runtime == PROCESS:
            return Kind(
                name=look.name, runtime=runtime, handler=_elsewhere, is_async=facts.is_async,
                takes_context=facts.takes_context, source=entry.source, description=facts.description,
                timeout=facts.timeout, example=_unpacked(facts.example), fresh=facts.fresh,
                files=entry.files, digest=entry.digest,
            )  # fmt: skip
        kind = load_kind(look.name, entry.source, wanted)
        if entry.files and beside.digest_of(entry.files) != entry.digest:
            entry.stamp = None
            raise ConfigError(f"{place}: it was changed while it was loaded")
        return replace(kind, files=entry.files, digest=entry.digest)

    def _judged(self, look: Look, place: str, wanted: str | None) -> tuple[Facts, str]:
        """What it is and where it runs.

        Raises:
            ConfigError: it cannot be used.
        """
        if isinstance(look.found, str):
            raise ConfigError(look.found if look.found.startswith(place) else f"{place}: {look.found}")
        facts = look.found
        return facts, runtime_of(look.name, place, wanted or facts.runtime, is_async=facts.is_async)

    def faults(self) -> dict[str, str]:
        """Look at all of them: which cannot be used, and why. Blocks; loads nothing in this process."""
        found = dict(self.broken)
        for look in self.look(self.names_known()):
            if look.entry.source != BUILT_IN:
                try:
                    self._judged(
                        look, look.entry.source.removeprefix(FILE_PREFIX), self._wanted.get(look.name)
                    )
                except ConfigError as error:
                    found[look.name] = str(error)
        return found

    def is_stale(self, name: str) -> bool:
        """Whether the file of this kind, or one of the first beside it, is not what was looked at.

        Asked before each task, so it looks at a few files only; `changed` looks at all of them.
        """
        entry = self._entries.get(name)
        if entry is None or not entry.files:
            return False
        return _stamp(entry.files[:MAX_ASKED]) != (entry.stamp or ())[:MAX_ASKED]

    def changed(self) -> list[str]:
        """Kinds whose files are not what they were when they were looked at; new ones too. Cheap."""
        stamp = _stamp(map(str, self.folders))
        if stamp != self._folder_stamp:
            self._folder_stamp = stamp
            self._look_for_new()
        return [
            name
            for name, entry in self._entries.items()
            if entry.source.startswith(FILE_PREFIX)
            and (not entry.files or _stamp(entry.files) != entry.stamp)
        ]

    def _look_for_new(self) -> None:
        """Files have come or gone; settings that fit no longer were told at the start."""
        try:
            sources, broken = sources_of(self._allow, self.folders)
        except ConfigError as error:
            log.warning("kinds: %s", error)
            return
        for name, source in list(sources.items())[:MAX_KINDS]:
            self._entries.setdefault(name, _Entry(source))
        for name, why in broken.items():
            if name not in self.kinds:
                self.broken[name] = why
        helpers = {folder: helpers_in(folder) for folder in self.folders}
        for entry in self._entries.values():
            folder = Path(entry.files[0]).parent if entry.files else None
            if folder is not None and set(helpers.get(folder, ())) - set(entry.files):
                entry.stamp = None

    def get(self, name: str) -> Kind | None:
        """The kind of this name, or None."""
        return self.kinds.get(name)

    def names(self) -> list[str]:
        """All names in force, sorted."""
        return sorted(self.kinds)

    def announce(self) -> list[KindInfo]:
        """What to tell the manager, sorted by name."""
        return [
            KindInfo(
                kind.name, kind.runtime, kind.runtime == PROCESS, kind.description, _packed(kind.example)
            )
            for _, kind in sorted(self.kinds.items())
        ]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self.kinds.values())

    def __len__(self) -> int:
        return len(self.kinds)


def _elsewhere(_: object) -> object:
    raise AssertionError("this kind is loaded in a process of its own")


def _stamp(files: Iterable[str]) -> _Stamp:
    """What tells a changed file from an unchanged one, without reading it."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            seen = os.stat(file)  # noqa: PTH116  a path object takes as long again, before each task
        except OSError:
            found.append(None)
        else:
            found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(found)


def _packed(example: Any) -> bytes:
    if example is None:
        return b""
    try:
        packed = msgspec.msgpack.encode(example)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""  # it helps to fill in a form, and nothing depends on it
    return packed if len(packed) <= MAX_EXAMPLE else b""


def _unpacked(example: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(example) if example else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
