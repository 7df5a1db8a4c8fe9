"""What `--help` says: complete, and every line of it that can be typed is one that is understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from taskmessenger.cli.main import cli
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.kinds import NAMES


def commands(group: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command by what is typed for it."""
    yield " ".join(path), group
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            found = group.get_command(click.Context(group), name)
            assert found is not None
            yield from commands(found, (*path, name))


ALL = dict(commands())
LEAVES = sorted(name for name, command in ALL.items() if not isinstance(command, click.Group))


def text(name: str) -> str:
    """What `--help` prints of it."""
    command = ALL[name]
    parents = click.Context(cli, info_name="taskmessenger")
    return command.get_help(click.Context(command, info_name=name, parent=parents))


def examples(name: str) -> list[str]:
    """The lines under `Examples:`."""
    found = re.search(r"Examples?:\n((?: +\S.*\n?)+)", text(name))
    return [line.strip() for line in found[1].splitlines()] if found else []


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_examples_of_itself(name: str) -> None:
    assert examples(name), f"`{name}`: no examples"
    assert any(line.startswith(f"taskmessenger {name}") for line in examples(name))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_example_is_understood(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in examples(name):
        for part in re.split(r" [|<>&] |  \(", line):
            if "taskmessenger" in part:
                understood(cli, shlex.split(part.partition("taskmessenger ")[2]))


def understood(command: click.Command, words: list[str]) -> None:
    """All words are taken, with the values that they have; nothing is carried out."""
    context = command.make_context("taskmessenger", words)
    while isinstance(context.command, click.Group) and context._protected_args:
        rest = [*context._protected_args, *context.args]
        name, found, rest = context.command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, list(rest), parent=context)


def test_the_first_help_says_how_commands_end_and_how_words_are_completed() -> None:
    said = " ".join(text("").split())
    for code in range(8):
        assert re.search(rf"\b{code} \w", said), code
    assert "completion" in said


def test_kinds_and_states_are_named_where_they_are_asked_for() -> None:
    assert all(name in text("submit") for name in NAMES)
    assert all(state.word in text("task ls") for state in TaskState)
