"""Secrets on disk: whole or not at all, for nobody else; and what is said where that cannot be had."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.security import private_files
from taskmessenger.net.security.private_files import (
    MAX_BYTES,
    create_private,
    private_folder,
    read_private,
    replace_private,
)

STRANGER = 4_242
Write = Callable[[Path, bytes], None]


@contextmanager
def a_full_disk() -> Iterator[None]:
    """This process can write no file beyond its first bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def belongs_to_somebody_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Whose it is and who we are then. Only root can give a file away; for others, they are somebody else."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1)
        return STRANGER, 0
    owner = os.geteuid()
    monkeypatch.setattr(private_files.os, "geteuid", lambda: STRANGER)
    return owner, STRANGER


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_made_for_its_owner_alone_with_all_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert private_folder(path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert private_folder(path) == path, "once more is no mistake"


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a file")
    said = sentence(lambda: private_folder(path))
    assert said == f"{path}: cannot be used as a folder (File exists): check it, or remove it"
    assert "cannot be used as a folder" in sentence(lambda: private_folder(path / "below"))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720])
def test_a_folder_in_which_others_may_write_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.mkdir()
    path.chmod(mode)
    said = sentence(lambda: private_folder(path))
    assert said == f"{path}: others may write in it, and it holds secrets: chmod 700 {path}"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = tmp_path / "a", tmp_path / "b"
    folder.mkdir(mode=0o700)
    replace_private(file, b"secret")
    for path in (folder, file):
        owner, me = belongs_to_somebody_else(path, monkeypatch)
    cure = f"belongs to user {owner}, and this program runs as {me}: chown {me}"
    assert f"{folder}: {cure} {folder}" in sentence(lambda: private_folder(folder))
    assert f"{file}: {cure} {file}, or run as its owner" in sentence(lambda: read_private(file))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    replace_private(path, b"secret")
    assert read_private(path) == b"secret"
    path.chmod(mode)
    assert sentence(lambda: read_private(path)) == f"{path}: others may read this secret: chmod 600 {path}"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    folder, device = tmp_path / "folder", tmp_path / "device"
    folder.mkdir()
    device.symlink_to(os.devnull)
    assert "cannot be read (Is a directory): check its owner and mode" in sentence(
        lambda: read_private(folder)
    )
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)  # nobody writes to it
    for one in (device, pipe):
        assert "is neither a file nor a folder: remove it" in sentence(lambda one=one: read_private(one))  # type: ignore[misc]
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "nothing")


def test_a_file_of_any_size_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace_private(path, bytes(MAX_BYTES))
    assert len(read_private(path)) == MAX_BYTES
    replace_private(path, bytes(MAX_BYTES + 1))
    assert f"is larger than {MAX_BYTES} bytes, so it is not ours: move it" in sentence(
        lambda: read_private(path)
    )


@pytest.mark.parametrize("write", [create_private, replace_private])
def test_what_is_written_is_whole_and_for_its_owner_alone(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "a"
    write(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["a"], "nothing is left beside it"


def test_a_new_file_never_takes_the_place_of_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    create_private(path, b"first")
    with pytest.raises(FileExistsError):
        create_private(path, b"second")
    assert path.read_bytes() == b"first"
    replace_private(path, b"third")
    assert path.read_bytes() == b"third"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [create_private, replace_private])
def test_on_a_full_disk_nothing_is_written_and_nothing_is_lost(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "a"
    replace_private(path, b"what was there")
    target = path if write is replace_private else tmp_path / "new"
    with a_full_disk():
        said = sentence(lambda: write(target, b"longer than that"))
    assert f"{target}: cannot be written (File too large): free space, or check who owns {tmp_path}" in said
    assert path.read_bytes() == b"what was there"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [create_private, replace_private])
def test_a_folder_that_is_gone_is_said_to_be_the_trouble(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "gone" / "a"
    assert f"{path}: cannot be written (No such file or directory)" in sentence(lambda: write(path, b"x"))


def test_a_folder_is_not_taken_for_a_file_that_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (path / "inside").mkdir(parents=True)
    assert f"{path}: cannot be written (Is a directory)" in sentence(lambda: replace_private(path, b"x"))
    assert names(tmp_path) == ["a"]


def test_a_file_system_without_links_is_said_to_be_the_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert "cannot be written (Operation not permitted)" in sentence(
        lambda: create_private(tmp_path / "a", b"x")
    )
    assert names(tmp_path) == []
