"""Keys that come in one write, and the key that suspends, in a real terminal under a real shell."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.screens.bursts import ALONE_SECONDS

from tests.support.processes import COMMAND, environment
from tests.support.tmux import TMUX, Terminal, terminal

pytestmark = [
    pytest.mark.skipif(TMUX is None, reason="tmux is not installed; the package `tmux` has it"),
    pytest.mark.slow,
    pytest.mark.timeout(240),
]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    """An interactive shell in which the demo has been started."""
    given = environment(tmp_path / "x") | {"TERM": "tmux-256color", "LC_ALL": "C.UTF-8", "PS1": "shell> "}
    with terminal(tmp_path) as window:
        window.start(["bash", "--norc", "-i"], given)
        window.until("shell>")
        window.type(shlex.join([*COMMAND, "--demo"]) + "\n")
        window.until("Overview")
        yield window
        window.keys("Escape")
        window.until(gone=["Esc leaves"])
        window.keys("C-c")
        window.until("shell>")
        window.type("stty -a | grep -c -- -icanon\n")
        window.until("\n0\n")


def test_keys_of_one_write_go_where_the_first_of_them_leads(shell: Terminal) -> None:
    shell.keys("3", "/", *"state:failed", "Enter")
    shell.until("/state:failed  ", "\u2717 failed")
    shell.keys("4", "j", "p", "3", "C-a", "r")  # of another screen, of a row there, and back to this one
    shell.until("Retry all")
    shell.keys("Escape")
    shell.until("paused worker", gone=["Retry all"])
    shell.keys(":", *"console.theme", "Enter")
    shell.until("Theme", "night", "Esc leaves")
    shell.keys("Escape")
    shell.until(gone=["Esc leaves"])
    shell.keys("P", "C-u", "2", "5", "BSpace", "7")
    shell.until("Priority of", " 27 ")
    shell.keys("Escape")
    shell.until(gone=["Esc leaves"])
    shell.keys("j", "Enter", "Escape", "4")  # Escape and a key at its heels are two keys
    shell.until("SLOTS")
    shell.keys("1", "/", *"state:failed", "Enter")  # where / does nothing, what follows was not meant
    shell.until("keys left out")
    assert "listens " in shell.seen()


def test_a_text_that_the_terminal_does_not_call_a_paste_does_nothing(shell: Terminal) -> None:
    shell.keys("3")
    shell.until("SUBMITTED", "match")
    shell.type("please retry what failed here\rand cancel the rest\r" * 200)  # more than one read takes
    shell.until("left out: ")
    shell.until(gone=["left out: "])
    shell.keys("4", "j")
    shell.until("SLOTS")
    shell.type("print all of it, please\rthen retry the rest\r")
    shell.until("keys left out: they came as a text")
    time.sleep(4 * ALONE_SECONDS)  # as a hand does
    shell.keys("M")
    seen = shell.until("Messages")
    assert not any(word in seen for word in ("retried", "cancelled", "paused worker")), seen
    shell.keys("Escape", "4", "p")
    shell.until("paused worker")


def test_the_key_that_suspends_gives_the_shell_back_and_fg_the_screen(shell: Terminal) -> None:
    shell.keys("3")
    shell.until("SUBMITTED")
    shell.keys("C-z")
    seen = shell.until("fg brings it back", "Stopped")
    assert "SUBMITTED" not in seen
    shell.type("bg\n")  # where nothing may be painted
    shell.type("echo still a $((40 + 2)) shell\n")
    shell.until("still a 42 shell")
    shell.type("fg\n")
    shell.until("SUBMITTED", "match")
    shell.keys("2")
    shell.until("WHY IT ENDED", gone=["SUBMITTED"])
    shell.keys("C-z")
    shell.until("fg brings it back", gone=["WHY IT ENDED"])
    shell.type("fg\n")
    shell.until("WHY IT ENDED")
