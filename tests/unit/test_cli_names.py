"""A name that is empty is none: a variable of a shell that was not set means neither all nor nobody."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from taskmessenger.cli.main import cli
from taskmessenger.cli.options import NAME

CONTENT = {
    "payload", "json_payload",  # an empty text is a payload too
    "invite", "tasks", "host",  # read further on: `-`, a number or `none`, an address
}  # fmt: skip
"""Parameters that are no names."""


def every(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    """All parameters of all commands, with the words that lead there."""
    for parameter in command.params:
        yield words, parameter
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every(found, (*words, name))


ALL = list(every(cli))


def test_every_text_that_a_command_takes_is_a_name_or_known_to_be_none() -> None:
    plain = {one.name for _, one in ALL if isinstance(one.type, click.types.StringParamType)}
    flags = {one.name for _, one in ALL if getattr(one, "is_flag", False)}
    assert plain - flags == CONTENT


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_name_is_a_usage_error_in_every_command(empty: str) -> None:
    named = [(words, one) for words, one in ALL if one.type is NAME]
    assert len(named) > 20
    for words, one in named:
        given = [empty] if isinstance(one, click.Argument) else [f"{one.opts[0]}={empty}"]
        if words == ("submit",) and one.name != "kind":
            given.insert(0, "echo")
        done = CliRunner().invoke(cli, [*words, *given])
        assert done.exit_code == 2, (words, one.name, done.output)
        assert "it is empty: say which, or leave it out" in done.stderr, (words, one.name)
