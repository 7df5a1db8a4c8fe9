"""Texts that are edited in a program of the operator's own: nothing is lost, whatever that program does."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.screens import editor as e

BEFORE = '{"a": 1}'


class Console:
    """Stands for a console that lends its terminal."""

    def __init__(self, drafts: Path) -> None:
        self.drafts, self.lent = drafts, 0

    @contextmanager
    def terminal_lent(self) -> Iterator[None]:
        self.lent += 1
        yield
        self.lent += 1


@pytest.fixture
def console(tmp_path: Path) -> Any:
    return Console(tmp_path / "drafts")


@pytest.fixture
def edits(console: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Edits BEFORE with an editor that runs these lines of a shell; `$1` is the file."""
    monkeypatch.setattr(e, "LOOK_SECONDS", 0.001)
    program = tmp_path / "my editor"

    def edit(script: str, name: str = "task 7") -> Any:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setenv("VISUAL", f"'{program}'")
        return anyio.run(e.edit, console, BEFORE, name)

    return edit


def left(console: Any) -> list[str]:
    return [path.read_text().strip() for path in sorted(console.drafts.glob("*"))]


def test_what_was_written_comes_back_and_is_kept_until_it_is_put_to_use(console: Any, edits: Any) -> None:
    draft = edits('echo "[2]" > "$1"')
    assert draft.text.strip() == "[2]"
    assert console.lent == 2
    assert left(console) == ["[2]"]
    (file,) = console.drafts.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.suffix == ".json"


@pytest.mark.parametrize("script", ["true", 'echo >> "$1"', ': > "$1"', 'printf " \\n" > "$1"'])
def test_a_text_that_stays_as_it_was_or_is_emptied_is_no_edit(console: Any, edits: Any, script: str) -> None:
    assert edits(script) is None
    assert not console.drafts.exists(), "the folder goes with the last of what was in it"
    edits('echo "[2]" > "$1"').used()
    assert not console.drafts.exists()


@pytest.mark.parametrize(("end", "how"), [("exit 3", "ended with 3"), ("kill -9 $$", "was ended by SIGKILL")])
def test_an_editor_that_fails_saves_nothing_and_loses_nothing(
    console: Any, edits: Any, end: str, how: str
) -> None:
    with pytest.raises(UsageError, match=f"my editor {how}: nothing was done$"):
        edits(end)
    assert left(console) == []
    with pytest.raises(UsageError, match=f"my editor {how}: nothing was done; what was saved is kept in "):
        edits(f'echo "[3]" > "$1"; {end}')
    assert left(console) == ["[3]"]


def test_a_draft_is_gone_on_with(console: Any, edits: Any) -> None:
    edits('echo "[1]" > "$1"')
    draft = edits('sed -i s/1/2/ "$1"')
    assert draft.text.strip() == "[2]"
    assert edits('echo "[9]" > "$1"', "task 8").text.strip() == "[9]"
    assert left(console) == ["[2]", "[9]"]


def test_what_is_too_large_or_no_text_is_refused_and_kept(
    console: Any, edits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e, "MAX_EDITED", 20)
    assert edits('printf "%020d" 1 > "$1"').text == "1".zfill(20)
    with pytest.raises(UsageError, match=r"is larger than .* MiB; what was saved is kept in"):
        edits('printf "%021d" 1 > "$1"')
    with pytest.raises(UsageError, match="is no UTF-8; what was saved is kept in"):
        edits('printf "\\377" > "$1"')
    assert len([*console.drafts.iterdir()]) == 1


def test_a_text_that_is_taken_away_is_an_error_and_no_edit(edits: Any) -> None:
    with pytest.raises(UsageError, match=r"cannot be read .*: nothing was done"):
        edits('rm "$1"')


def test_only_so_many_drafts_are_kept_and_the_oldest_leaves(
    console: Any, edits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e, "MAX_DRAFTS", 3)
    for number in range(5):
        edits(f'echo "[{number}]" > "$1"', f"task {number}")
        for path in console.drafts.iterdir():
            seconds = int(path.stem.rpartition("-")[2])
            os.utime(path, (seconds, seconds))
    assert left(console) == ["[2]", "[3]", "[4]"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (" ", "EDITOR is blank"),
        ("'x", "EDITOR is `'x`"),
        ("/no/such/editor", "/no/such/editor: cannot be started .*; set EDITOR to an editor"),
    ],
)
def test_without_an_editor_it_is_said_how_to_have_one(
    console: Any, monkeypatch: pytest.MonkeyPatch, command: str, why: str
) -> None:
    monkeypatch.setenv("VISUAL", command)
    with pytest.raises(UsageError, match=why):
        anyio.run(e.edit, console, BEFORE, "x")
    assert not console.drafts.exists() or left(console) == []


def test_who_is_cancelled_while_a_text_is_edited_is_told_where_it_is(
    console: Any, edits: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        editing = asyncio.create_task(e.edit(console, BEFORE, "x"))
        while not (console.drafts.exists() and left(console) == ["[4]"]):
            await asyncio.sleep(0.001)
        editing.cancel()
        await asyncio.wait([editing])
        assert editing.cancelled()

    with pytest.raises(UsageError):
        edits('rm "$1"')
    program = Path(os.environ["VISUAL"].strip("'"))
    program.write_text('#!/bin/sh\necho "[4]" > "$1"; exec sleep 100\n')
    anyio.run(main)
    assert left(console) == ["[4]"]
    assert "the console has ended while a text was edited: it is kept in" in caplog.text
