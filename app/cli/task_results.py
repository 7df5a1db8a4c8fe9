"""`taskmessenger task result`: what one task answered, or all of a batch or of what matches a filter."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import Conflict, NotFound, UsageError
from ..core.lifecycle import TaskState
from ..core.text import count
from ..runtimes.head import HEAD_BYTES, head
from .connect import manager, run
from .options import ID, NAME, as_json
from .output import note, to_json

if TYPE_CHECKING:
    from ..handle import Outcome, TaskQuery, TaskRow
    from ..remote import Remote

PAGE: Final = 1_000
"""Tasks of one page of the list."""
FIRST_LOOK: Final = 10
MOST_LOOK: Final = 100
LOOK_BYTES: Final = 4 * 1024 * 1024
"""Outcomes that are asked for at a time: more while they are small, fewer when they are large."""
INDEX: Final = "index.jsonl"
"""What says of each file what it is."""
Some = list[tuple["TaskRow", "Outcome"]]


@click.command()
@click.argument("task_id", type=ID, required=False, metavar="[ID]")
@click.option("--batch", type=NAME, metavar="NAME", help="Of all tasks of this batch that have ended.")
@click.option("--filter", "text", type=NAME, metavar="TEXT", help="Of all that match and have ended.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object for each task, a line each.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write each result into a file in DIR."
)
@as_json
def result(
    task_id: int | None,
    *,
    batch: str | None,
    text: str | None,
    as_jsonl: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print the result of a task that succeeded; else say why there is none, with exit code 1.

    Text is printed as it is and any other value as JSON. Bytes are written raw to a file or a pipe; on a
    terminal, and with --json, they are shown in base64. Of several tasks, oldest first, each has one line:
    its id, a tab, and the result as `submit --wait` prints it.

    \b
    Examples:
      taskmessenger task result 17 > result.bin
      taskmessenger task result --batch nightly --jsonl > results.jsonl
      taskmessenger task result --filter "kind:hash finished<1h" --out results
    """  # noqa: D301  \b keeps click from filling the examples
    if (task_id is not None) + (batch is not None) + (text is not None) != 1:
        raise UsageError("whose result? Give the id of a task, --batch NAME, or --filter TEXT")
    if task_id is not None:
        if as_jsonl or out is not None:
            raise UsageError("--jsonl and --out are for several tasks: give --batch or --filter, and no id")
        _one(task_id, as_json=as_json)
        return
    if as_json or (as_jsonl and out is not None):
        raise UsageError("of several tasks: --jsonl prints a JSON object for each, --out writes files")
    form = _Files(out) if out is not None else _Lines(as_jsonl=as_jsonl)
    _tell(run(_many, _query(batch, text), form), form)


def _one(task_id: int, *, as_json: bool) -> None:
    from .output import block
    from .payload import print_result
    from .results import failure, outcome_json

    async def ask() -> Any:
        async with manager() as remote:
            found = await remote.outcomes([task_id])
            return found[0] if found else await remote.detail(task_id, 0)

    found = run(ask)
    if hasattr(found, "row"):
        state = TaskState(found.row.state).word
        why = f" ({found.waits_for})" if found.waits_for else ""
        note(f"task {task_id} has not ended: it is {state}{why}")
        sys.exit(1)
    if as_json:
        block(outcome_json(found))
    if found.state != TaskState.SUCCEEDED:
        note(f"{failure(found)}; more with `taskmessenger task show {task_id}`")
        sys.exit(1)
    if not as_json:
        print_result(found.result or b"")


def _query(batch: str | None, text: str | None) -> TaskQuery:
    from ..handle import TaskQuery
    from .task_many import query_from

    if batch is not None:
        return TaskQuery(batches=(batch,), sort="id", descending=False, limit=PAGE, heads=HEAD_BYTES)
    return query_from(text or "", sort="id", descending=False, limit=PAGE, heads=HEAD_BYTES)


class _Lines:
    """A line for each on standard output."""

    def __init__(self, *, as_jsonl: bool) -> None:
        self.where = ""
        self._as_jsonl = as_jsonl

    def take(self, some: Some) -> None:
        """Print them."""
        from .results import result_line

        for row, outcome in some:
            line = to_json(_facts(row, outcome)) if self._as_jsonl else f"{row.id}\t{result_line(outcome)}"
            click.echo(line)


