"""`taskmessenger submit`: hands in tasks, and waits for their results when asked to.

All payloads are read and checked before the first is sent: what is wrong with one of them costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import OutputLost, TaskMessengerError, Unreachable, UsageError
from .options import A_WHILE, DURATION, NAME, as_json
from .output import count, note, to_json
from .payload import MAX_TASKS, from_file, from_json, from_lines, from_text, packed
from .told import to_its_end, told_at_once

if TYPE_CHECKING:
    from ..handle import Group
    from ..net.messages import Submitted
    from ..remote import Remote

GROUP_TASKS: Final = 1_000
GROUP_BYTES: Final = 4 * 1024 * 1024
"""Of one request, unless a single payload is larger."""
PATIENCE: Final = 60.0
"""Seconds that `--wait` waits for a manager that goes away to come back."""


@dataclass(slots=True)
class Order:
    """What is to be submitted, and what became of it."""

    kind: str
    payloads: Sequence[bytes]
    options: dict[str, Any]
    """Fields of a `Group` by name."""
    key: str | None = None
    numbered: bool = False
    """Whether each payload gets a key of its own, `KEY-1` and so on."""
    ids: list[int] = field(default_factory=list)
    duplicates: int = 0
    printed: int = 0
    """How many of the ids were given to standard output."""

    def accepted(self, answer: Submitted) -> None:
        """The manager has these."""
        self.ids += answer.ids
        self.duplicates += answer.duplicates

    async def print_new(self) -> None:
        """The ids that were not yet; while a slow reader takes its time, the link to the manager is kept.

        Raises:
            OutputLost: they cannot be printed.
        """
        import anyio.to_thread

        new, self.printed = self.ids[self.printed :], len(self.ids)
        if new:
            text = "\n".join(map(str, new))
            await anyio.to_thread.run_sync(click.echo, text, abandon_on_cancel=True)

    def groups(self) -> Iterator[Group]:
        """The tasks in requests of a size that suits the wire."""
        from ..handle import Group

        start = size = 0
        for at, payload in enumerate(self.payloads):
            if at > start and (at - start == GROUP_TASKS or size + len(payload) > GROUP_BYTES):
                yield Group(self.kind, list(self.payloads[start:at]), self._keys(start, at), **self.options)
                start, size = at, 0
            size += len(payload)
        end = len(self.payloads)
        yield Group(self.kind, list(self.payloads[start:end]), self._keys(start, end), **self.options)

    def _keys(self, start: int, end: int) -> list[str] | None:
        if self.key is None:
            return None
        return [f"{self.key}-{n + 1}" for n in range(start, end)] if self.numbered else [self.key]


@click.command()
@click.argument("kind", type=NAME)
@click.argument("payload", required=False)
@click.option("--json-payload", metavar="JSON", help="The payload as a JSON value.")
@click.option(
    "--payload-file", metavar="FILE", help="The payload is the bytes of FILE; - for standard input."
)
@click.option(
    "--jsonl", metavar="FILE", help="One task for each line, a JSON value each; - for standard input."
)
@click.option(
    "--count", "times", type=click.IntRange(1, MAX_TASKS), help="The same task N times.", metavar="N"
)
@click.option("--wait", is_flag=True, help="Print the results, in the order of submission.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="Higher first.", metavar="P")
@click.option("--timeout", type=A_WHILE, help="How long one attempt may run, as 30s or 5m.")
@click.option(
    "--max-attempts",
    type=click.IntRange(1, 1_000),
    metavar="N",
    help="Executions at most; 5 unless the manager is set otherwise.",
)
@click.option("--delay", type=DURATION, default=0.0, help="Not before this time has passed.")
@click.option(
    "--key",
    type=NAME,
    metavar="K",
    help="Idempotency key: the same key is one task, however often submitted.",
)
@click.option("--batch", type=NAME, metavar="NAME", help="A name to find the tasks by.")
@click.option("--worker", type=NAME, metavar="ID", help="Only this worker may run them.")
@as_json
def submit(
    kind: str,
    payload: str | None,
    *,
    times: int | None,
    wait: bool,
    key: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Hand in tasks of KIND, and print their ids.

    PAYLOAD is plain text. With several payloads, --key K becomes K-1, K-2 and so on.

    \b
    Examples:
      taskmessenger submit reverse hello --wait
      taskmessenger submit sum --json-payload '[1, 2, 3]' --wait
      taskmessenger submit hash --payload-file photo.jpg
      taskmessenger submit wordcount --jsonl texts.jsonl --batch monday --key monday
    """  # noqa: D301  \b keeps click from filling the examples
    from .connect import run

    sources = (payload, given.pop("json_payload"), given.pop("payload_file"), given.pop("jsonl"))
    order = Order(kind, (), given, key, numbered=sources[-1] is not None or times is not None)
    try:
        with told_at_once():
            order.payloads = _repeated(_payloads(*sources), times)
        failed = run(_submit, order, wait, as_json)
    except KeyboardInterrupt:
        _interrupted(order)
        raise
    except OutputLost:
        note(f"{_share(order)} handed in: {_which(order)}")
        raise
    except TaskMessengerError:
        if order.ids:
            note(f"{_share(order)} had been accepted before that: {_which(order)}")
        raise
    if failed:
        sys.exit(1)


