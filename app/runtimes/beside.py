"""Modules beside the files of kinds: found by `import` after all others, and known by their content.

Never from compiled files: those go by the second in which a file was changed and by its size.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from importlib.util import spec_from_file_location
from itertools import chain, islice
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from ..core.errors import ConfigError
from ..paths import check_own

MAX_FILES: Final = 1_000
"""Of a package beside a kind, that are looked at."""
PREFIX: Final = "_taskmessenger_kind_"
"""Of the names of modules that are kinds, so that `queue.py` may be one."""
SOURCE_VARIABLE: Final = "TM_SOURCE"
"""In a child process: the file of its kind, for interpreters that a task starts."""


class Source(SourceFileLoader):
    """Compiles what is in the file."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Of this module.

        Raises:
            ImportError: others may change it.
        """
        path = self.get_filename(fullname)
        file = Path(path)
        _check_own(chain([file.parent], file.parent.rglob("*")) if self.is_package(fullname) else [file])
        return self.source_to_code(self.get_data(path), path)


class _Extension(ExtensionFileLoader):
    """Loads what is in the file."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Of this module.

        Raises:
            ImportError: others may change it.
        """
        _check_own([Path(str(self.path))])
        return super().create_module(spec)


def _check_own(files: Iterable[Path]) -> None:
    """The files of a module, or all that is in the folder of a package."""
    for file in islice(files, MAX_FILES):
        try:
            check_own(file)
        except ConfigError:
            raise ImportError(f"others may change {file.name}: `chown` or `chmod go-w` it") from None


class _Finder(MetaPathFinder):
    """Finds modules in the folders of kinds, and kinds by their names."""

    def __init__(self) -> None:
        self.folders: dict[Path, FileFinder] = {}
        self.kinds: dict[str, Path] = {}
        self.first: Path | None = None
        """The folder of the kind that is being loaded."""

    def add(self, folder: Path) -> None:
        if folder not in self.folders:
            details = ((_Extension, EXTENSION_SUFFIXES), (Source, SOURCE_SUFFIXES))
            self.folders[folder] = FileFinder(str(folder), *details)
        if self not in sys.meta_path:
            sys.meta_path.append(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of a kind, or of a top-level module beside one."""
        if fullname in self.kinds:
            return spec_of(fullname, self.kinds[fullname])
        if path is not None:
            return None
        for folder in sorted(self.folders, key=lambda folder: folder != self.first):
            found = self.folders[folder].find_spec(fullname)
            if found is not None:
                return found
        return None

    def invalidate_caches(self) -> None:
        """Look at the folders anew."""
        for finder in self.folders.values():
            finder.invalidate_caches()


_finder: Final = _Finder()


def spec_of(name: str, path: Path) -> ModuleSpec | None:
    """Of the module in a file."""
    return spec_from_file_location(name, path, loader=Source(name, str(path)))


@contextmanager
def importing(name: str, path: Path) -> Iterator[None]:
    """While the kind in this file is loaded: what it imports is looked for in its own folder first."""
    folder = path.parent
    _finder.add(folder)
    _finder.kinds[name] = path
    hidden = {other: module for other, module in _helpers() if not _is_in(folder, module)}
    for other in hidden:
        del sys.modules[other]
    importlib.invalidate_caches()
    first, _finder.first = _finder.first, folder
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        _finder.first, sys.dont_write_bytecode = first, writes
        for other, module in hidden.items():
            sys.modules.setdefault(other, module)


def follow_parent() -> None:
    """In an interpreter that a task of a kind has started (`multiprocessing`): find that kind by its name."""
    source = os.environ.get(SOURCE_VARIABLE, "")
    if source:
        path = Path(source)
        _finder.add(path.parent)
        _finder.kinds[PREFIX + path.stem] = path


def loaded_from(folder: Path) -> list[str]:
    """Files of the modules that kinds in this folder have imported from there."""
    return sorted(str(module.__file__) for _, module in _helpers() if _is_in(folder, module))


def forget(folder: Path) -> None:
    """Load them anew at the next import."""
    for name, module in list(_helpers()):
        if _is_in(folder, module):
            del sys.modules[name]


def _helpers() -> Iterator[tuple[str, ModuleType]]:
    """Modules that were found beside kinds, with what is in their packages."""
    for name, module in list(sys.modules.items()):
        top = sys.modules.get(name.partition(".")[0])
        loader = getattr(getattr(top, "__spec__", None), "loader", None)
        if isinstance(loader, Source) and not name.startswith(PREFIX) and getattr(module, "__file__", None):
            yield name, module


def _is_in(folder: Path, module: ModuleType) -> bool:
    return Path(str(module.__file__)).is_relative_to(folder)


def digest_of(files: Iterable[str]) -> str:
    """Of the content of all of them; one that is not there counts as well."""
    whole = hashlib.sha256()
    for file in sorted(set(files)):
        content = b""
        with suppress(OSError):
            content = hashlib.sha256(Path(file).read_bytes()).digest()
        whole.update(file.encode("utf-8", "surrogateescape") + b"\0" + content)
    return whole.hexdigest()