class _Files:
    """A file for each, and one that says what they are."""

    def __init__(self, folder: Path) -> None:
        """Raises Conflict: there is something in it."""
        self.where = f" in {folder}"
        self._folder = folder
        self._try(lambda: folder.mkdir(parents=True, exist_ok=True))
        if self._try(lambda: any(folder.iterdir())):
            raise Conflict(f"{folder} is not empty: name a folder that is, or a new one")

    def take(self, some: Some) -> None:
        """Write them."""
        for row, outcome in some:
            self._write(row, outcome)

    def _write(self, row: TaskRow, outcome: Outcome) -> None:
        from .payload import value_of

        facts = _facts(row, outcome)
        del facts["result"]
        if outcome.state == TaskState.SUCCEEDED:
            name, data = _file_of(row.id, value_of(outcome.result or b""))
            self._try(lambda: (self._folder / name).write_bytes(data))
            facts["file"] = name
        self._try(lambda: self._note(facts))

    def _note(self, facts: dict[str, Any]) -> None:
        with (self._folder / INDEX).open("a", encoding="utf-8") as index:
            index.write(f"{to_json(facts)}\n")

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except OSError as error:
            raise Conflict(f"{self._folder} cannot be written to: {error.strerror}") from error


def _file_of(task_id: int, value: Any) -> tuple[str, bytes]:
    """Name and content: bytes and text as they are, anything else as JSON."""
    from ..runtimes.plain import jsonable

    if isinstance(value, bytes):
        return f"{task_id}.bin", value
    if isinstance(value, str):
        return f"{task_id}.txt", value.encode()
    return f"{task_id}.json", f"{json.dumps(jsonable(value))}\n".encode()


def _facts(row: TaskRow, outcome: Outcome) -> dict[str, Any]:
    from .results import outcome_json

    beginning = None if row.head is None else head(row.head)
    return {"key": row.key, "batch": row.batch, **outcome_json(outcome), "payload_head": beginning}


async def _many(query: TaskQuery, form: _Lines | _Files) -> tuple[int, int, int]:
    """How many succeeded, ended in another way, and have not ended."""
    from anyio import to_thread  # a slow reader does not keep the link from being served

    good = bad = still = 0
    async with manager() as remote:
        async for rows in _pages(remote, query):
            ended = [row for row in rows if TaskState(row.state).final]
            still += len(rows) - len(ended)
            async for some in _outcomes(remote, ended):
                await to_thread.run_sync(form.take, some, abandon_on_cancel=True)
                well = sum(outcome.state == TaskState.SUCCEEDED for _, outcome in some)
                good, bad = good + well, bad + len(some) - well
    return good, bad, still


async def _pages(remote: Remote, query: TaskQuery) -> AsyncIterator[tuple[TaskRow, ...]]:
    from msgspec.structs import replace

    while True:
        page = await remote.page(query)
        yield page.rows
        if not page.more or page.next is None:
            return
        query = replace(query, at=page.next)


async def _outcomes(remote: Remote, rows: list[TaskRow]) -> AsyncIterator[Some]:
    """In order; those that were forgotten, or are tried again, meanwhile are left out."""
    start, look = 0, FIRST_LOOK
    while start < len(rows):
        some = rows[start : start + look]
        found = {one.id: one for one in await remote.outcomes([row.id for row in some])}
        yield [(row, found[row.id]) for row in some if row.id in found]
        size = sum(len(one.result or b"") for one in found.values())
        start += len(some)
        look = min(MOST_LOOK, look * 4) if size < LOOK_BYTES // 4 else max(1, look // 4)


def _tell(found: tuple[int, int, int], form: _Lines | _Files) -> None:
    good, bad, still = found
    if not good + bad + still:
        raise NotFound("there is no such task: see `taskmessenger task ls`")
    if form.where:
        note(f"{count(good, 'result')}{form.where}")
    if bad:
        note(f"{count(bad, 'task')} did not succeed: see `taskmessenger task ls`")
    if still:
        note(f"{count(still, 'task has', 'tasks have')} not ended yet")
    if bad or still:
        sys.exit(1)
