"""`taskmessenger task output`: what an attempt of a task wrote, as far as it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ..core.errors import NotFound
from ..core.text import count, printable
from .connect import manager, run
from .options import ID, as_json
from .output import block, note, on_terminal

if TYPE_CHECKING:
    from ..handle import TaskOutput

MAX_ATTEMPT: Final = 2**31 - 1
MAX_SHOWN: Final = 4 * 1024 * 1024
"""Characters for a terminal: more than a manager keeps of one attempt."""


@click.command()
@click.argument("task_id", type=ID, metavar="ID")
@click.option(
    "--attempt",
    type=click.IntRange(1, MAX_ATTEMPT),
    metavar="N",
    help="Of this attempt; else of the newest that wrote something.",
)
@as_json
def output(task_id: int, *, attempt: int | None, as_json: bool) -> None:
    """Print what a task wrote with `print`, `ctx.write` and to its standard streams.

    The end of it is kept, of each attempt, also of those that failed; of one that runs it is the newest that
    was heard of. The bytes are printed as they came, but on a terminal what could change it is escaped. What
    is missing is said on standard error.

    \b
    Examples:
      taskmessenger task output 17
      taskmessenger task output 17 --attempt 1 > first-try.log
    """  # noqa: D301  \b keeps click from filling the examples
    from .rows import output_json

    async def ask() -> TaskOutput:
        async with manager() as remote:
            found = await remote.output(task_id, attempt or 0)
            if attempt is not None and attempt > (await remote.detail(task_id, 0)).row.attempt:
                raise NotFound(
                    f"task {task_id} has no attempt {attempt}: see `taskmessenger task show {task_id}`"
                )
            return found

    found = run(ask)
    if as_json:
        block(output_json(found))
    elif on_terminal():
        text = printable(found.data.decode("utf-8", "replace"), MAX_SHOWN, keep="\n\t")
        click.echo(text, nl=bool(text) and not text.endswith("\n"))
    else:
        click.echo(found.data, nl=False)
    if why := _missing(found):
        note(why)


def _missing(found: TaskOutput) -> str:
    """What is not there that one may look for, in a sentence."""
    whose = f"attempt {found.attempt} of task {found.task}" if found.attempt else f"task {found.task}"
    if not found.start and not found.data:
        others = [str(attempt) for attempt, *_ in found.written if attempt != found.attempt]
        return f"{whose} wrote nothing" + (f"; attempts that did: {', '.join(others)}" if others else "")
    if found.start and not found.data:
        settings = "see tasks.max_output and retention.output_mb"
        return f"{whose} wrote {count(found.start, 'byte')}, of which none are kept: {settings}"
    return f"the first {count(found.start, 'byte')} of {whose} are not kept" if found.start else ""