def _repeated(payloads: list[bytes], times: int | None) -> list[bytes]:
    if times is not None and len(payloads) != 1:
        raise UsageError("--count repeats one payload: leave out --jsonl, or --count")
    if not payloads:
        note("there is nothing in it to submit")
    return payloads * (times or 1)


def _payloads(text: str | None, json_text: str | None, file: str | None, lines: str | None) -> list[bytes]:
    """What was given, in one of four ways or not at all."""
    if sum(one is not None for one in (text, json_text, file, lines)) > 1:
        raise UsageError("give one of PAYLOAD, --json-payload, --payload-file and --jsonl")
    if lines is not None:
        return from_lines(lines)
    if file is not None:
        return [from_file(file)]
    if json_text is not None:
        return [from_json(json_text)]
    return [packed(None) if text is None else from_text(text)]


async def _submit(order: Order, wait: bool, as_json: bool) -> int:
    """Submit, tell the ids or the results; says how many did not succeed."""
    from .connect import manager
    from .results import print_results, say_what_waits

    async with manager(PATIENCE if wait else 0.0) as remote:
        try:
            await _hand_in(order, remote, quiet=wait or as_json)
        finally:
            if as_json and not wait:
                click.echo(to_json({"ids": order.ids, "duplicates": order.duplicates}))
        if order.duplicates:
            note(f"{count(order.duplicates, 'task')} had been submitted before with the same key")
        if wait:
            return await print_results(remote, order.ids, as_json=as_json)
        if order.ids:
            await say_what_waits(remote, order.ids)
        return 0


async def _hand_in(order: Order, remote: Remote, *, quiet: bool) -> None:
    """All of it, also when nobody takes the ids any more.

    Raises:
        OutputLost: the ids were not all printed.
    """
    from ..remote import Lost

    lost: OutputLost | None = None

    largest, limit = max(map(len, order.payloads), default=0), remote.welcome.max_payload
    if largest > limit:
        raise UsageError(
            f"a payload of {largest:,} bytes is over the manager's limit of {limit:,}: split it, or raise "
            "tasks.max_payload there"
        )
    for group in order.groups() if order.payloads else ():
        try:
            await to_its_end(remote.submit([group]), order.accepted)
        except Lost as error:
            raise Unreachable(
                "the link to the manager was lost before it answered, so the tasks may have been accepted:"
                " see `taskmessenger task ls`; with --key a submission can be repeated safely"
            ) from error
        if not quiet and lost is None:
            try:
                await order.print_new()
            except OutputLost as error:
                lost = error
    if lost is not None:
        raise lost


def _share(order: Order) -> str:
    done, wanted = len(order.ids), len(order.payloads)
    return count(done, "task") if done == wanted else f"{done:,} of {wanted:,} tasks"


def _interrupted(order: Order) -> None:
    if not order.ids:
        note("nothing was submitted that was acknowledged")
        return
    note(f"the manager goes on with {_share(order)}: {_which(order)}; `taskmessenger task cancel` ends them")


def _which(order: Order) -> str:
    """How to see these tasks again."""
    if len(order.ids) == 1:
        return f"see `taskmessenger task result {order.ids[0]}`"
    batch = order.options.get("batch")
    if batch:
        return f"see `taskmessenger task ls --batch {batch}`"
    return f"see `taskmessenger task ls`, ids {min(order.ids)} to {max(order.ids)}"
