"""Every block of code in the documents does what it says when a reader pastes it.

A block says its language. `sh` is pasted whole into an interactive bash on the machine that its first line
names in a comment: the manager's, a worker's, or a fresh one, each with a home of its own. `python` runs as
the kind that it is; `json` is read by what it is for, as the word behind the language says. What stands in
the list below is not run here, each for its reason.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from taskmessenger.cli.main import cli
from taskmessenger.config.load import load
from taskmessenger.paths import under
from taskmessenger.screens import views
from taskmessenger.screens.commands import Registry, all_commands, found_in
from taskmessenger.screens.prefs import Prefs
from taskmessenger.screens.view import View

from tests.support.sources import ROOT
from tests.support.terminal import Terminal

NOT_HERE = {
    "make demo": "takes minutes, and is tests/e2e/test_demo.py",
    "pip install .": "needs a network; the wheel is looked into by tests/integration/test_wheel.py",
    "make check": "runs this very test",
    "make bench": "takes minutes; tests/e2e/test_bench.py measures a little of each",
    "make faults": "takes hours; its programme is tests/faults",
    "taskmessenger zerotier install": "speaks to ZeroTier's roots; tests/zerotier do it in namespaces",
}
"""First command of a block to why it is not pasted here."""
MANAGER, WORKER, FRESH = "on the manager's machine", "on each worker's machine", "where no manager runs"
PLACES = (MANAGER, WORKER, FRESH)
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *(ROOT / "docs").rglob("*.md"),
]
BOUND = 60.0
FENCE = re.compile(r"^```(?P<words>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"\n\n {4}(?![ *+-]|\d+\.)\S")
INVITE = re.compile(r"tm1-[0-9A-Za-z-]+")


@dataclass(frozen=True)
class Block:
    """One block of one document."""

    document: Path
    language: str
    what: str
    """What it is for, as `keymap`."""
    text: str

    @property
    def lines(self) -> list[str]:
        """What is typed: without comments on lines of their own."""
        return [line for line in self.text.splitlines() if line.strip() and not line.startswith("#")]

    @property
    def place(self) -> str:
        """Where it is typed, as its first line says."""
        first = self.text.splitlines()[0]
        return first.removeprefix("# ").removesuffix(" again") if first.startswith("#") else ""

    @property
    def runs(self) -> bool:
        """Whether it is pasted here."""
        return self.language == "sh" and not any(self.lines[0].startswith(one) for one in NOT_HERE)


def blocks(document: Path) -> list[Block]:
    """All of them, in their order."""
    text = document.read_text(encoding="utf-8")
    assert not INDENTED.search(text), f"{document}: a block without a language: put it between ```"
    found = []
    for match in FENCE.finditer(text):
        language, _, what = match["words"].strip().partition(" ")
        found.append(Block(document, language, what, match["text"]))
    assert text.count("```") == 2 * len(found), (
        f"{document}: a block that is not closed, or not at the margin"
    )
    return found


ALL = [block for document in DOCUMENTS for block in blocks(document)]


class Machine:
    """An interactive bash with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        shutil.copy2(ROOT / "README.md", home)
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        self.environment = {
            "PATH": path, "HOME": str(home), "TASKMESSENGER_HOME": str(home / "tm"), "LANG": "C.UTF-8",
            "PS1": "$ ", "PROMPT_COMMAND": 'was=$?; [ $was = 0 ] || echo "[ended with $was]"',
        }  # fmt: skip
        self.terminal = Terminal(
            ["bash", "-c", f"cd {shlex.quote(str(home))} && exec bash --norc --noprofile -i"],
            self.environment,
            (200, 50),
        )
        self._pasted = 0

    def paste(self, text: str) -> str:
        """All of it at once, as from a clipboard; what it printed until the shell had done it."""
        start = len(self.terminal.raw)
        self._pasted += 1
        done = 1_000 + self._pasted
        self.terminal.press(f'{text.rstrip()}\necho "done-$(({done - 1} + 1))"\n')
        self.terminal.until(f"done-{done}", since=start, within=BOUND)
        return self.terminal.words(start)

    def end(self) -> None:
        """What runs in it is ended, and then the shell itself."""
        self.terminal.press("\x03")
        self.terminal.press("\nkill $(jobs -p); wait; exit\n")
        with suppress(AssertionError):
            self.terminal.until(lambda: self.terminal.popen.poll() is not None, within=10.0)
        self.terminal.__exit__(None, None, None)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """The machine that a block names: the same for the same words."""
    known: dict[str, Machine] = {}

    def named(place: str) -> Machine:
        if place not in known:
            known[place] = Machine(tmp_path / f"m{len(known)}")
        return known[place]

    yield named
    for machine in reversed(known.values()):
        machine.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_says_its_language_and_where_it_is_typed(document: Path) -> None:
    for block in blocks(document):
        assert block.language in {"sh", "json", "python"}, f"{document}: ```{block.language}"
        if block.language != "sh":
            assert block.what, f"{document}: say what the {block.language} is for"
        elif block.runs:
            assert block.place in PLACES, (
                f"{document}: `{block.lines[0]}`: say on which machine, in a comment"
            )


