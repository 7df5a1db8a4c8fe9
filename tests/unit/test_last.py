"""The note beside a database says what was durable: seldom while there is much to say, at last all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskmessenger.store import last as module
from taskmessenger.store.last import Known, Last, is_as_left


def said(folder: Path) -> Known:
    """As the next start reads it."""
    known = Last(folder / "tasks.db").read()
    assert known is not None
    return known


def test_what_was_left_out_while_there_was_much_to_do_is_caught_up_with(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "EVERY", 3_600.0)
    note = Last(tmp_path / "tasks.db")
    note._written = float("-inf")
    note.begin(Known(epoch="ab", start=1))
    note.note(7, 40)
    assert (said(tmp_path).commits, note.behind) == (0, True)
    note.catch_up()
    assert (said(tmp_path).commits, said(tmp_path).highest, note.behind) == (7, 40, False)
    note.end(clean=False)


def test_an_end_says_all_and_how_the_database_was_left(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "EVERY", 3_600.0)
    (tmp_path / "tasks.db").write_bytes(b"rows")
    note = Last(tmp_path / "tasks.db")
    note.begin(Known(epoch="ab", start=1))
    note.note(3, 9)
    note.end(clean=True)
    known = said(tmp_path)
    assert (known.commits, known.highest, known.closed, known.size) == (3, 9, True, 4)
    assert is_as_left(tmp_path / "tasks.db", known)
    (tmp_path / "tasks.db").write_bytes(b"rowz")
    assert not is_as_left(tmp_path / "tasks.db", known)


@pytest.mark.parametrize(("size", "checked"), [(10, True), (11, False)])
def test_a_large_database_is_known_by_its_size_alone(tmp_path, monkeypatch, size, checked) -> None:
    monkeypatch.setattr(module, "CHECKED", 10)
    (tmp_path / "tasks.db").write_bytes(bytes(size))
    note = Last(tmp_path / "tasks.db")
    note.begin(Known(epoch="ab", start=1))
    note.end(clean=True)
    known = said(tmp_path)
    assert (known.size, known.checksum is not None) == (size, checked)
    (tmp_path / "tasks.db").write_bytes(b"x" * size)
    assert is_as_left(tmp_path / "tasks.db", known) is not checked
