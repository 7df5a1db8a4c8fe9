"""The real library: what the change to it is worth, and what it makes of identities and roots."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.net.zerotier import binding, elf, library
from taskmessenger.net.zerotier.roots import blob, own_roots, world_id
from taskmessenger.paths import under

from tests.support.namespaces import identity

pytestmark = pytest.mark.zerotier
STRONG, WEAK = 1, 2


@pytest.fixture(scope="module")
def published() -> bytes:
    """The library as it was published, from the provisioned one; its SHA-256 says that it is."""
    if library.wheel_for() is not library.LINUX:
        pytest.skip("the library of this system is used as it is published")
    image = bytearray(library.place(library.find({})).read_bytes())
    for name, at, info, _ in elf._dynamic_symbols(bytes(image)):
        if name in library.LINUX.weak:
            image[at + elf._INFO_AT] = STRONG << 4 | info & 0xF
    assert hashlib.sha256(image).hexdigest() == library.LINUX.member_sha256
    return bytes(image)


def loads(path: Path) -> str:
    """What the dynamic linker says about this library; empty if it loads."""
    code = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], mode=os.RTLD_LAZY)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stderr.strip()


def test_as_published_it_does_not_load_and_with_weak_symbols_it_does(
    published: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "libzt.so"
    file.write_bytes(published)
    assert "undefined symbol: _ZN8ZeroTier12LinuxNetLink" in loads(file)
    file.write_bytes(elf.weaken(published, library.LINUX.weak))
    assert loads(file) == ""


def test_the_change_is_three_bytes_and_its_result_is_the_one_that_is_known(published: bytes) -> None:
    changed = elf.weaken(published, library.LINUX.weak)
    assert sum(map(int.__ne__, published, changed)) == 3
    assert hashlib.sha256(changed).hexdigest() == library.LINUX.provisioned_sha256


def test_the_library_comes_out_of_a_wheel_whole(published: bytes, tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(library.LINUX.member, published)
    wheel = replace(library.LINUX, sha256=hashlib.sha256(file.getvalue()).hexdigest())
    image = library.extract(file.getvalue(), wheel, "x")
    assert hashlib.sha256(image).hexdigest() == library.LINUX.provisioned_sha256


@pytest.mark.parametrize("kept", [64, 4096, 1_000_000, 20_000_000])
def test_a_part_of_it_is_refused(published: bytes, kept: int) -> None:
    with pytest.raises(UsageError, match="damaged"):
        elf.weaken(published[:kept], library.LINUX.weak)


def test_it_has_every_function_that_is_declared() -> None:
    loaded = library.load()
    assert loaded.version == library.VERSION
    assert binding.bind(ctypes.CDLL(str(loaded.found.path), mode=os.RTLD_LAZY))


def test_what_is_installed_is_left_alone_without_any_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> bytes:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(library, "fetch", no_network)
    found = library.install(under(tmp_path))
    assert found.path == library.place(library.find({}))


def test_an_identity_of_libzt_is_one_that_we_can_read() -> None:
    text = identity(0).text.encode().ljust(binding.IDENTITY_TEXT, b"\0")
    assert library.load().library.zts_id_pair_is_valid(text, len(text)) == 1


def test_a_set_of_roots_is_what_libzt_will_be_handed() -> None:
    root = own_roots([(identity(0).public, ["10.88.0.1/9993"])])
    made = blob(root, library.load().library)
    assert made is not None
    assert made[0] == 1
    assert int.from_bytes(made[1:9], "big") == world_id(root)
    assert len(made) < 400
