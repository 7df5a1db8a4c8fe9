"""`taskmessenger task resubmit`, `edit` and `priority`, and every act on all tasks that match a filter."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import Conflict, UsageError
from ..core.text import count
from .connect import manager, run
from .options import ID, NAME, as_json
from .output import block, done, note, ranged

if TYPE_CHECKING:
    from ..handle import Act, ActDone, TaskQuery

TYPED_FROM: Final = 10
"""More tasks than that are confirmed by typing how many they are."""
MOST: Final = 1_000_000
"""Tasks counted before they are acted on."""
MAX_PRIORITY: Final = 100
DID: Final = {
    "cancel": "cancelled", "retry": "queued again", "resubmit": "submitted anew", "set_priority": "changed",
}  # fmt: skip

by_filter: Final = click.option(
    "--filter",
    "text",
    type=NAME,
    metavar="TEXT",
    help="All tasks that match, instead of ids: kind:hash state:failed.",
)
yes: Final = click.option("--yes", is_flag=True, help="Do not ask.")
_IDS: Final = click.argument("ids", type=ID, nargs=-1, metavar="ID...")


def query_from(text: str, **page: Any) -> TaskQuery:
    """The query of a filter.

    Raises:
        UsageError: names the column, what is wrong there, and the cure.
    """
    from ..handle.filters import query_of

    return query_of(text, time.time(), **page)


def one_of(ids: tuple[int, ...], text: str | None) -> None:
    """Either ids or a filter.

    Raises:
        UsageError: neither, both, or a filter that is empty.
    """
    if bool(ids) == (text is not None):
        raise UsageError("name the tasks: either ids, or --filter TEXT for all that match")
    if text is not None and not text.strip():
        raise UsageError("an empty filter is all tasks there are: say so with --filter id:1..")


@click.command()
@_IDS
@by_filter
@yes
@as_json
def resubmit(*, ids: tuple[int, ...], text: str | None, yes: bool, as_json: bool) -> None:
    """Submit tasks anew: new ids, the same payloads and options. Idempotency keys stay with the old ones.

    \b
    Examples:
      taskmessenger task resubmit 17 18
      taskmessenger task resubmit --filter "kind:hash state:succeeded finished<1h" --yes
    """  # noqa: D301  \b keeps click from filling the examples
    one_of(ids, text)
    act_on("resubmit", ids, text, yes=yes, as_json=as_json)


@click.command()
@click.argument("priority", type=click.IntRange(-MAX_PRIORITY, MAX_PRIORITY), metavar="PRIORITY")
@_IDS
@by_filter
@yes
@as_json
def priority(priority: int, *, ids: tuple[int, ...], text: str | None, yes: bool, as_json: bool) -> None:
    """Change the priority, -100 to 100, of tasks that no worker has yet. Higher goes first.

    \b
    Examples:
      taskmessenger task priority 50 17 18
      taskmessenger task priority --filter "batch:nightly state:queued" --yes -- -10
    """  # noqa: D301  \b keeps click from filling the examples
    one_of(ids, text)
    act_on("set_priority", ids, text, yes=yes, as_json=as_json, number=priority)


@click.command()
@click.argument("task_id", type=ID, metavar="ID")
@click.option("--json-payload", metavar="JSON", help="The new payload; without it $EDITOR is opened.")
@as_json
def edit(task_id: int, *, json_payload: str | None, as_json: bool) -> None:
    """Submit a task that has ended anew with another payload, under a new id. The old task stays as it was.

    \b
    Examples:
      taskmessenger task edit 17
      taskmessenger task edit 17 --json-payload '{"path": "/data/b"}'
    """  # noqa: D301  \b keeps click from filling the examples
    from ..handle import Act
    from .payload import from_json

    payload = from_json(json_payload) if json_payload is not None else _edited(task_id)
    ids = run(_do, Act("edit", (task_id,), payload=payload)).ids
    with done(f"task {task_id} is submitted anew as task {ids[0]}"):
        if as_json:
            block({"ids": ids})
        else:
            click.echo(ids[0])


def _edited(task_id: int) -> bytes:
    """What a person makes of the payload in an editor."""
    from ..runtimes.plain import jsonable
    from .payload import from_json, value_of
    from .rows import PAYLOAD_SHOWN

    if not sys.stdin.isatty():
        raise UsageError("there is no terminal for an editor: give the payload with --json-payload")

    async def ask() -> bytes | None:
        async with manager() as remote:
            return (await remote.detail(task_id, PAYLOAD_SHOWN)).payload

    before = run(ask)
    if before is None:
        raise UsageError(f"the payload of task {task_id} is too large to edit: give one with --json-payload")
    text = click.edit(json.dumps(jsonable(value_of(before)), indent=2), extension=".json")
    if text is None:
        raise Conflict("the payload was not changed: nothing was submitted")
    return from_json(text, "the edited payload")


def act_on(
    verb: str, ids: tuple[int, ...], text: str | None, *, yes: bool, as_json: bool, number: float = 0.0
) -> None:
    """Do it to these tasks, or to all that match once that was confirmed."""
    from ..handle import Act

    if text is None:
        act = Act(verb, tuple(dict.fromkeys(ids)), number=number)
    else:
        query = query_from(text)
        expected = run(_count, query)
        if not yes:
            _confirm(verb, expected)
        act = Act(verb, query=query, expected=expected, number=number)
    found = run(_do, act, lambda reached: note(f"{reached:,} so far"))
    told = f"{count(found.count, 'task')} {DID[verb]}"
    with done(told + ranged(found.ids)):
        if as_json:
            block({"count": found.count, "ids": found.ids})
        elif text is None:
            click.echo("".join(f"{task_id}\n" for task_id in found.ids), nl=False)
        else:
            note(told)
    if text is None and found.count < len(set(ids)):
        from .task_why import complain_of

        run(complain_of, verb, list(dict.fromkeys(one for one in ids if one not in set(found.ids))))


def _confirm(verb: str, many: int) -> None:
    """A person says yes; for many tasks, by typing how many.

    Raises:
        UsageError: nobody is there to say so.
    """
    what = f"{verb.replace('_', ' ')} {count(many, 'task')}"
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}: say --yes to mean it")
    if many <= TYPED_FROM:
        if not click.confirm(f"Really {what}?", err=True):
            raise click.Abort
    elif click.prompt(f"This will {what}. Type the number to go on", err=True) not in {
        str(many),
        f"{many:,}",
    }:
        raise click.Abort


async def _count(query: TaskQuery) -> int:
    async with manager() as remote:
        found = await remote.count(query, MOST)
    if not found.exact:
        raise UsageError(
            f"at least {count(found.number, 'task matches', 'tasks match')}, and counting all would take too"
            " long: narrow the filter"
        )
    return found.number


async def _do(act: Act, progress: Callable[[int], None] | None = None) -> ActDone:
    from ..handle.acting import act_on_all

    async with manager() as remote:
        return await act_on_all(remote.act, act, progress)
