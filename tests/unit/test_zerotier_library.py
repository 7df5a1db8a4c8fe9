"""Finding and provisioning libzt: what is taken, in which order, and what is refused. Without any network."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from taskmessenger.core.errors import ConfigError, Unreachable, UsageError
from taskmessenger.net.zerotier import fetch, library
from taskmessenger.paths import Paths, under

from tests.unit.test_zerotier_elf import a_library

MEMBER = "libzt/inside.so"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A user with an empty home, on a system without libzt, for whom one small wheel is known."""
    monkeypatch.setattr(library, "find", lambda environ=None: under(tmp_path / "user"))
    monkeypatch.setattr(library.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(library, "wheel_for", lambda: KNOWN)
    monkeypatch.setattr(library, "fetch", no_network)
    return under(tmp_path / "home")


def no_network(*_: object) -> bytes:
    raise AssertionError("nothing may be fetched")


def a_wheel(image: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER), image)
    return file.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


IMAGE = a_library()
WHEEL = a_wheel(IMAGE)
PROVISIONED = library.weaken(IMAGE, ["missing_one"])
KNOWN = library.Wheel(
    platform_tag="manylinux2010_x86_64",
    sha256=digest(WHEEL),
    member=MEMBER,
    member_sha256=digest(IMAGE),
    weak=("missing_one",),
    provisioned_sha256=digest(PROVISIONED),
)


def test_a_wheel_is_fetched_changed_and_kept_for_this_user_alone(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "fetch", lambda *_: WHEEL)
    found = library.install(paths)
    assert found.path == paths.data / "libzt" / "1.8.4" / "libzt.so"
    assert found.path.read_bytes() == PROVISIONED
    assert stat.S_IMODE(found.path.parent.stat().st_mode) == 0o700


