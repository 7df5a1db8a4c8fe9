"""`taskmessenger audit`: who did what to the fleet, and whether that was changed since."""

from __future__ import annotations

from collections.abc import Iterator
from time import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..core.errors import PeerError, StoreError, Unreachable
from ..core.text import count
from .connect import run
from .options import A_WHILE
from .output import line, note, to_json, when

if TYPE_CHECKING:
    from ..handle.audit import AuditRow


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, oldest first.")
@click.option("--since", type=A_WHILE, metavar="TIME", help="Only what was done in this time, such as 2h.")
@click.option("--verify", is_flag=True, help="Check that no row was changed or taken out.")
def audit(*, as_json: bool, since: float | None, verify: bool) -> None:
    """Print who did what: joins, approvals, invites, and every act on tasks, workers and the fleet.

    Asks the manager that runs here, or reads its database when it does not run. Each row has the hash of the
    one before, so a changed row is noticed; note the newest hash elsewhere, and rows that were taken off the
    end are noticed as well.

    \b
    Examples:
      taskmessenger audit --since 1d
      taskmessenger audit --json > audit.jsonl
      taskmessenger audit --verify
    """  # noqa: D301  \b keeps click from filling the examples
    from ..handle.audit import broken

    before, wrong, number = None, "", 0
    for rows in _pages(0.0 if since is None or verify else time() - since):
        wrong = broken(rows, before) if verify else ""
        if wrong:
            raise StoreError(f"the audit is not as it was written: {wrong}")
        before, number = rows[-1], number + len(rows)
        for row in rows if not verify else ():
            if as_json:
                click.echo(to_json(msgspec.to_builtins(row)))
            else:
                line(_told(row))
    if verify:
        end = f"; the newest is {before.number}, with hash {before.hash}" if before is not None else ""
        note(f"{count(number, 'row is', 'rows are')} as written{end}")


def _pages(since: float) -> Iterator[list[AuditRow]]:
    """All rows from that moment on, some at a time."""
    after, here = 0, True
    while True:
        try:
            rows = run(_ask, after, since) if here else _read(after, since)
        except Unreachable:
            if after:
                raise
            here, rows = False, _read(after, since)
        if not rows:
            return
        yield rows
        after = rows[-1].number


async def _ask(after: int, since: float) -> list[AuditRow]:
    """What the manager answers, here or as an operator elsewhere."""
    from ..handle.audit import AuditRow
    from ..net import messages as m
    from .connect import manager

    async with manager() as remote:
        facts: Any = (await remote.ask(lambda n: m.Ask(n, f"audit {after} {since!r}"), m.Facts)).facts
    try:
        return msgspec.msgpack.decode(facts, type=list[AuditRow])
    except msgspec.DecodeError as error:
        raise PeerError(f"what the manager says cannot be read: {error}") from error


def _read(after: int, since: float) -> list[AuditRow]:
    from ..paths import find
    from ..store.offline import read_audit

    return read_audit(find().database, after, since)


def _told(row: AuditRow) -> str:
    what = row.object or (f"`{row.filter}`" if row.filter else "")
    tasks = f" ({count(row.count, 'task')})" if row.count else ""
    often = f", {row.times} times" if row.times > 1 else ""
    origin = f" at {row.origin}" if row.origin else ""
    return f"{when(row.at)}  {row.who}{origin}: {row.verb} {what}{tasks}: {row.outcome}{often}"
