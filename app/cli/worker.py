"""`taskmessenger worker`: list workers, pause and resume them, let them leave, end their membership."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from ..core.errors import Conflict, NotFound, UsageError
from .connect import manager, run
from .options import DURATION, NAME, as_json
from .output import Table, block, note, span, tell, when

if TYPE_CHECKING:
    from ..handle import PendingRow, WorkerRow
    from ..remote import Remote

DRAIN_SECONDS: Final = 30.0
MAX_DIGITS: Final = 6
"""Of a limit."""
_HEAD: Final = (
    "ID",
    "STATE",
    "RUNNING",
    "CAPACITY",
    "HELD",
    "DONE",
    "ERRORS",
    "RTT",
    "HEARD",
    "VERSION",
    "VIA",
    "ADDRESS",
)
_PENDING: Final = ("ID", "ROLE", "FINGERPRINT", "INVITE", "SINCE", "MACHINE")
VIA: Final = {"zt": "zerotier"}
"""What people call a transport, where that is not its scheme."""
_HERE: Final = {"connected", "paused", "draining", "quarantined"}
_ID = click.argument("worker_id", type=NAME, metavar="ID")


@click.group()
def worker() -> None:
    """List, pause, drain and revoke workers.

    \b
    Examples:
      taskmessenger worker ls
      taskmessenger worker drain w-fern-7f3k --deadline 5m
      taskmessenger worker revoke w-fern-7f3k --yes
      taskmessenger worker ls --pending
      taskmessenger worker approve w-fern-7f3k
    """  # noqa: D301  \b keeps click from filling the examples


@worker.command("ls")
@click.option("--pending", is_flag=True, help="Members of every role that wait for approval instead.")
@as_json
def ls(*, pending: bool, as_json: bool) -> None:
    """Every worker that is or was a member, and how it is.

    States: connected, paused, draining, away (it may come back to its tasks), offline, revoked.

    \b
    Examples:
      taskmessenger worker ls
      taskmessenger worker ls --pending
    """  # noqa: D301  \b keeps click from filling the examples
    if pending:
        _ls_pending(as_json=as_json)
        return

    async def ask() -> list[WorkerRow]:
        async with manager() as remote:
            return await remote.workers()

    rows = run(ask)
    if as_json:
        from .rows import worker_json

        block([worker_json(row) for row in rows])
        return
    Table(_HEAD).add(map(_cells, rows))
    for row in rows:
        for name, why in row.broken.items():
            note(f"{row.id}: kind {name} is disabled: {why}")
        for text in held_up(row):
            note(text)
    if not rows:
        note("no worker has joined yet: `taskmessenger invite` says how")


def held_up(row: WorkerRow) -> list[str]:
    """Why a worker that is here takes no tasks, and which of its slots are taken for good, in sentences."""
    told = []
    if row.state in _HERE and row.held_up:
        told.append(f"worker {row.id} {row.held_up}")
    for task, kind, since in row.stuck:
        age = span(max(0.0, time.time() - since))
        told.append(
            f"worker {row.id}: task {task} of `{kind}` does not stop and keeps its slot, for {age}: restart"
            " the worker to free that"
        )
    return told


def _ls_pending(*, as_json: bool) -> None:
    """Who waits: its fingerprint is the one that the machine itself shows, or it is another machine."""

    async def ask() -> list[PendingRow]:
        async with manager() as remote:
            return await remote.pending()

    rows = run(ask)
    if as_json:
        block([_pending_json(row) for row in rows])
        return
    Table(_PENDING).add(
        (row.id, row.role, row.fingerprint, row.invite, when(row.since), row.inventory or None)
        for row in rows
    )
    if not rows:
        note("nobody waits for approval: `taskmessenger invite --approve` makes invites that ask for it")


def _pending_json(row: PendingRow) -> dict[str, object]:
    return {
        "id": row.id,
        "role": row.role,
        "fingerprint": row.fingerprint,
        "invite": row.invite,
        "since": row.since,
        "until": row.until,
        "inventory": row.inventory,
    }


@worker.command()
@_ID
@as_json
def approve(worker_id: str, *, as_json: bool) -> None:
    """Let a member in that waits for it, of any role. To reject one: `worker revoke`.

    Compare its fingerprint first: `worker ls --pending` shows it, and so does the machine itself.

    \b
    Examples:
      taskmessenger worker approve w-vm-eh2e
    """  # noqa: D301  \b keeps click from filling the examples

    async def ask() -> None:
        async with manager() as remote:
            await remote.command("approve", scope=worker_id)

    run(ask)
    tell(f"{worker_id} is approved", {"id": worker_id, "state": "approved"}, as_json=as_json)


def _cells(row: WorkerRow) -> tuple[object, ...]:
    heard = None if row.last_heard is None else f"{span(row.last_heard)} ago"
    rtt = None if row.rtt is None else f"{row.rtt * 1000:.1f} ms"
    here = row.state in _HERE
    did = (row.done, row.failed) if here or row.done or row.failed else (None, None)
    numbers = (*((row.running, row.capacity, row.held) if here else (None,) * 3), *did)
    via = VIA.get(row.transport, row.transport) if here else None
    return (row.id, row.state, *numbers, rtt, heard, row.version, via, row.address)


@worker.command()
@_ID
@as_json
def pause(worker_id: str, *, as_json: bool) -> None:
    """Start nothing new on a worker, not even what it was given already; what runs goes on.

    \b
    Examples:
      taskmessenger worker pause w-vm-eh2e
    """  # noqa: D301  \b keeps click from filling the examples
    row = run(_steer, "pause", worker_id)
    text = f"{worker_id} is paused; `taskmessenger worker resume {worker_id}` ends that"
    tell(text, _state(row), as_json=as_json)


@worker.command()
@_ID
@as_json
def resume(worker_id: str, *, as_json: bool) -> None:
    """End the pause of a worker.

    \b
    Examples:
      taskmessenger worker resume w-vm-eh2e
    """  # noqa: D301  \b keeps click from filling the examples
    row = run(_steer, "resume", worker_id)
    tell(f"{worker_id} {_after_resume(row)}", _state(row), as_json=as_json)


def _after_resume(row: WorkerRow) -> str:
    """What is true of it once the pause is over."""
    if row.state not in _HERE:
        return f"is not paused here any more, but it is {row.state}: it can run tasks when it is back"
    if row.held_up.startswith("the fleet"):
        return f"is not paused itself any more, but {row.held_up}: `taskmessenger pool resume` ends that"
    if row.held_up:
        return f"is not paused by the manager any more, but it {row.held_up}"
    return "may run tasks again"


@worker.command()
@_ID
@click.option(
    "--deadline",
    type=DURATION,
    default=DRAIN_SECONDS,
    show_default="30s",
    help="How long what runs may go on; 0: not at all.",
)
@as_json
def drain(worker_id: str, *, deadline: float, as_json: bool) -> None:
    """Let a worker end what it runs and leave; what has not ended by the deadline goes to others.

    \b
    Examples:
      taskmessenger worker drain w-vm-eh2e --deadline 5m
    """  # noqa: D301  \b keeps click from filling the examples

    async def ask() -> None:
        async with manager() as remote:
            row = await _known(remote, worker_id)
            if row.state not in _HERE:
                raise Conflict(f"worker {worker_id} is {row.state}: only a connected one can be drained")
            await remote.command("drain", scope=worker_id, deadline=deadline)

    run(ask)
    text = f"{worker_id} ends what it runs and leaves, in {span(deadline)} at most"
    tell(text, {"id": worker_id, "state": "draining", "deadline": deadline}, as_json=as_json)


@worker.command()
@_ID
@click.argument("tasks", metavar="N|none")
@as_json
def limit(worker_id: str, tasks: str, *, as_json: bool) -> None:
    """Let a worker have at most N tasks at a time, whatever it offers; `none` ends that.

    It holds until it is ended, across restarts too. What the worker already has it may still run.

    \b
    Examples:
      taskmessenger worker limit w-vm-eh2e 2
      taskmessenger worker limit w-vm-eh2e none
    """  # noqa: D301  \b keeps click from filling the examples
    from ..handle import Act

    if tasks != "none" and not (tasks.isascii() and tasks.isdecimal() and len(tasks) <= MAX_DIGITS):
        raise UsageError(f"`{tasks[:40]}` is no limit: give a whole number from 0, or none")

    async def ask() -> None:
        async with manager() as remote:
            await _known(remote, worker_id)
            number = -1 if tasks == "none" else int(tasks)
            await remote.act(Act("limit", scope=f"worker:{worker_id}", number=number))

    run(ask)
    text = (
        f"{worker_id} has no limit any more"
        if tasks == "none"
        else f"{worker_id} gets at most {tasks} at a time"
    )
    tell(text, {"id": worker_id, "limit": None if tasks == "none" else int(tasks)}, as_json=as_json)


@worker.command()
@_ID
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def revoke(worker_id: str, *, yes: bool, as_json: bool) -> None:
    """End the trust in a worker, client or operator: its connection is closed, it cannot come back.

    \b
    Examples:
      taskmessenger worker revoke w-vm-eh2e --yes
    """  # noqa: D301  \b keeps click from filling the examples
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"revoking {worker_id} cannot be undone: say --yes to mean it")
        if not click.confirm(f"Revoke {worker_id}? It must be invited anew to come back", err=True):
            raise click.Abort

    async def ask() -> None:
        async with manager() as remote:
            await remote.command("revoke", scope=worker_id)

    run(ask)
    text = f"{worker_id} is revoked; tasks that it held go to others"
    tell(text, {"id": worker_id, "state": "revoked"}, as_json=as_json)


def _state(row: WorkerRow) -> dict[str, str]:
    return {"id": row.id, "state": row.state}


async def _steer(verb: str, worker_id: str) -> WorkerRow:
    async with manager() as remote:
        row = await _known(remote, worker_id)
        if row.state == "revoked":
            raise Conflict(f"worker {worker_id} is revoked: there is nothing to {verb}")
        await remote.command(verb, scope=f"worker:{worker_id}")
        return await _known(remote, worker_id)


async def _known(remote: Remote, worker_id: str) -> WorkerRow:
    """The worker with exactly this id.

    Raises:
        NotFound: there is none; names the nearest.
    """
    rows = {row.id: row for row in await remote.workers()}
    if worker_id in rows:
        return rows[worker_id]
    from difflib import get_close_matches

    near = get_close_matches(worker_id, rows, n=1)
    cure = f"did you mean {near[0]}?" if near else "see `taskmessenger worker ls`"
    raise NotFound(f"there is no worker {worker_id}: {cure}")
