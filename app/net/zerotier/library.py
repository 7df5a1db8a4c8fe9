"""libzt on this machine: found, provisioned from the published wheel, loaded. It starts no node.

The order of search: the configured path, the system's own `libzt`, the copy that `install` has provisioned.
Only files with known SHA-256 are provisioned, and the copy is compared with its own each time it is loaded.
The wheels are for CPython 3.5 to 3.9, but what they hold exports the plain C interface and loads everywhere.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import os
import platform
import sys
import threading
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...core.errors import ConfigError, UsageError
from ...core.text import printable
from ...paths import Paths, check_unshared, find
from ..security.private_files import private_folder, replace_private
from .binding import Library, bind
from .elf import weaken
from .fetch import fetch

VERSION: Final = "1.8.4"
MAX_WHEEL: Final = 32 * 1024 * 1024
MAX_LIBRARY: Final = 64 * 1024 * 1024
"""Bytes; the real ones have 8 and 25 MB."""
INSTALL: Final = "run `taskmessenger zerotier install`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One published wheel, and what is taken out of it."""

    platform_tag: str
    sha256: str
    member: str
    member_sha256: str
    weak: tuple[str, ...] = ()
    """Symbols that it asks for and that nobody has; they are never called."""
    provisioned_sha256: str
    """Of the library once those are weak."""


LINUX: Final = Wheel(
    platform_tag="manylinux2010_x86_64",
    sha256="e66e1482940118ae172d7356d2c5d2d5c561831c94d595a850704f9923054756",
    member="libzt/_libzt.cpython-39-x86_64-linux-gnu.so",
    member_sha256="5f62b777a58eafc1b347cb327311532e4ec80e5a614d1b54d49d4501dbabb594",
    weak=(
        "_ZN8ZeroTier12LinuxNetLinkC1Ev",
        "_ZN8ZeroTier12LinuxNetLinkD1Ev",
        "_ZN8ZeroTier12LinuxNetLink8delRouteERKNS_11InetAddressES3_S3_PKc",
    ),
    provisioned_sha256="14ed14be4d09e7615295a193575869d343438334a2bc555e9e948fc6bbebfc54",
)
MACOS: Final = Wheel(
    platform_tag="macosx_10_9_x86_64",
    sha256="85b8730a1eca10876423e8a771940c04a5b4a2949fa9fecc834eaa393e940fae",
    member="libzt/_libzt.cpython-39-darwin.so",
    member_sha256="601c61cc1cc91579c5ce6aeb304bcd68377397af579042c39736cfec4cb73915",
    provisioned_sha256="601c61cc1cc91579c5ce6aeb304bcd68377397af579042c39736cfec4cb73915",
)
WHEELS: Final[Mapping[tuple[str, str], Wheel]] = {
    ("linux", "x86_64"): LINUX,
    ("darwin", "x86_64"): MACOS,
}
"""System and processor to the wheel that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A library that could be loaded."""

    path: Path
    origin: str
    """`configured`, `system` or `provisioned`."""

    @property
    def provisioned(self) -> bool:
        return self.origin == "provisioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The library of this process."""

    library: Library
    found: Found
    version: str


def wheel_for(system: str = "", machine: str = "") -> Wheel:
    """The wheel for this system and processor.

    Raises:
        UsageError: none was published; says what to do instead.
    """
    system, machine = system or sys.platform, (machine or platform.machine()).lower()
    known = WHEELS.get((system, {"amd64": "x86_64"}.get(machine, machine)))
    if known is not None and not _is_musl(system):
        return known
    cure = (
        "`brew install zerotier/tap/libzt`"
        if system == "darwin"
        else "build it from github.com/zerotier/libzt"
    )
    raise UsageError(
        f"no libzt is published for {system} on {machine}: {cure} and name it in zerotier.library_path, or "
        "use tcp:// over an existing ZeroTier interface"
    )


def place(paths: Paths) -> Path:
    """Where the provisioned copy lies."""
    return paths.data / "libzt" / VERSION / ("libzt.dylib" if sys.platform == "darwin" else "libzt.so")


def search(configured: Path | None = None, paths: Paths | None = None) -> Found:
    """The library that would be loaded.

    Raises:
        ConfigError: the configured one is not there, or others could change it, or there is none at all.
    """
    if configured is not None:
        if not configured.is_file():
            raise ConfigError(
                f"zerotier.library_path: {printable(str(configured), 512)} is no file; correct it"
            )
        check_unshared(configured)  # what is loaded may do everything that this user may
        return Found(path=configured, origin="configured")
    if system := ctypes.util.find_library("zt"):
        return Found(path=Path(system), origin="system")
    for known in _places(paths):
        if known.is_file():
            return Found(path=known, origin="provisioned")
    raise ConfigError(
        f"ZeroTier needs libzt, which is not installed: {INSTALL}, or set zerotier.library_path"
    )


