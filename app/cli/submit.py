"""`taskmessenger submit`: hands in tasks, and waits for their results when asked to.

All payloads are read and checked before the first is sent: what is wrong with one of them costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import OutputLost, TaskMessengerError, TimedOut, Unreachable, UsageError
from ..core.text import count
from .inputs import MAX_TASKS, Inputs, Keys
from .options import A_WHILE, DURATION, NAME, as_json
from .output import note, to_json
from .payload import from_file, from_json, from_lines, from_text, packed
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


@dataclass(frozen=True, slots=True)
class Form:
    """How results are printed."""

    json: str = ""
    """`array` or `lines`; else text."""
    single: bool = False
    """There is but one input: its result is printed as it is."""
    in_order: bool = True
    timeout: float | None = None
    """Seconds to wait at most."""


@dataclass(slots=True)
class Order:
    """What is to be submitted, and what became of it."""

    kind: str
    inputs: Inputs
    options: dict[str, Any]
    """Fields of a `Group` by name."""
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

        has_keys = len(self.inputs) > 0 and bool(self.inputs.key(0))
        for start, payloads in self.inputs.pieces(GROUP_TASKS, GROUP_BYTES):
            places = range(start, start + len(payloads))
            keys = list(map(self.inputs.key, places)) if has_keys else None
            yield Group(self.kind, payloads, keys, **self.options)


@click.command()
@click.argument("kind", type=NAME)
@click.argument("payload", required=False)
@click.option("--json-payload", metavar="JSON", help="The payload as a JSON value.")
@click.option(
    "--payload-file",
    type=click.Path(),
    metavar="FILE",
    help="The payload is the bytes of FILE; - for standard input.",
)
@click.option(
    "--jsonl",
    type=click.Path(),
    metavar="FILE",
    help="One task for each line, a JSON value each; - for standard input.",
)
@click.option(
    "--count", "times", type=click.IntRange(1, MAX_TASKS), help="The same task N times.", metavar="N"
)
@click.option("--wait", is_flag=True, help="Print the results, a line for each input, in their order.")
@click.option("--as-completed", is_flag=True, help="With --wait: as they end, with the number of the input.")
@click.option("--wait-timeout", type=A_WHILE, help="With --wait: at most so long; then exit code 6.")
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
@click.option(
    "--key-field", type=NAME, metavar="F", help="With --jsonl: keys are made of this field of each line."
)
@as_json
@click.option("--json-lines", is_flag=True, help="With --wait: a JSON object for each input, a line each.")
def submit(kind: str, payload: str | None, *, wait: bool, as_json: bool, **given: Any) -> None:
    """Hand in tasks of KIND, and print their ids; with --wait their results instead.

    Built in are echo, hash, reverse, sum, upper, wait and wordcount; `worker ls` has what is offered. PAYLOAD
    is plain text. With --count, --key K becomes K-1, K-2 and so on; with --jsonl it becomes K and a
    digest of each line's payload, so that new lines between them change no key.

    \b
    Examples:
      taskmessenger submit reverse hello --wait
      taskmessenger submit sum --json-payload '[1, 2, 3]' --wait
      taskmessenger submit hash --payload-file photo.jpg
      taskmessenger submit wordcount --jsonl texts.jsonl --batch monday --key monday
      taskmessenger submit wordcount --jsonl texts.jsonl --wait --json-lines > results.jsonl
    """  # noqa: D301  \b keeps click from filling the examples
    from .connect import run

    sources = (payload, given.pop("json_payload"), given.pop("payload_file"), given.pop("jsonl"))
    asked = {name: given.pop(name) for name in ("json_lines", "as_completed", "wait_timeout")}
    form = _form(asked, wait=wait, as_json=as_json, single=sources[-1] is None and given["times"] is None)
    keys = (given.pop("key"), given.pop("key_field"))
    order = Order(kind, Inputs(given.pop("times")), given)
    try:
        with told_at_once():
            _read(order, sources, keys)
        failed = run(_submit, order, form, as_json)
    except KeyboardInterrupt:
        _interrupted(order)
        raise
    except OutputLost:
        note(f"{_share(order)} handed in: {_which(order)}")
        raise
    except TimedOut as error:
        raise TimedOut(f"{error}: {_which(order)}") from None
    except TaskMessengerError:
        if order.ids:
            note(f"{_share(order)} had been accepted before that: {_which(order)}")
        raise
    finally:
        order.inputs.close()
    if failed:
        sys.exit(1)


def _form(asked: dict[str, Any], *, wait: bool, as_json: bool, single: bool) -> Form | None:
    """How results are to be printed; None when nobody waits for them.

    Raises:
        UsageError: the options do not go together.
    """
    for name, value in asked.items():
        if value and not wait:
            raise UsageError(f"--{name.replace('_', '-')} is about results: it goes with --wait")
    if as_json and asked["json_lines"]:
        raise UsageError("--json prints an array, --json-lines a line for each input: give one of them")
    if not wait:
        return None
    return Form(
        json="array" if as_json else "lines" if asked["json_lines"] else "",
        single=single,
        in_order=not asked["as_completed"],
        timeout=asked["wait_timeout"],
    )


def _read(order: Order, sources: tuple[str | None, ...], keys: tuple[str | None, str | None]) -> None:
    """What was given, in one of four ways or not at all."""
    text, json_text, file, lines = sources
    key, key_field = keys
    if sum(one is not None for one in sources) > 1:
        raise UsageError("give one of PAYLOAD, --json-payload, --payload-file and --jsonl")
    if order.inputs.is_repeated and lines is not None:
        raise UsageError("--count repeats one payload: leave out --jsonl, or --count")
    if key_field is not None and lines is None:
        raise UsageError("--key-field names a field of the lines of --jsonl: give both")
    if lines is not None:
        from_lines(lines, order.inputs, Keys(key, key_field))
    elif file is not None:
        order.inputs.add(from_file(file), key or "")
    elif json_text is not None:
        order.inputs.add(from_json(json_text), key or "")
    else:
        order.inputs.add(packed(None) if text is None else from_text(text), key or "")
    if not len(order.inputs):
        note("there is nothing in it to submit")


async def _submit(order: Order, form: Form | None, as_json: bool) -> int:
    """Submit, tell the ids or the results; says how many did not succeed."""
    from .connect import manager
    from .results import print_results, say_what_waits

    async with manager(PATIENCE if form else 0.0) as remote:
        try:
            await _hand_in(order, remote, quiet=form is not None or as_json)
        finally:
            if as_json and form is None:
                click.echo(to_json({"ids": order.ids, "duplicates": order.duplicates}))
        if order.duplicates:
            note(f"{count(order.duplicates, 'task')} had been submitted before with the same key")
        if form is not None:
            return await print_results(remote, order.ids, order.inputs, form)
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

    inputs, limit = order.inputs, remote.welcome.max_payload
    if inputs.largest > limit:
        line = inputs.line(inputs.largest_at)
        raise UsageError(
            f"a payload of {inputs.largest:,} bytes{'' if line is None else f' (line {line})'} is over the"
            f" manager's limit of {limit:,}: split it, or raise tasks.max_payload there"
        )
    for group in order.groups():
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
    done, wanted = len(order.ids), len(order.inputs)
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
        which = f"--batch {quote(batch)}"
        return f"see `taskmessenger task ls {which}`, results with `taskmessenger task result {which}`"
    which = f"--filter id:{min(order.ids)}..{max(order.ids)}"
    return f"see `taskmessenger task ls {which}`, results with `taskmessenger task result {which}`"
