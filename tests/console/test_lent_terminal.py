"""A terminal that belongs to another program, sends what it likes, or is lost: the console comes back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from taskmessenger.paths import under

from tests.support.console import opened, press
from tests.support.processes import COMMAND, Fleet, environment, fleet, until
from tests.support.terminal import Terminal, catches, streams_of

pytestmark = pytest.mark.slow

BUSY = """
import taskmessenger.screens.frame as frame
frame.BEAT = 0.02
from taskmessenger.cli.main import main
main()
"""
"""A console that paints fifty times a second: of what happens in a minute, all happens in a moment."""
EDITOR = """#!/bin/sh
echo "EDITING $1"
rm -f "$PLACE/go"
while [ ! -e "$PLACE/go" ]; do sleep 0.05; done
. "$PLACE/go"
"""
HOSTILE = (
    b"\xff\xfe",
    b"\xe9",
    b"\x1b[M \xc8\x30",
    b"\x1b[M \xc8\x90",
    b"\x1b[M\x1b\x1b\x1b",
    b"\x1b[99999999999;1u",
    b"\x1b[?62;c",
    b"\x1b[<99999999999999;1;1M",
    b"\x00" * 5_000,
    b"\x1b]11;rgb:00\x07",
    b"\x1b[" + b"9;" * 1_000 + b"m",
    b"\x1b[200~" + b"paste \xff\n" * 150_000 + b"\x1b[201~",
    b"\x1b[<35;1",
    b"\x1b[200~never ended",
)
FEW = tuple(data for data in HOSTILE if len(data) < 1_000)
"""Of them, those that are taken at once."""


class Editing:
    """A terminal and an editor that does what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "x"
        self.editor = folder / "an editor"
        self.editor.write_text(EDITOR)
        self.editor.chmod(0o755)
        self.environment = environment(self.home) | {
            "EDITOR": f"sh '{self.editor}'", "VISUAL": "", "PLACE": str(folder),
        }  # fmt: skip

    def go(self, script: str) -> None:
        """Let the editor do this, and end."""
        draft = self.folder / "written"
        draft.write_text(script)
        draft.rename(self.folder / "go")

    def drafts(self) -> list[Path]:
        return sorted((under(self.home).state / "tm-console" / "drafts").glob("*"))


@pytest.fixture
def editing(tmp_path: Path) -> Editing:
    return Editing(tmp_path)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "f") as one:
        yield one


def opens(terminal: Terminal, key: str = "e") -> int:
    """Open the editor; how much had been written when it was there."""
    start = len(terminal.raw)
    terminal.press(key)
    terminal.until("EDITING", since=start)
    assert terminal.is_restored()
    terminal.read(0.2)
    return len(terminal.raw)


def test_an_editor_has_the_terminal_to_itself_for_as_long_as_it_likes(editing: Editing) -> None:
    with Terminal([sys.executable, "-W", "error", "-c", BUSY, "--demo"], editing.environment) as terminal:
        terminal.until("Overview")
        terminal.press("3/state:failed\r")
        terminal.until("/state:failed")
        terminal.press("j")
        start = opens(terminal)
        terminal.resize(110, 35)
        assert terminal.read(1.5) == b""  # 75 paints: a queue of Textual's takes 30
        assert terminal.popen.poll() is None
        editing.go('printf \'"edited"\' > "$1"')
        terminal.until("again with the edited payload", since=start)
        start = len(terminal.raw)
        terminal.press("\r")  # five minutes of work are not lost by a reflex
        terminal.until("edited and started again", since=start)
        assert not editing.drafts()
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_console_ends_the_editor_too_and_what_was_written_is_kept(
    editing: Editing, number: signal.Signals
) -> None:
    with Terminal([*COMMAND, "--demo"], editing.environment) as terminal:
        terminal.until("Overview")
        terminal.press("3/state:failed\r")
        terminal.until("/state:failed")
        terminal.press("j")
        opens(terminal)
        (editor,) = psutil.Process(terminal.popen.pid).children()
        (draft,) = editing.drafts()
        draft.write_text('"five minutes of work"')
        terminal.signal(signal.SIGQUIT)  # what the keys of a terminal send is the editor's affair
        terminal.signal(signal.SIGINT)
        assert terminal.read(0.3) == b""
        assert editor.is_running()
        start = len(terminal.raw)
        terminal.signal(number)
        assert terminal.ended() == 128 + number
        until(lambda: not editor.is_running())
        assert draft.read_text() == '"five minutes of work"'
        assert "it is kept in" in terminal.words(start)
        assert terminal.is_restored()


