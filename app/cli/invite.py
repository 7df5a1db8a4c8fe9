"""`taskmessenger invite`: make, list and revoke invites. The secret is shown once, when it is made."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from .. import outlet
from ..core.errors import OutputLost, TaskMessengerError
from ..core.inviting import MAX_TTL, MAX_USES, MIN_TTL
from ..core.text import count
from .connect import manager, run
from .options import NAME, Duration, as_json
from .output import Table, block, note, span, tell, when

if TYPE_CHECKING:
    from ..handle import InviteRow
    from ..net.messages import InviteMade

ROLES: Final = ("worker", "client", "operator")
_JOIN: Final = {
    "worker": "taskmessenger --role worker --no-ui --join -",
    "client": "taskmessenger join -",
    "operator": "taskmessenger join -",
}
_MAY: Final = {
    "worker": "run tasks",
    "client": "submit tasks, see, cancel and retry them",
    "operator": "do everything that you may do here",
}


class CreateByDefault(click.Group):
    """`invite --uses 3` means `invite create --uses 3`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the missing word in."""
        if not args or (args[0].startswith("-") and args[0] not in {"-h", "--help"}):
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=CreateByDefault)
def invite() -> None:
    """Make, list and revoke invites. Without a further word: make one, with the options of `create`.

    \b
    Examples:
      taskmessenger invite
      taskmessenger invite --uses 50 --ttl 2h
      taskmessenger invite --role operator --json
      taskmessenger invite --uses 20 --approve
      taskmessenger invite revoke 7F3KQ9ZD
    """  # noqa: D301  \b keeps click from filling the examples


@invite.command()
@click.option(
    "--uses",
    type=click.IntRange(1, MAX_USES),
    metavar="N",
    help="Machines; 1 unless the manager is set otherwise.",
)
@click.option(
    "--ttl",
    type=Duration(MIN_TTL, MAX_TTL),
    help="How long it is good for; 15m unless the manager is set otherwise.",
)
@click.option(
    "--role", type=click.Choice(ROLES), default="worker", show_default=True, help="What they become."
)
@click.option("--approve", is_flag=True, help="Who joins with it waits for `worker approve`.")
@click.option("--ephemeral", is_flag=True, help="Who joins with it is forgotten when it leaves.")
@as_json
def create(
    *, uses: int | None, ttl: float | None, role: str, approve: bool, ephemeral: bool, as_json: bool
) -> None:
    """Make an invite: its text alone goes to standard output. Whoever has it may join.

    \b
    Examples:
      taskmessenger invite create --uses 50 --ttl 2h
      taskmessenger invite --role operator --json
    """  # noqa: D301  \b keeps click from filling the examples

    async def ask() -> InviteMade:
        async with manager() as remote:
            return await remote.make_invite(uses or 0, ttl or 0.0, role, approve=approve, ephemeral=ephemeral)

    made = run(ask)
    endpoints = _endpoints(made.text)
    with _revoked_unless_printed(made.invite.id):
        if as_json:
            block({"invite": made.text, **_json(made.invite), "endpoints": endpoints})
        else:
            _explain(made.invite, endpoints)
            click.echo(made.text)
    if made.invite.uses > 1:
        note(
            f"warning: {count(made.invite.uses, 'machine')} can join with it until it expires; revoke it then"
        )
    if endpoints and all(map(_is_loopback, endpoints)):
        note(
            f"warning: it leads to {', '.join(endpoints)}, which only this machine can reach; for others"
            " start the manager with --listen tcp://0.0.0.0:7711 --advertise tcp://THIS-HOST:7711"
        )


@contextmanager
def _revoked_unless_printed(invite_id: str) -> Iterator[None]:
    """Its text is shown this once: an invite that nobody has, or half of it, is not left open."""
    try:
        yield
    except (OutputLost, KeyboardInterrupt):
        outlet.give_up()
        try:
            run(_revoke, invite_id)
        except TaskMessengerError as error:
            note(
                f"the text of invite {invite_id} was not printed and it is still open ({error}):"
                f" `taskmessenger invite revoke {invite_id}`"
            )
        else:
            note(f"the text of invite {invite_id} was not printed, so it is revoked: make another")
        raise


async def _revoke(invite_id: str) -> None:
    async with manager() as remote:
        await remote.revoke_invite(invite_id)


def _explain(row: InviteRow, endpoints: list[str]) -> None:
    left = span(max(0.0, row.expires_at - time.time()))
    note("Join this fleet from any machine with")
    note(f"    {_JOIN[row.role]}      (then paste)")
    note(f"Invite {row.id}: {count(row.uses, 'use')}, until {when(row.expires_at)} ({left})")
    note(f"Whoever joins with it may {_MAY[row.role]}. It leads to {', '.join(endpoints)}")
    if row.approve:
        note("Each of them waits until you approve it: `taskmessenger worker ls --pending` shows them")
    if row.ephemeral:
        note("Each of them is forgotten when it leaves, or stays away for ten minutes")


def _endpoints(text: str) -> list[str]:
    from ..net.security.invites import decode

    return [str(endpoint) for endpoint in decode(text, 0.0).endpoints]


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@invite.command("ls")
@as_json
def ls(*, as_json: bool) -> None:
    """All invites, newest first, without their secrets.

    States: open, used (up), expired, revoked.

    \b
    Examples:
      taskmessenger invite ls
      taskmessenger invite ls --json
    """  # noqa: D301  \b keeps click from filling the examples

    async def ask() -> list[InviteRow]:
        async with manager() as remote:
            return await remote.invites()

    rows = run(ask)
    if as_json:
        block([_json(row) for row in rows])
        return
    Table(("ID", "ROLE", "STATE", "LEFT", "USES", "MADE", "EXPIRES", "ASKS")).add(
        (
            row.id,
            row.role,
            _state(row),
            row.uses_left,
            row.uses,
            when(row.created_at),
            when(row.expires_at),
            _terms(row) or None,
        )
        for row in rows
    )
    if not rows:
        note("there are no invites: `taskmessenger invite` makes one")


@invite.command()
@click.argument("invite_id", type=NAME, metavar="ID")
@as_json
def revoke(invite_id: str, *, as_json: bool) -> None:
    """Let nobody use an invite any more. Who has joined with it stays: see `worker revoke`.

    \b
    Examples:
      taskmessenger invite revoke 7F3KQ9ZD
    """  # noqa: D301  \b keeps click from filling the examples
    invite_id = invite_id.upper()

    run(_revoke, invite_id)
    tell(f"invite {invite_id} is revoked", {"id": invite_id, "state": "revoked"}, as_json=as_json)


def _state(row: InviteRow) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.uses_left <= 0:
        return "used"
    return "expired" if time.time() >= row.expires_at else "open"


def _terms(row: InviteRow) -> str:
    """What it asks of those who join with it."""
    return ", ".join(
        name for name, asked in (("approval", row.approve), ("ephemeral", row.ephemeral)) if asked
    )


def _json(row: InviteRow) -> dict[str, Any]:
    """An invite in the words of `--json`."""
    return {
        "id": row.id,
        "role": row.role,
        "state": _state(row),
        "uses": row.uses,
        "uses_left": row.uses_left,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "approve": row.approve,
        "ephemeral": row.ephemeral,
    }