def test_what_is_not_pasted_here_is_in_the_documents() -> None:
    firsts = [block.lines[0] for block in ALL if block.language == "sh"]
    assert not [one for one in NOT_HERE if not any(first.startswith(one) for first in firsts)]


def test_the_blocks_of_a_document_work_when_they_are_pasted_one_after_the_other(
    machines: Callable[[str], Machine],
) -> None:
    local = f"tcp://127.0.0.1:{free_port()}"
    for kind in (block for block in ALL if block.language == "python"):
        worker = machines(WORKER)
        folder = under(worker.home / "tm").kinds
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / kind.what).write_text(kind.text)
    invite, said = "", ""
    for block in (block for block in ALL if block.runs):
        machine, text = machines(block.place), block.text.replace("tcp://0.0.0.0:7711", local)
        if "--join -" in text:  # it goes on in the foreground
            machine.terminal.press(text)
            machine.terminal.until("Paste invite", within=BOUND)
            machine.terminal.press(f"{invite}\n")
            machine.terminal.until("connected to", within=BOUND)
            continue
        if block.place == FRESH:
            shutil.copy2(machines(MANAGER).home / "tasks.tar", machine.home)
        printed = machine.paste(text)
        assert "[ended with" not in printed, printed
        assert "error:" not in printed, printed
        said += printed
        if found := INVITE.search(printed):
            invite = found.group()
    assert "olleh" in said
    assert "restored: 2 tasks" in said
    for kind in (block for block in ALL if block.language == "python"):
        name = kind.what.removesuffix(".py")
        example = json.dumps(ast.literal_eval(re.search(r"^EXAMPLE = (.*)$", kind.text, re.MULTILINE)[1]))
        printed = machines(MANAGER).paste(f"taskmessenger submit {name} --json-payload '{example}' --wait")
        assert "[ended with" not in printed, printed


@pytest.mark.parametrize("block", [one for one in ALL if one.language == "json"], ids=lambda one: one.what)
def test_a_block_of_settings_is_accepted(block: Block, tmp_path: Path) -> None:
    places = under(tmp_path)
    if block.what in {"manager", "worker"}:
        file = tmp_path / "settings.json"
        file.write_text(block.text)
        assert load(block.what, {}, {}, places, file=file).found  # type: ignore[call-overload]
        return
    folder = places.config / "console"
    (folder / "themes").mkdir(parents=True)
    file = {"keymap": folder / "keymap.json", "theme": folder / "themes" / "mine.json"}[block.what]
    file.write_text(block.text)
    prefs = Prefs(places)
    registry = Registry(all_commands(found_in(views, View)), prefs.keymap())
    assert {"night", "day"} < {theme.name for theme in prefs.themes()} or block.what == "keymap"
    assert [*prefs.complaints, *registry.complaints] == []


def test_every_command_line_in_the_documents_is_one_that_the_program_knows() -> None:
    inline = re.compile(r"(?<!`)`(taskmessenger(?: [^`]*)?)`(?!`)")
    wrong = []
    for document in DOCUMENTS:
        text = FENCE.sub("", document.read_text(encoding="utf-8"))
        lines = [" ".join(one.split()) for one in inline.findall(text)]
        lines += [line for block in blocks(document) if block.language == "sh" for line in block.lines]
        wrong += [f"{document.name}: {line}" for line in lines if not is_known(line)]
    assert not wrong, "\n".join(wrong)


def is_known(line: str) -> bool:
    """Whether each word of it that is a command or an option is there."""
    words = shlex.split(line, comments=True)
    if not words or Path(words[0]).name != "taskmessenger":
        return True
    command: click.Command = cli
    value = False
    for word in words[1:]:
        if value:
            value = False
        elif word.startswith("--") and word != "--help":
            known = {name: option for option in command.params for name in option.opts}
            option = known.get(word.partition("=")[0])
            if not isinstance(option, click.Option):
                return False
            value = not option.is_flag and "=" not in word
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z]+", word):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return False
            command = found
    return True
