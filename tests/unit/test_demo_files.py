"""Which files the demo takes, in what pieces, and what it says of those it leaves out."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from pathlib import Path

import msgspec
import pytest
from taskmessenger.cli import demo_files
from taskmessenger.cli.demo_files import BATCH_FILES, MAX_FILE, MAX_KEY, File, batches, find, key_of, read
from taskmessenger.config.model import MAX_PAYLOAD, MIB
from taskmessenger.core.errors import UsageError


def a_tree(root: Path, **contents: bytes) -> Path:
    for name, content in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def files_of(*sizes: int) -> list[File]:
    return [File(f"f{number}", Path(f"f{number}"), size) for number, size in enumerate(sizes)]


def test_every_regular_file_is_found_in_order_by_its_path(tmp_path: Path) -> None:
    a_tree(tmp_path, b=b"2", a__deep__c=b"333", a__b=b"")
    found = find(tmp_path)
    assert [(file.name, file.size) for file in found.files] == [("b", 1), ("a/b", 0), ("a/deep/c", 3)]
    assert found.skipped == []


def test_links_and_pipes_are_no_files_to_hash(tmp_path: Path) -> None:
    a_tree(tmp_path, real=b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "around").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert [file.name for file in find(tmp_path).files] == ["real"]


def test_without_a_directory_it_is_the_standard_library_alone() -> None:
    found = find(None)
    assert found.root == Path(sysconfig.get_paths()["stdlib"])
    names = {file.name for file in found.files}
    assert {"hashlib.py", "json/__init__.py"} <= names
    assert not [name for name in names if "site-packages" in name.split("/")]


def test_what_was_installed_later_counts_in_a_directory_that_was_named(tmp_path: Path) -> None:
    a_tree(tmp_path, **{"site-packages__m.py": b"1"})
    assert [file.name for file in find(tmp_path).files] == ["site-packages/m.py"]


def test_a_file_that_fits_into_no_payload_is_skipped_and_named(tmp_path: Path) -> None:
    a_tree(tmp_path, small=b"x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    found = find(tmp_path)
    assert [file.name for file in found.files] == ["small"]
    assert found.skipped == ["large: larger than 64 MiB"]


def test_the_largest_file_makes_a_payload_within_the_limit() -> None:
    header = len(msgspec.msgpack.encode(b"x" * 70_000)) - 70_000
    assert MAX_FILE + header <= MAX_PAYLOAD


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_directory_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    a_tree(tmp_path, file=b"x")
    with pytest.raises(UsageError, match=rf"{name}: cannot be read \(.+\); give another --files") as caught:
        find(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_directory_without_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match="there is no file that could be hashed"):
        find(tmp_path)


def test_more_files_than_can_be_remembered_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tree(tmp_path, a=b"", b=b"", c=b"")
    monkeypatch.setattr(demo_files, "MAX_FILES", 2)
    with pytest.raises(UsageError, match="holds more than 2 files"):
        find(tmp_path)


def test_a_subdirectory_that_may_not_be_read_is_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tree(tmp_path, open__a=b"1", shut__b=b"2")
    scandir = os.scandir

    def guarded(path: os.PathLike[str] | str):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = find(tmp_path)
    assert [file.name for file in found.files] == ["open/a"]
    assert found.skipped == ["shut: permission denied"]


def test_batches_hold_a_mebibyte_at_most_unless_one_file_is_larger() -> None:
    half = MIB // 2
    sizes = [[file.size for file in batch] for batch in batches(files_of(half, half, 1, 3 * MIB, 1))]
    assert sizes == [[half, half], [1], [3 * MIB], [1]]


def test_batches_of_tiny_files_are_bounded_in_number() -> None:
    assert [len(batch) for batch in batches(files_of(*[0] * (BATCH_FILES + 1)))] == [BATCH_FILES, 1]
    assert list(batches([])) == []


def test_a_batch_holds_the_contents_as_payloads_with_their_digests(tmp_path: Path) -> None:
    a_tree(tmp_path, a=b"one", b=b"")
    batch = read(find(tmp_path).files)
    assert batch.names == batch.keys == ["a", "b"]
    assert [msgspec.msgpack.decode(payload) for payload in batch.payloads] == [b"one", b""]
    assert batch.digests == [hashlib.sha256(b"one").digest(), hashlib.sha256(b"").digest()]
    assert batch.sizes == [3, 0]


def test_a_file_that_vanishes_or_grows_before_it_is_read_is_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tree(tmp_path, gone=b"1", grown=b"2", kept=b"3")
    files = find(tmp_path).files
    (tmp_path / "gone").unlink()
    (tmp_path / "grown").write_bytes(b"22222")
    monkeypatch.setattr(demo_files, "MAX_FILE", 4)
    batch = read(files)
    assert batch.names == ["kept"]
    assert batch.skipped == ["gone: no such file or directory", "grown: larger than 64 MiB"]


@pytest.mark.parametrize("name", ["d/" * MAX_KEY, "a\nb", os.fsdecode(b"\xff"), ""])
def test_a_path_that_makes_no_key_is_replaced_by_its_digest(name: str) -> None:
    key = key_of(name)
    assert key.startswith("sha256:")
    assert key != key_of(name + "x")
    assert len(key.encode()) < MAX_KEY


def test_names_with_control_characters_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2Jb"
    path.touch()
    files = find(tmp_path).files
    path.unlink()
    assert read(files).skipped == ["a\\x1b[2Jb: no such file or directory"]
