"""`taskmessenger task`: list, show, cancel and retry tasks; print their results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import UsageError
from ..core.filter import SORTS
from ..core.lifecycle import TaskState
from ..core.text import count
from ..runtimes.head import HEAD_BYTES
from .connect import manager, run
from .options import ID, NAME, as_json
from .output import note
from .task_many import DID, act_on, by_filter, edit, one_of, priority, query_from, resubmit, yes
from .task_output import output
from .task_results import result
from .task_why import complain, rows_of

if TYPE_CHECKING:
    from ..handle import TaskQuery, TaskRow

PAGE: Final = 1_000
"""Rows of one request."""
MAX_ROWS: Final = 1_000_000
MAX_IDS: Final = 10_000
_RETRYABLE: Final = {TaskState.FAILED, TaskState.TIMED_OUT}


@click.group()
def task() -> None:
    """List, show, cancel, retry, resubmit and edit tasks.

    \b
    Examples:
      taskmessenger task ls --state failed
      taskmessenger task ls --filter "kind:hash -state:succeeded run>2s" --sort run
      taskmessenger task show 17
      taskmessenger task result 17 > result.bin
      taskmessenger task output 17
      taskmessenger task retry 17 18
    """  # noqa: D301  \b keeps click from filling the examples


task.add_command(result)
task.add_command(output)
task.add_command(resubmit)
task.add_command(edit)
task.add_command(priority)


@task.command("ls")
@click.option(
    "--state", "states", type=NAME, multiple=True, metavar="S", help="In this state; several with commas."
)
@click.option("--kind", "kinds", type=NAME, multiple=True, metavar="K", help="Of this kind.")
@click.option("--worker", "workers", type=NAME, multiple=True, metavar="ID", help="Last on this worker.")
@click.option("--batch", "batches", type=NAME, multiple=True, metavar="NAME", help="Of this batch.")
@click.option("--text", type=NAME, help="With this in kind, key, batch, worker or error.")
@click.option(
    "--filter", "line", type=NAME, metavar="TEXT", help="Matching, such as: kind:a -state:failed run>2s."
)
@click.option("--sort", type=click.Choice(SORTS), default="id", show_default=True, help="By this field.")
@click.option("--reverse", is_flag=True, help="The smallest, or oldest, first.")
@click.option("--before", type=ID, metavar="ID", help="Older than this one: the next page.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ROWS),
    default=100,
    show_default=True,
    metavar="N",
    help="At most N.",
)
@as_json
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object for each task, a line each.")
def ls(
    *, states: tuple[str, ...], line: str | None, limit: int, as_json: bool, as_jsonl: bool, **given: Any
) -> None:
    """Tasks, newest first. Options of different names must all hold; repeated ones, either.

    A filter has terms such as kind:hash, -state:succeeded, worker:w1,w2, attempt>1, submitted<10m, run>2s,
    priority:1..5, error:"no space", and any word to look for. All must hold; `-` leaves out. Fields are kind,
    state, worker, batch, key, id, attempt, priority, run, submitted, finished, error and text. States are
    scheduled, queued, leased, running, succeeded, failed, timed_out and cancelled.

    \b
    Examples:
      taskmessenger task ls --state failed,timed_out --kind hash
      taskmessenger task ls --text "No space left" --limit 1000 --json
    """  # noqa: D301  \b keeps click from filling the examples
    if as_json and as_jsonl:
        raise UsageError("--json prints an array, --jsonl a line for each task: give one of them")
    wanted = [word for option in states for word in option.split(",")]
    named = {"states": tuple(sorted({TaskState.of(word).value for word in wanted})), **given}
    named["text"] = named["text"] or ""
    query = _query(line or "", named)
    last = run(_list, query, limit, "json" if as_json else "jsonl" if as_jsonl else "table")
    if last is not None:
        _say_more(*last, query, limit)


def _query(line: str, named: dict[str, Any]) -> TaskQuery:
    """The filter and the options, of which each must hold."""
    from msgspec.structs import replace

    named["descending"] = not named.pop("reverse")
    query = query_from(line)
    for name in ("states", "kinds", "workers", "batches"):
        if named[name] and getattr(query, name):
            raise UsageError(f"the filter and an option both speak of {name}: put all of it into the filter")
        named[name] = named[name] or getattr(query, name)
    if named["before"] is not None and (named["sort"] != "id" or not named["descending"]):
        raise UsageError("--before goes with the newest first alone")
    return replace(query, **named)


async def _list(query: TaskQuery, limit: int, form: str) -> tuple[int, int] | None:
    """Print page after page; says how many were shown up to which id, if there are more."""
    from anyio import to_thread  # a slow reader does not keep the link from being served
    from msgspec.structs import replace

    from .rows import writer

    shown = 0
    async with manager() as remote:
        with writer(form) as write:
            while True:
                page = await remote.page(replace(query, limit=min(PAGE, limit - shown), heads=HEAD_BYTES))
                await to_thread.run_sync(write, page.rows, abandon_on_cancel=True)
                shown += len(page.rows)
                if not page.more:
                    return None
                last = page.next.id if page.next is not None else page.rows[-1].id if page.rows else 0
                if shown >= limit or not last:
                    return shown, last or query.before or 0
                if page.next is not None:
                    query = replace(query, at=page.next, before=None)
                else:
                    query = replace(query, before=last)


def _say_more(shown: int, last: int, query: TaskQuery, limit: int) -> None:
    """A list that was cut says so, and how to see the rest."""
    from msgspec.structs import replace

    from ..handle.filters import filter_of

    if query.sort != "id" or not query.descending:
        note(f"shown {shown:,}; there are more: raise --limit")
        return
    words = ["taskmessenger", "task", "ls"]
    words += [word for state in query.states for word in ("--state", TaskState(state).word)]
    for name, values in (("kind", query.kinds), ("worker", query.workers), ("batch", query.batches)):
        words += [word for value in values for word in (f"--{name}", value)]
    words += ["--text", query.text] if query.text else []
    rest = filter_of(replace(query, states=(), kinds=(), workers=(), batches=(), text=""))
    words += ["--filter", rest] if rest else []
    words += ["--limit", str(limit), "--before", str(last)]
    note(f"shown {shown:,}; there are more, the next with `{shlex.join(words)}`")


@task.command()
@click.argument("task_id", type=ID, metavar="ID")
@as_json
def show(task_id: int, *, as_json: bool) -> None:
    """All that is known of one task: its payload, its attempts, its last error, why it waits.

    \b
    Examples:
      taskmessenger task show 17
      taskmessenger task show 17 --json
    """  # noqa: D301  \b keeps click from filling the examples
    from msgspec.structs import replace

    from ..handle import TaskQuery
    from .rows import PAYLOAD_SHOWN, print_detail

    async def ask() -> None:
        async with manager() as remote:
            found = await remote.detail(task_id, PAYLOAD_SHOWN)
            if found.payload is None:  # too large to be shown, but not its beginning
                page = await remote.page(TaskQuery(ids=(task_id,), heads=HEAD_BYTES))
                found = replace(found, row=page.rows[0]) if page.rows else found
            print_detail(found, as_json=as_json)

    run(ask)


@task.command()
@click.argument("ids", type=ID, nargs=-1, metavar="ID...")
@by_filter
@yes
@as_json
def cancel(ids: tuple[int, ...], *, text: str | None, yes: bool, as_json: bool) -> None:
    """End tasks for good, also those that run just now. Prints the ids of those that this has ended.

    \b
    Examples:
      taskmessenger task cancel 17 18
      taskmessenger task cancel --filter "kind:hash state:queued" --yes
    """  # noqa: D301  \b keeps click from filling the examples
    one_of(ids, text)
    if text is not None:
        act_on("cancel", (), text, yes=yes, as_json=as_json)
    else:
        run(_change, "cancel", _few(ids), as_json)


@task.command()
@click.argument("ids", type=ID, nargs=-1, metavar="ID...")
@by_filter
@yes
@as_json
def retry(ids: tuple[int, ...], *, text: str | None, yes: bool, as_json: bool) -> None:
    """Give tasks that failed or timed out for good another life, under the same id. Prints these ids.

    \b
    Examples:
      taskmessenger task retry 17 18
      taskmessenger task retry --filter "state:failed finished<1h" --yes
    """  # noqa: D301  \b keeps click from filling the examples
    one_of(ids, text)
    if text is not None:
        act_on("retry", (), text, yes=yes, as_json=as_json)
    else:
        run(_change, "retry", _few(ids), as_json)


def _few(ids: Sequence[int]) -> list[int]:
    if len(ids) > MAX_IDS:
        raise UsageError(
            f"{len(ids):,} ids are more than the {MAX_IDS:,} of one command: give fewer at a time"
        )
    return list(dict.fromkeys(ids))


async def _change(verb: str, ids: list[int], as_json: bool) -> None:
    """Do it to those tasks with which it can be done, and say why not with the others.

    Raises:
        NotFound, Conflict: it could not be done with some.
    """
    from .output import block, done, ranged

    async with manager() as remote:
        rows = await rows_of(remote, ids)
        fit = [i for i, row in rows.items() if _fits(verb, row)]
        changed = await remote.command(verb, ids=fit) if fit else []
        left = [i for i in fit if i not in set(changed)]
        if left:  # they ended, or were retried, while we looked
            rows |= await rows_of(remote, left)
    with done(f"{count(len(changed), 'task')} {DID[verb]}{ranged(changed)}"):
        if as_json:
            block({"ids": changed})
        else:
            click.echo("".join(f"{task_id}\n" for task_id in changed), nl=False)
    complain(verb, [i for i in ids if i not in set(changed)], rows)


def _fits(verb: str, row: TaskRow) -> bool:
    state = TaskState(row.state)
    return state in _RETRYABLE if verb == "retry" else not state.final
