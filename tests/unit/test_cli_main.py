"""The command itself: what it prints when words make no sense, or no manager is there; and what it loads."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from taskmessenger.cli import connect
from taskmessenger.cli import main as m
from taskmessenger.core.errors import Conflict

NO_TEXT = "caf\udce9"
"""As Python has the bytes of Latin-1."""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command; exit code, standard output, standard error. No manager is just starting."""
    monkeypatch.setattr(connect, "GRACE", 0.0)

    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["taskmessenger", *words])
        with pytest.raises(SystemExit) as ended:
            m.main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int | None)
        return code or 0, said.out, said.err

    return typed


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("sumbit", "did you mean `submit`?"),
        ("nothing-like-it", "see `taskmessenger --help`"),
        ("task lss", "Did you mean 'ls'?"),
        ("submit", "Missing argument 'KIND'. (see `taskmessenger submit --help`)"),
        ("submit echo --json-payload {1}", "line 1, column 2"),
        ("submit echo --json-payload 18446744073709551616", "an int of 65 bits"),
        ("submit echo --payload-file /nonexistent", "/nonexistent cannot be read"),
        ("submit echo --timeout soon", "is not a duration"),
        ("submit echo --priority 101", "-100<=x<=100"),
        ("submit echo --count 0", "1<=x<=1000000"),
        ("task show abc", "is not the id of a task"),
        ("task cancel", "either ids, or --filter"),
        ("task ls --state done", "no state is called `done`; states are scheduled, "),
        ("task ls --limit 0", "--limit"),
        ("invite --ttl 15x", "is not a duration"),
        ("invite --uses 0", "1<=x<=10000"),
        ("invite --role king", "'worker', 'client', 'operator'"),
        ("worker drain w --deadline x", "is not a duration"),
        ("worker revoke w", "--yes"),
        ("join - --invite-file x", "not both"),
        ("--role worker", "--no-ui"),
        ("--role king", "'manager', 'worker'"),
        ("--role manager --no-ui --join -", "--join is for a worker"),
        ("--role worker --no-ui --listen tcp://127.0.0.1:0", "--listen is for a manager"),
    ],
)
def test_words_that_make_no_sense_end_with_one_line_and_code_2(run: Run, words: str, why: str) -> None:
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert why in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "task ls",
        "task result 1",
        "task cancel 1",
        "submit echo x --wait",
        "invite",
        "invite ls",
        "invite revoke X",
        "worker ls",
        "worker revoke w --yes",
        "pool status",
        "pool pause",
    ],
)
def test_without_a_manager_every_command_says_how_to_start_one(run: Run, words: str) -> None:
    code, out, err = run(*words.split())
    assert (code, out) == (5, "")
    assert err == (
        "error: no manager of yours runs here: start one with `taskmessenger --role manager --no-ui`, "
        "or join one elsewhere with `taskmessenger join`\n"
    )


def test_the_command_alone_says_what_to_type(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "taskmessenger submit reverse hello --wait" in out


@pytest.mark.parametrize("name", [name for name in m.COMMANDS if name != "demo"])
def test_every_command_has_help_with_examples(name: str) -> None:
    # A process of its own: click remembers in a command how it was first asked for help.
    command = [sys.executable, "-m", "taskmessenger", name, "-h"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stderr == ""
    assert "Examples:\n    taskmessenger " in done.stdout


@pytest.mark.parametrize("group", ["task", "worker", "pool"])
def test_a_group_alone_shows_its_help(run: Run, group: str) -> None:
    code, out, err = run(group)
    assert code == 2
    assert f"Usage: taskmessenger {group} " in out + err


def test_text_that_was_typed_is_escaped_in_the_error(run: Run) -> None:
    _, _, err = run("\x1b[31mred")
    assert "\x1b" not in err
    assert "\\x1b[31mred" in err


def test_an_error_among_the_tasks_of_a_role_is_one_line_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> None:
        raise ExceptionGroup("", [ExceptionGroup("", [Conflict("it is in use")])])

    monkeypatch.setattr("taskmessenger.cli.role.start", start)
    assert run("--role", "manager", "--no-ui") == (7, "", "error: it is in use\n")


def test_an_interrupt_is_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise click.Abort

    monkeypatch.setattr(m, "cli", interrupted)
    assert run() == (130, "", "error: interrupted\n")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ExceptionGroup("", [ValueError("a bug")])

    monkeypatch.setattr(m, "cli", broken)
    with pytest.raises(ValueError, match="a bug"):
        m.main()


def test_what_an_output_cannot_show_is_escaped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(m, "WHAT_TO_TYPE", "é…")
    assert run()[0] == 0
    narrow.flush()
    assert narrow.buffer.getvalue() == b"\xe9\\u2026\n"  # type: ignore[attr-defined]


def commands_with_words() -> Iterator[tuple[str, ...]]:
    """Every option and argument of every command that is not a number, a choice or a file, with no UTF-8."""
    todo: list[tuple[tuple[str, ...], click.Command]] = [((), m.cli)]
    while todo:
        words, command = todo.pop()
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            for name in command.list_commands(ctx):
                below = command.get_command(ctx, name)
                assert below is not None
                todo.append(((*words, name), below))
        rest = [NO_TEXT for one in command.params if isinstance(one, click.Argument) and one.required]
        for param in command.params:
            if isinstance(param.type, click.Path) or getattr(param, "is_flag", False):
                continue
            if isinstance(param, click.Option):
                yield (*words, param.opts[0], NO_TEXT, *rest)
            else:
                yield (*words, *rest) if param.required else (*words, NO_TEXT)


@pytest.mark.parametrize("words", list(commands_with_words()), ids=lambda words: " ".join(words[:-1]))
def test_a_word_that_is_no_text_is_refused_in_one_line_wherever_it_is_typed(
    run: Run, words: tuple[str, ...]
) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    err.encode()


@pytest.mark.parametrize("words", ["--version", "--help", "task --help", "submit --help"])
def test_asking_for_help_loads_no_network_and_no_database(words: str) -> None:
    probe = (
        "import sys\n"
        "from taskmessenger.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'apsw', 'cryptography', 'ssl', 'psutil'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe, *words.split()], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["/a/b", b"/a/b"])
def test_a_place_that_nobody_had_better_words_for_is_named(name: str | bytes) -> None:
    said = m._about_file(PermissionError(13, "Permission denied", name))
    assert said == "/a/b: Permission denied: see who owns it, or use another place"


def test_an_error_of_the_system_about_no_place_is_a_bug_and_is_not_hidden() -> None:
    with pytest.raises(OSError, match="it broke"):
        m._about_file(OSError(5, "it broke"))