FAILING = {
    "exit 3": "ended with 3: nothing was done",
    "kill -9 $$": "was ended by SIGKILL: nothing was done",
    "true": "the payload was not changed",
    ': > "$1"': "the payload was not changed",
    "printf 'no JSON' > \"$1\"": "that is no JSON",
    "printf '\\377\\377' > \"$1\"": "is no UTF-8",
    'head -c 17000000 /dev/zero > "$1"': "is larger than 16 MiB",
    "stty raw -echo; exit 4": "ended with 4",
}


def test_an_editor_that_fails_is_told_and_nothing_that_was_written_is_lost(editing: Editing) -> None:
    with Terminal([*COMMAND, "--demo"], editing.environment, (200, 40)) as terminal:
        terminal.until("Overview")
        terminal.press("3/state:failed\r")
        terminal.until("/state:failed")
        terminal.press("j")
        for script, told in FAILING.items():
            start = opens(terminal)
            editing.go(script)
            terminal.until(told, since=start)
            for draft in editing.drafts():  # what was written is there, where only its writer can read it
                assert draft.stat().st_mode & 0o777 == 0o600
                assert "kept in" in terminal.words(start)
                draft.unlink()
        start = opens(terminal)
        terminal.press("\x03")  # ^c is the editor's own affair
        terminal.until("was ended by SIGINT", since=start)
        start = opens(terminal)
        editing.go('printf \'"kept"\' > "$1"; exit 1')
        terminal.until("kept in", since=start)
        start = opens(terminal)
        terminal.until("going on with", since=0)
        editing.go("true")
        terminal.until("again with the edited payload", since=start)
        start = len(terminal.raw)
        terminal.press("n")
        terminal.until("kept in", since=start)
        (draft,) = editing.drafts()
        assert draft.read_bytes() == b'"kept"'

        editing.editor.unlink()
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_restored()


@pytest.mark.parametrize("editor", [" ", "no-such-editor --wait", "'unclosed"])
async def test_an_editor_that_cannot_be_started_is_told_with_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, editor: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    async with opened(view="tasks") as (pilot, console, _node):
        await press(pilot, "end", "e")
        assert "EDITOR" in console.told[-1][2]


def test_an_editor_that_cannot_be_started_leaves_the_console_as_it_was(editing: Editing) -> None:
    given = editing.environment | {"EDITOR": "no-such-editor --wait"}
    with Terminal([*COMMAND, "--demo"], given) as terminal:
        terminal.until("Overview")
        terminal.press("3/state:failed\r")
        terminal.until("/state:failed")
        terminal.press("j")
        start = len(terminal.raw)
        terminal.press("e")
        terminal.until("EDITOR", since=start)
        assert not editing.drafts()
        start = len(terminal.raw)
        terminal.press("4")
        terminal.until("SLOTS", since=start)
        terminal.press("q")
        assert terminal.ended() == 0


