"""Files of an operator's console, as other programs and other users may have left them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from taskmessenger.paths import under
from taskmessenger.screens.prefs import Prefs

KEYS = '{"task.cancel": "x"}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = under(tmp_path).config / "console" / "keymap.json"
    found.parent.mkdir(parents=True)
    return found


def read(home: Path) -> tuple[dict[str, str], list[str]]:
    """The keymap, and what is said of it."""
    prefs = Prefs(under(home))
    return prefs.keymap(), prefs.complaints


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_keymap_is_read_in_the_encoding_that_its_mark_names(
    tmp_path: Path, file: Path, encoding: str
) -> None:
    file.write_bytes(KEYS.encode(encoding))
    assert read(tmp_path) == ({"task.cancel": "x"}, [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"task.cancel": "\xe9"}', "is not UTF-8 (byte 0xe9 in line 1; is it Latin-1?): save it as UTF-8"),
        (KEYS.encode("utf-16-be"), "looks like UTF-16 or UTF-32 without a byte order mark: save it as UTF-8"),
        (b"{", "truncated"),
    ],
)
def test_a_keymap_that_cannot_be_read_is_named_and_the_console_opens(
    tmp_path: Path, file: Path, data: bytes, said: str
) -> None:
    file.write_bytes(data)
    keys, (complaint,) = read(tmp_path)
    assert keys == {}
    assert complaint.startswith(f"{file}: ")
    assert said in complaint


def test_a_keymap_that_others_may_change_is_not_used(tmp_path: Path, file: Path) -> None:
    file.write_text(KEYS)
    file.chmod(0o660)
    assert read(tmp_path) == ({}, [f"{file}: its group may write it: run `chmod go-w {file}`"])


def test_a_keymap_that_is_a_pipe_keeps_nobody_waiting(tmp_path: Path, file: Path) -> None:
    os.mkfifo(file, 0o600)
    assert read(tmp_path)[0] == {}
