"""`taskmessenger pool`: the fleet at a glance; pause and resume all of it, or one kind of task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from ..core.text import count
from .connect import manager, run
from .options import NAME, as_json
from .output import block, line, note, pairs, span, tell, when
from .worker import held_up

if TYPE_CHECKING:
    from ..handle import PoolStatus, WorkerRow

_KIND = click.option("--kind", type=NAME, metavar="K", help="Only tasks of this kind.")


@click.group()
def pool() -> None:
    """Look at the whole fleet; pause and resume it.

    \b
    Examples:
      taskmessenger pool status
      taskmessenger pool pause --kind hash
      taskmessenger pool resume
    """  # noqa: D301  \b keeps click from filling the examples


@pool.command()
@as_json
def status(*, as_json: bool) -> None:
    """How many tasks are in which state, who works, and what is wrong.

    \b
    Examples:
      taskmessenger pool status
      taskmessenger pool status --json
    """  # noqa: D301  \b keeps click from filling the examples

    async def ask() -> tuple[PoolStatus, list[WorkerRow]]:
        async with manager() as remote:
            return await remote.status(), await remote.workers()

    found, workers = run(ask)
    if as_json:
        from msgspec import to_builtins
        from msgspec.structs import asdict

        block(to_builtins(asdict(found)))
        return
    _print(found, workers)


def _print(found: PoolStatus, workers: Sequence[WorkerRow]) -> None:
    running = span(max(0.0, time.time() - found.started_at))
    pairs((
        ("manager", f"{found.manager} of fleet {found.fleet}, version {found.version}"),
        ("running", f"since {when(found.started_at)}, {running}"),
        ("listening", ", ".join(found.listening)),
        ("workers", f"{count(found.workers, 'worker')} connected, {count(found.slots, 'slot')}"),
        ("rate", f"{found.rate:,.1f} ended per second, over the last 10 s"),
        ("paused", ", ".join(_scope(scope) for scope in found.paused)),
    ))  # fmt: skip
    line("tasks")
    totals = found.totals
    width = max(map(len, totals), default=0)
    for word, number in totals.items():
        line(f"  {word:{width}}  {number:,}")
    if found.late or found.refused:
        line(f"late results {found.late:,}, refused results {found.refused:,}")
    for kind, reason in list(found.waiting.items())[:MOST_KINDS]:
        line(f"{kind}: {reason}")
    more = max(0, len(found.waiting) - MOST_KINDS) + found.waiting_more
    if more:
        line(f"and {count(more, 'kind')} more with tasks that wait")
    troubles = [text for row in workers for text in held_up(row)]
    for text in troubles[:MOST_TROUBLES]:
        line(text)
    if len(troubles) > MOST_TROUBLES:
        line(f"and {len(troubles) - MOST_TROUBLES:,} more: see `taskmessenger worker ls`")
    if found.degraded:
        line(f"nothing is accepted: {found.degraded}")


MOST_KINDS: Final = 20
"""Kinds of which is said why they wait."""
MOST_TROUBLES: Final = 20
"""Workers of which is said why they take no tasks."""


def _scope(scope: str) -> str:
    what, _, name = scope.partition(":")
    return f"{what} {name}" if name else "everything"


@pool.command()
@_KIND
@as_json
def pause(kind: str | None, *, as_json: bool) -> None:
    """Accept tasks but start none, until resumed, across restarts too; what runs goes on.

    \b
    Examples:
      taskmessenger pool pause
      taskmessenger pool pause --kind hash
    """  # noqa: D301  \b keeps click from filling the examples
    found = run(_steer, "pause", kind)
    text = f"{_what(kind)} paused; `taskmessenger pool resume{_option(kind)}` ends that"
    tell(text, {"paused": found.paused}, as_json=as_json)


@pool.command()
@_KIND
@as_json
def resume(kind: str | None, *, as_json: bool) -> None:
    """End a pause; those of other kinds and of single workers stay.

    \b
    Examples:
      taskmessenger pool resume
      taskmessenger pool resume --kind hash
    """  # noqa: D301  \b keeps click from filling the examples
    found = run(_steer, "resume", kind)
    tell(f"{_what(kind)} not paused any more", {"paused": found.paused}, as_json=as_json)
    if found.paused:
        note(f"still paused: {', '.join(_scope(scope) for scope in found.paused)}")


async def _steer(verb: str, kind: str | None) -> PoolStatus:
    async with manager() as remote:
        await remote.command(verb, scope="all" if kind is None else f"kind:{kind}")
        return await remote.status()


def _what(kind: str | None) -> str:
    return "the fleet is" if kind is None else f"tasks of kind `{kind}` are"


def _option(kind: str | None) -> str:
    return "" if kind is None else f" --kind {kind}"
