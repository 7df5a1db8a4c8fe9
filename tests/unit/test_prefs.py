"""Files of an operator's console, as other programs and other users may have left them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from taskmessenger.paths import under
from taskmessenger.screens.prefs import NIGHT, Prefs, SavedView

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


def test_what_is_kept_is_there_the_next_time_and_private(tmp_path: Path) -> None:
    Prefs(under(tmp_path)).keep(theme="paper", bell=False)
    again = Prefs(under(tmp_path))
    assert (again.kept.theme, again.kept.bell, again.kept.times) == ("paper", False, "local")
    (file,) = (under(tmp_path).state / "tm-console").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("console.json", 0o600)
    assert again.complaints == []


def test_without_a_place_nothing_is_written_and_nothing_fails() -> None:
    prefs = Prefs()
    prefs.keep(bell=False)
    assert (prefs.kept.bell, prefs.keymap(), prefs.drafts) == (False, {}, None)


def test_what_cannot_be_kept_is_a_complaint(tmp_path: Path) -> None:
    prefs = Prefs(under(tmp_path))
    (under(tmp_path).state / "tm-console").mkdir(parents=True, mode=0o700)
    (under(tmp_path).state / "tm-console" / "console.json").mkdir()
    prefs.keep(bell=False)
    (complaint,) = prefs.complaints
    assert "console.json: cannot be written (" in complaint
    assert not prefs.kept.bell


def test_the_oldest_saved_view_leaves_and_one_saved_again_is_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmessenger.screens.prefs.MAX_VIEWS", 3)
    prefs = Prefs(under(tmp_path))
    for name in ("a", "b", "a", "c", "d"):
        prefs.save_view("tasks", name, SavedView(filter=name))
    prefs.save_view("workers", "x", SavedView())
    kept = Prefs(under(tmp_path)).kept.views
    assert [*kept["tasks"]] == ["a", "c", "d"]
    assert [*kept["workers"]] == ["x"]


def test_themes_have_the_names_of_their_files_and_one_that_is_none_is_a_complaint(tmp_path: Path) -> None:
    folder = under(tmp_path).config / "console" / "themes"
    folder.mkdir(parents=True)
    for name, text in (
        ("mine", '{"primary": "#88c0d0"}'),
        ("bad", '{"primary": "no colour"}'),
        ("odd", '{"x": 1}'),
    ):
        (folder / f"{name}.json").write_text(text)
    prefs = Prefs(under(tmp_path))
    names = [theme.name for theme in prefs.themes()]
    assert names[-1] == "mine"
    assert NIGHT in names
    assert [complaint.partition(":")[0] for complaint in prefs.complaints] == [
        str(folder / "bad.json"), str(folder / "odd.json"),
    ]  # fmt: skip