def load(configured: Path | None = None, paths: Paths | None = None) -> Loaded:
    """The library of this process; whichever was loaded first stays. Blocks for some tens of milliseconds.

    Raises:
        ConfigError: none is found, or what is found is not libzt; says what to do.
    """
    global _loaded  # noqa: PLW0603  a process loads a library once, whoever asks
    with _lock:
        if _loaded is None:
            _loaded = load_found(search(configured, paths))
        return _loaded


def install(paths: Paths, *, wheel: Path | None = None, force: bool = False) -> Found:
    """Provision the library from the published wheel, fetched with pip unless a file is given.

    What is provisioned already and whole is left alone, without any network, unless `force`. Blocks.

    Raises:
        UsageError: nothing is published for this system, or the file is not that wheel.
        Unreachable: it cannot be fetched.
        ConfigError: it cannot be stored.
    """
    known = wheel_for()
    for target in _places(paths):
        if not force and wheel is None and _digest(target) == known.provisioned_sha256:
            return Found(path=target, origin="provisioned")
    data = _read(wheel) if wheel is not None else fetch(f"libzt=={VERSION}", known.platform_tag, MAX_WHEEL)
    image = extract(data, known, str(wheel) if wheel is not None else "the wheel that pip fetched")
    target = place(paths)
    private_folder(target.parent)
    replace_private(target, image)
    return Found(path=target, origin="provisioned")


def extract(data: bytes, wheel: Wheel, name: str) -> bytes:
    """The library out of this wheel, ready to be loaded.

    Raises:
        UsageError: the data are not that wheel.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest != wheel.sha256:
        raise UsageError(
            f"{printable(name, 256)} is not libzt {VERSION} for {wheel.platform_tag}: its SHA-256 begins "
            f"with {digest[:16]}, not with {wheel.sha256[:16]}; it is not used"
        )
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(wheel.member) as member:
        image = member.read(MAX_LIBRARY + 1)
    if hashlib.sha256(image).hexdigest() != wheel.member_sha256:
        raise UsageError(
            f"{printable(name, 256)} holds another library than the one that is known; it is not used"
        )
    return weaken(image, wheel.weak) if wheel.weak else image


def load_found(found: Found) -> Loaded:
    """This very library, whatever the process uses; what `load` is for everybody else.

    Raises:
        ConfigError: it is not what was provisioned, or not libzt.
    """
    if found.provisioned and _digest(found.path) != wheel_for().provisioned_sha256:
        raise ConfigError(f"{found.path} is not what was provisioned: {INSTALL} --force")
    label = printable(str(found.path), 512)
    cure = f"{INSTALL} --force" if found.provisioned else "name another in zerotier.library_path"
    try:
        # Lazily: the wheels ask for functions of a CPython that are never called.
        library = bind(ctypes.CDLL(str(found.path), mode=getattr(os, "RTLD_LAZY", 0)))
    except OSError as error:
        raise ConfigError(f"{label} cannot be loaded ({printable(str(error), 256)}): {cure}") from error
    except AttributeError as error:
        raise ConfigError(f"{label} is not libzt {VERSION} or later ({error}): {cure}") from error
    return Loaded(library=library, found=found, version=VERSION if found.provisioned else _version(library))


def _version(library: Library) -> str:
    """Of the ZeroTier core inside, which libzt shares its numbers with."""
    try:
        ask = library.ZT_version
    except AttributeError:
        return "unknown"
    parts = [ctypes.c_int() for _ in range(3)]
    ask(*map(ctypes.byref, parts))
    return ".".join(str(part.value) for part in parts)


def _places(paths: Paths | None) -> tuple[Path, ...]:
    """Of the provisioned copy: under this home, then this user's own, which every home may use."""
    known = [place(paths or find())]
    with suppress(ConfigError):  # this user has no home
        known.append(place(find({})))
    return tuple(dict.fromkeys(known))


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty when there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _read(wheel: Path) -> bytes:
    try:
        with wheel.open("rb") as file:
            data = file.read(MAX_WHEEL + 1)
    except OSError as error:
        raise UsageError(
            f"{printable(str(wheel), 512)} cannot be read: {error.strerror}; name the wheel"
        ) from error
    if len(data) > MAX_WHEEL:
        raise UsageError(f"{printable(str(wheel), 512)} is larger than any libzt wheel; it is not used")
    return data


def _is_musl(system: str) -> bool:
    """The Linux wheel needs glibc."""
    if system != "linux":
        return False
    libc = platform.libc_ver()[0]
    # Python tells of glibc only, before 3.14; where it says nothing musl's loader does.
    return libc != "glibc" if libc else any(LOADERS.glob("ld-musl-*"))


LOADERS: Final = Path("/lib")
"""Where musl keeps its loader."""
_lock: Final = threading.Lock()
_loaded: Loaded | None = None
