"""The command `taskmessenger`: what can be typed, loaded only when it is typed.

Every error that an operator can act on ends here, as one line on standard error and an exit code:
0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable, 6 timeout, 7 conflict, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from .. import __version__, outlet
from ..core.errors import OutputLost, TaskMessengerError, UsageError
from ..core.groups import the_one
from ..core.text import printable, redact
from .options import NAME, take_only_text
from .told import INTERRUPTED, Told

COMMANDS: Final = {
    "audit": ("audit", "audit", "Print who did what, and check that it was not changed."),
    "backup": ("backup", "backup", "Write the manager's data to one file."),
    "bench": ("bench", "bench", "Measure how fast this program is here."),
    "config": ("config", "config", "Show and check settings, and begin a file of them."),
    "demo": ("demo", "demo", "Run the main job here: hash files on a fleet of three workers."),
    "discover": ("discover", "discover", "Find managers of this fleet near here."),
    "doctor": ("doctor", "doctor", "Look for what is wrong here, and say what to do."),
    "invite": ("invite", "invite", "Make, list and revoke invites."),
    "join": ("join", "join", "Become a client or operator of a fleet elsewhere."),
    "pool": ("pool", "pool", "Look at the whole fleet; pause and resume it."),
    "replay": ("replay", "replay", "Look at a recording of a console, forward and back."),
    "restore": ("backup", "restore", "Put a backup in place as the manager's data."),
    "serve": ("serve", "serve", "The console in a browser of this machine."),
    "submit": ("submit", "submit", "Hand in tasks."),
    "task": ("task", "task", "List, show, cancel and retry tasks."),
    "watch": ("watch", "watch", "Print what goes on as lines, for pipes and screen readers."),
    "worker": ("worker", "worker", "List, pause, drain and revoke workers."),
    "zerotier": ("zerotier", "zerotier", "Install libzt; look at the ZeroTier nodes of this machine."),
}
"""Name to module, attribute and the line that `--help` shows."""
WHAT_TO_TYPE: Final = """Start a manager:          taskmessenger --role manager --no-ui
Make an invite:           taskmessenger invite
Join from any machine:    taskmessenger --role worker --no-ui --join -      (then paste the invite)
Hand in a task:           taskmessenger submit reverse hello --wait
See it all run here:      taskmessenger demo
More:                     taskmessenger --help"""
EPILOG: Final = """\b
Exit codes:
  0 done                  4 refused
  1 it failed             5 no manager answers
  2 wrong usage           6 too late
  3 not found             7 in conflict with what is there

Results go to standard output, everything else to standard error. Most commands take --json. Where settings,
kinds, results and logs lie: `taskmessenger config paths`.

\b
Shell completion, for bash (zsh_source and fish_source for others):
  eval "$(_TASKMESSENGER_COMPLETE=bash_source taskmessenger)"
"""
MAX_ERROR: Final = 2_000


class _Over(BaseException):
    """A signal has ended the command: past click, which would print an empty line, as is right after `^C`."""


class Lazy(click.Group):
    """Imports a command when it is used: starting must not cost what is not needed."""

    def invoke(self, ctx: click.Context) -> Any:
        """Do it, whatever it is."""
        try:
            return super().invoke(ctx)
        except Told as told:
            raise _Over from told

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        return take_only_text(getattr(importlib.import_module(f"..{found[0]}", __name__), found[1]))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in sorted(COMMANDS)])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """An unknown command names its nearest neighbour."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1) if args else []
            raise UsageError(
                f"there is no command `{printable(args[0], 64)}`"
                + (f"; did you mean `{near[0]}`?" if near else "; see `taskmessenger --help`")
            ) from error