def test_what_is_installed_already_needs_no_network(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "libzt.whl"
    file.write_bytes(WHEEL)
    first = library.install(paths, wheel=file)
    assert library.install(paths) == first


def test_with_force_it_is_fetched_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[object] = []
    monkeypatch.setattr(library, "fetch", lambda *words: fetched.append(words) or WHEEL)
    library.install(paths)
    library.install(paths, force=True)
    assert len(fetched) == 2


def test_a_copy_that_was_damaged_is_replaced(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "fetch", lambda *_: WHEEL)
    place = library.install(paths).path
    place.write_bytes(PROVISIONED[:-1])
    library.install(paths)
    assert place.read_bytes() == PROVISIONED


@pytest.mark.parametrize("content", [b"", b"no wheel", a_wheel(IMAGE + b"\0"), WHEEL[:-1]])
def test_a_wrong_wheel_is_refused_and_nothing_is_kept(paths: Paths, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "libzt.whl"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"libzt\.whl is not libzt 1\.8\.4 .* it is not used"):
        library.install(paths, wheel=file)
    assert not library.place(paths).exists()


def test_a_wrong_wheel_from_the_network_is_refused_too(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "fetch", lambda *_: WHEEL + b"\0")
    with pytest.raises(UsageError, match="that pip fetched is not libzt"):
        library.install(paths)
    assert not library.place(paths).exists()


def test_a_wheel_with_another_library_in_it_is_refused() -> None:
    wheel = a_wheel(IMAGE + b"\0")
    with pytest.raises(UsageError, match="another library"):
        library.extract(wheel, replace(KNOWN, sha256=digest(wheel)), "x")


def test_a_wheel_that_is_not_there_is_named(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        library.install(paths, wheel=tmp_path / "none.whl")


def test_the_configured_library_comes_first_then_the_systems_then_the_provisioned(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="run `taskmessenger zerotier install`"):
        library.search(None, paths)
    file = tmp_path / "libzt.whl"
    file.write_bytes(WHEEL)
    library.install(paths, wheel=file)
    assert library.search(None, paths).origin == "provisioned"
    monkeypatch.setattr(library.ctypes.util, "find_library", lambda name: f"lib{name}.so.1")
    assert library.search(None, paths) == library.Found(path=Path("libzt.so.1"), origin="system")
    own = tmp_path / "own.so"
    own.touch()
    assert library.search(own, paths) == library.Found(path=own, origin="configured")


def test_a_configured_library_that_is_not_there_is_not_replaced_by_another(
    paths: Paths, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"zerotier\.library_path: .* is no file"):
        library.search(tmp_path / "own.so", paths)


@pytest.mark.parametrize("open_to_others", ["own.so", "lib", ""])
def test_a_configured_library_that_others_could_change_is_not_used(
    paths: Paths, tmp_path: Path, open_to_others: str
) -> None:
    (tmp_path / "lib").mkdir()
    own = tmp_path / "lib" / "own.so"
    own.touch()
    assert library.search(own, paths).path == own
    place = own if open_to_others == "own.so" else tmp_path / open_to_others
    place.chmod(place.stat().st_mode | 0o022)
    with pytest.raises(ConfigError, match=rf"{place}: .* `chmod go-w {place}`"):
        library.search(own, paths)


def test_what_this_user_has_installed_serves_every_home(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "libzt.whl"
    file.write_bytes(WHEEL)
    library.install(under(tmp_path / "user"), wheel=file)
    assert library.search(None, paths).path.is_relative_to(tmp_path / "user")
    assert library.install(paths).path.is_relative_to(tmp_path / "user")


def test_a_provisioned_copy_that_somebody_changed_is_not_loaded(paths: Paths) -> None:
    place = library.place(paths)
    place.parent.mkdir(parents=True)
    place.write_bytes(PROVISIONED + b"\0")
    with pytest.raises(ConfigError, match=r"not what was provisioned.*--force"):
        library.load_found(library.search(None, paths))


def test_a_file_that_is_no_library_is_not_loaded(tmp_path: Path) -> None:
    own = tmp_path / "own.so"
    own.write_text("hello")
    with pytest.raises(ConfigError, match=r"cannot be loaded .*name another in zerotier\.library_path"):
        library.load_found(library.Found(path=own, origin="configured"))


def test_another_library_is_not_taken_for_libzt() -> None:
    other = library.ctypes.util.find_library("c")
    if other is None:
        pytest.skip("this system does not name its C library")
    with pytest.raises(ConfigError, match=r"is not libzt 1\.8\.4 or later"):
        library.load_found(library.Found(path=Path(other), origin="configured"))


@pytest.mark.parametrize(
    ("system", "machine", "cure"),
    [("linux", "aarch64", "build it"), ("darwin", "arm64", "brew install"), ("win32", "AMD64", "build it")],
)
def test_where_nothing_is_published_one_line_says_what_to_do(system: str, machine: str, cure: str) -> None:
    with pytest.raises(UsageError, match=cure) as refusal:
        library.wheel_for(system, machine)
    assert "tcp://" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_macos_on_intel_takes_its_wheel_as_it_is() -> None:
    wheel = library.wheel_for("darwin", "x86_64")
    assert wheel.weak == ()
    assert wheel.member_sha256 == wheel.provisioned_sha256


def test_what_pip_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\necho 'WARNING: x' >&2\necho 'ERROR: No matching distribution' >&2\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(fetch, "_pip", lambda: [str(pip)])
    with pytest.raises(Unreachable, match="ERROR: No matching distribution; fetch the wheel elsewhere"):
        fetch.fetch("libzt==1.8.4", "manylinux2010_x86_64", 10)


def test_what_is_larger_than_any_wheel_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = tmp_path / "pip"
    pip.write_text(
        '#!/bin/sh\nwhile [ "$1" != --dest ]; do shift; done\nhead -c 100 /dev/zero >"$2/libzt.whl"\n'
    )
    pip.chmod(0o755)
    monkeypatch.setattr(fetch, "_pip", lambda: [str(pip)])
    assert fetch.fetch("libzt==1.8.4", "x", 100) == bytes(100)
    with pytest.raises(Unreachable, match="cannot be fetched"):
        fetch.fetch("libzt==1.8.4", "x", 99)


@pytest.mark.parametrize(
    ("libc", "loader", "taken"),
    [("", True, False), ("musl", False, False), ("glibc", True, True), ("", False, True)],
)
def test_where_the_system_is_made_with_musl_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: str, loader: bool, taken: bool
) -> None:
    monkeypatch.setattr(library.platform, "libc_ver", lambda *_: (libc, ""))
    monkeypatch.setattr(library, "LOADERS", tmp_path)
    if loader:
        (tmp_path / "ld-musl-x86_64.so.1").touch()
    if taken:
        assert library.wheel_for("linux", "x86_64").platform_tag.startswith("manylinux")
        return
    with pytest.raises(UsageError, match="build it from") as error:
        library.wheel_for("linux", "x86_64")
    assert "\n" not in str(error.value)