def test_a_manager_goes_on_while_its_operator_edits_and_the_text_outlives_the_terminal(
    running: Fleet, editing: Editing
) -> None:
    given = editing.environment | environment(running.home)
    words = ["--role", "manager", "--listen", "tcp://127.0.0.1:0"]
    editing.home = running.home
    with Terminal([*COMMAND, *words], given) as terminal:
        terminal.until("Overview")
        assert running.run("submit", "echo", "hello").returncode == 0
        assert running.run("task", "cancel", "1").returncode == 0
        terminal.press("3")
        terminal.until("cancelled")
        opens(terminal)
        assert running.run("submit", "echo", "meanwhile").returncode == 0
        (draft,) = editing.drafts()
        draft.write_text('"changed"')
        terminal.hang_up()
        until(lambda: streams_of(terminal.popen.pid) == {os.devnull})
        until(lambda: catches(terminal.popen.pid, signal.SIGTERM))
        assert running.answers()
        assert draft.read_text() == '"changed"'
        terminal.signal(signal.SIGTERM)
        assert terminal.popen.wait(30) == 0


def test_whatever_bytes_a_terminal_sends_the_console_goes_on_and_no_key_is_made_of_them(
    editing: Editing,
) -> None:
    with Terminal([*COMMAND, "--demo"], editing.environment) as terminal:
        terminal.until("Overview")
        terminal.press("3")
        terminal.until("match")
        _survives(terminal, HOSTILE, "4", "SLOTS", 0.3)
        terminal.press("q")
        assert terminal.ended() == 0
        assert not (under(editing.home).state / "console-failure.txt").exists()


def test_so_does_one_of_a_real_manager_its_recording_and_that_of_a_worker(running: Fleet) -> None:
    given, recording = environment(running.home), running.root / "seen.tmrec"
    running.manager()
    with Terminal([*COMMAND, "--attach", "--record", str(recording)], given) as terminal:
        terminal.until("Overview")
        _survives(terminal, FEW, "4", "SLOTS")
        terminal.press("q")
        assert terminal.ended() == 0
    with Terminal([*COMMAND, "replay", str(recording)], given) as terminal:
        terminal.until("REPLAY")
        _survives(terminal, FEW, "4", "SLOTS")
        terminal.press("q")
        assert terminal.ended() == 0
    invite = running.root / "invite"
    invite.write_text(running.invite())
    invite.chmod(0o600)
    home = running.worker_home("fern")
    words = ["--role", "worker", "--name", "fern", "--join-file", str(invite)]
    with Terminal([*COMMAND, *words], environment(home)) as terminal:
        terminal.until("This worker")
        _survives(terminal, FEW, "3", "LEVEL")
        terminal.signal(signal.SIGTERM)
        assert terminal.ended() == 0
    for one in (running.home, home):
        assert not (under(one).state / "console-failure.txt").exists()


def _survives(
    terminal: Terminal, hostile: Sequence[bytes], key: str, shows: str, seconds: float = 0.03
) -> None:
    """Hostile bytes; then this key still opens its screen."""
    for data in hostile:
        terminal.press_bytes(data)
        terminal.read(seconds)
        assert terminal.popen.poll() is None, data[:40]
    start = len(terminal.raw)

    def answers() -> bool:
        terminal.press(key)
        terminal.read(0.5)
        return shows in terminal.words(start)

    terminal.until(answers)  # a paste that never ended ends by itself


def test_a_lost_terminal_costs_no_processor(running: Fleet) -> None:
    with Terminal(
        [*COMMAND, "--role", "manager", "--listen", "tcp://127.0.0.1:0"], environment(running.home)
    ) as terminal:
        terminal.until("Overview")
        process = psutil.Process(terminal.popen.pid)
        terminal.hang_up()
        until(lambda: streams_of(process.pid) == {os.devnull})
        until(lambda: catches(process.pid, signal.SIGTERM))
        before = sum(process.cpu_times()[:2])
        try:
            process.wait(2.0)
        except psutil.TimeoutExpired:
            assert sum(process.cpu_times()[:2]) - before < 1.0  # who spins takes all there is
        assert running.answers()
        terminal.signal(signal.SIGTERM)
        assert terminal.popen.wait(30) == 0
