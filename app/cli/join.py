"""`taskmessenger join`: become a client or operator of a fleet whose manager runs elsewhere."""

from __future__ import annotations

import platform
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Final

import click

from ..core.errors import Conflict, UsageError
from .options import NAME, as_json
from .output import tell

if TYPE_CHECKING:
    from ..net.security.identity import Identity
    from ..net.security.invites import Invite

MAX_NAME: Final = 64


@click.command()
@click.argument("invite", required=False, metavar="[-]")
@click.option(
    "--invite-file", type=click.Path(path_type=Path), metavar="FILE", help="The invite is in a file."
)
@click.option(
    "--name", type=NAME, metavar="NAME", help="What this machine is to be called; its host name if not given."
)
@as_json
def join(invite: str | None, *, invite_file: Path | None, name: str | None, as_json: bool) -> None:
    """Join a fleet elsewhere with an invite for a client or operator.

    The invite is asked for, or read from standard input. From then on commands typed here reach that
    manager, unless one of your own runs on this machine; once an operator has approved it, if the invite
    asks for that.

    \b
    Examples:
      taskmessenger join
      ssh manager taskmessenger invite --role client | taskmessenger join -
    """  # noqa: D301  \b keeps click from filling the examples
    from ..net.security.invites import decode
    from .connect import run
    from .role import read_invite

    if invite is not None and invite_file is not None:
        raise UsageError("give the invite in a file or on standard input, not both")
    text = read_invite(invite or "-" if invite_file is None else None, invite_file)
    found = decode(text or "", time())
    if found.role == "worker":
        raise UsageError(
            "this invite is for a worker: use it with `taskmessenger --role worker --no-ui --join -`,"
            " or make one with `taskmessenger invite --role client` at the manager"
        )
    identity = run(enter, found, name)
    told = f"joined {identity.manager_name} as {identity.peer_id} ({identity.role})"
    facts = {
        "manager": identity.manager_name,
        "id": identity.peer_id,
        "role": identity.role,
        "approved": not found.approve,
        "fingerprint": identity.certificate.fingerprint,
    }
    tell(f"{told}; {identity.waits}" if found.approve else told, facts, as_json=as_json)


async def enter(invite: Invite, name: str | None) -> Identity:
    """Become a client or operator with this invite, under this name or that of the host.

    Raises:
        Conflict: this user is one already. Unreachable, InviteError: the manager cannot be asked, or says no.
    """
    from .. import __version__
    from ..net.carriers import approach_for_a_command
    from ..net.security.identity import is_joined
    from ..paths import find, private_directory

    paths = find()
    folder = paths.identity(invite.role)
    if is_joined(folder):
        raise Conflict(f"you have joined a fleet as {invite.role}: move {folder} away to join another")
    private_directory(folder.parent)
    who = (name or platform.node() or "host")[:MAX_NAME]
    inventory = f"{platform.system()} {platform.machine()}, version {__version__}"
    async with approach_for_a_command(invite.role, paths) as approach:
        return await approach.join(invite, who, folder, inventory)