@click.group(
    cls=Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(
    __version__, "-V", "--version", prog_name="taskmessenger", message="%(prog)s %(version)s"
)
@click.option("--role", type=click.Choice(["manager", "worker"]), help="Be a manager or a worker.")
@click.option(
    "--attach", type=NAME, is_flag=False, flag_value="nearest", metavar="[ADDRESS]",
    help="The console of a manager that runs: this user's, or at an address such as tcp://HOST:PORT.",
)  # fmt: skip
@click.option("--demo", is_flag=True, help="The console over a simulated fleet, to look around in.")
@click.option("--read-only", is_flag=True, help="A console that changes nothing.")
@click.option(
    "--record", type=click.Path(path_type=Path), metavar="FILE",
    help="Keep what the console sees, for `taskmessenger replay FILE`.",
)  # fmt: skip
@click.option("--no-ui", is_flag=True, help="Without a console: logs on standard error.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Instead of the default file."
)
@click.option("--name", type=NAME, metavar="NAME", help="What to be called.")
@click.option(
    "--listen", multiple=True, type=NAME, metavar="ADDRESS", help="Manager: listen here, as tcp://HOST:PORT."
)
@click.option(
    "--advertise",
    multiple=True,
    type=NAME,
    metavar="ADDRESS",
    help="Manager: what invites say instead of --listen.",
)
@click.option(
    "--accept-data-loss", is_flag=True, default=None,
    help="Manager: start although something that was stored is gone.",
)  # fmt: skip
@click.option(
    "--join", type=NAME, metavar="INVITE", help="Worker: join with this invite; - reads or asks for it."
)
@click.option(
    "--join-file", type=click.Path(path_type=Path), metavar="FILE", help="Worker: the invite is in a file."
)
@click.option("--capacity", type=int, metavar="N", help="Worker: tasks at a time.")
@click.option("--discover", is_flag=True, default=None, help="Worker: find the manager without its address.")
@click.pass_context
def cli(
    ctx: click.Context,
    /,
    role: str | None,
    *,
    attach: str | None,
    demo: bool,
    read_only: bool,
    record: Path | None,
    **options: Any,
) -> None:
    """Task Messenger: one fleet from machines anywhere, joined with one pasted string.

    \b
    Examples:
      taskmessenger --role manager --no-ui --listen tcp://0.0.0.0:7711
      taskmessenger --role worker --no-ui --join -
      taskmessenger submit hash --payload-file photo.jpg --wait
    """  # noqa: D301  \b keeps click from filling the examples
    if ctx.invoked_subcommand is not None:
        return
    if (role is not None) + (attach is not None) + demo > 1:
        raise UsageError("--role, --attach and --demo exclude each other: give one of them")
    if record is not None and options["no_ui"]:
        raise UsageError("--record keeps what a console sees: leave out --no-ui, or --record")
    if role is None and attach is None and not demo:
        _ask(read_only=read_only, record=record)
        return
    from .console import Extras

    extras = Extras(record=record)
    if role is not None:
        from .role import start

        start(role, read_only=read_only, extras=extras, **options)
        return
    from . import console

    if attach is not None:
        console.attach(attach, read_only=read_only, extras=extras)
    else:
        console.demo(read_only=read_only, extras=extras)


take_only_text(cli)


def _ask(*, read_only: bool, record: Path | None) -> None:
    """The start screen; what to type, where there is nobody to see it."""
    from .start import begin, is_a_terminal

    if is_a_terminal():
        begin(read_only=read_only, record=record)
    else:
        click.echo(WHAT_TO_TYPE)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    outlet.put_in_place()
    try:
        code = _run()
        if not code:
            outlet.finish()
        sys.exit(code)
    except OutputLost as error:
        if outlet.reader_left():  # as with `head`: it has what it wanted
            sys.exit(error.exit_code)
        _fail(str(error), error.exit_code)
    except TaskMessengerError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(_about_file(error), UsageError.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message() + _help_for(error), 2)
    except (click.Abort, KeyboardInterrupt, _Over) as error:
        _end_told(error if isinstance(error, Told) else error.__cause__)


def _run() -> Any:
    """The exit code, or None; a role runs many tasks, and their errors come in groups."""
    try:
        return cli(standalone_mode=False, prog_name="taskmessenger")
    except SystemExit as over:
        return over.code
    except BaseExceptionGroup as group:
        raise the_one(group) from None


def _about_file(error: OSError) -> str:
    """What is wrong with a place that whoever needed it had no better words for."""
    if error.filename is None:
        raise error  # a bug, and no file
    return f"{os.fsdecode(error.filename)}: {error.strerror}: see who owns it, or use another place"


def _end_told(told: BaseException | None) -> NoReturn:
    """The end by a signal, or by Ctrl-C."""
    outlet.give_up()
    text, number = (str(told), told.exit_code) if isinstance(told, Told) else ("interrupted", INTERRUPTED)
    if outlet.is_writing():  # in a thread, which would have to be waited for
        _say(text)
        os._exit(number)
    _fail(text, number)


def _help_for(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context is not None else ""


def _fail(message: str, code: int) -> NoReturn:
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    click.echo(f"error: {printable(redact(message), MAX_ERROR)}", err=True)
