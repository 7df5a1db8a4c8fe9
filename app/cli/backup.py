"""`taskmessenger backup` and `taskmessenger restore`: the manager's data as one file, and back again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from ..core.errors import Conflict, Unreachable
from ..core.text import count
from .connect import run
from .options import as_json
from .output import note, tell, when

if TYPE_CHECKING:
    from ..store.archive import Manifest

BACKUP_SECONDS: Final = 6 * 3600.0
"""How long one may take."""
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=_FILE, metavar="FILE")
@click.option(
    "--with-authority",
    is_flag=True,
    help="Also the key of the fleet: who has that file can let anybody in.",
)
@as_json
def backup(file: Path, *, with_authority: bool, as_json: bool) -> None:
    """Write all tasks, results and members of this machine's manager to the new file FILE.

    The manager may run: work goes on, and everything that was acknowledged before is in the file. It is
    looked through before it gets its name, and can be read by you alone. Without --with-authority keep a copy
    of the authority's folder elsewhere: `taskmessenger config paths` says where it is.

    \b
    Examples:
      taskmessenger backup tasks-monday.tar
      taskmessenger backup /mnt/safe/fleet.tar --with-authority
    """  # noqa: D301  \b keeps click from filling the examples
    from ..paths import find
    from ..store.archive import read_manifest

    target = Path(os.path.abspath(file))  # noqa: PTH100 - the name as it was given, links and all
    if target.exists():
        raise Conflict(f"{target} exists already: name another file")
    paths = find()
    try:
        run(_ask, paths.socket, target, with_authority)
    except Unreachable:
        from ..roles.copies import back_up_here

        back_up_here(paths, target, with_authority=with_authority)
    manifest = read_manifest(target)
    if manifest.unreadable:
        values = count(manifest.unreadable, "damaged payload or result", "damaged payloads or results")
        note(f"warning: {values} left out")
    text = f"{target}: {_told(manifest)}, {target.stat().st_size:,} bytes"
    tell(text, _facts(manifest, file=str(target)), as_json=as_json)


async def _ask(socket: Path, target: Path, with_authority: bool) -> None:
    """Have the manager that runs here write it.

    Raises:
        Unreachable: none runs here.
    """
    from ..handle import Act
    from ..net import messages as m
    from ..net.client import connect_locally
    from ..remote import attach

    act = Act("backup", scope=str(target), number=float(with_authority))
    async with attach(lambda: connect_locally(socket)) as remote:
        try:
            await remote.ask(lambda n: m.Do(n, act), m.Did, again=False, seconds=BACKUP_SECONDS)
        except Unreachable as error:  # it was there a moment ago, and may be so again
            raise Conflict(f"the manager went away while it wrote the backup: {error}") from error


@click.command()
@click.argument("file", type=_FILE, metavar="FILE")
@click.option("--replace", is_flag=True, help="Move the data that are here aside; nothing is deleted.")
@as_json
def restore(file: Path, *, replace: bool, as_json: bool) -> None:
    """Put the backup FILE in place as the data of this machine's manager, which must not run.

    All of it is checked before anything is touched. What happened after the backup was made is gone: workers
    drop the results that they keep of that time, and tasks that had not ended by then run again. New tasks
    have higher numbers than any before.

    \b
    Examples:
      taskmessenger restore tasks-monday.tar
      taskmessenger restore /mnt/safe/fleet.tar --replace
    """  # noqa: D301  \b keeps click from filling the examples
    from ..paths import find
    from ..roles import copies

    done = copies.restore(find(), Path(os.path.abspath(file)), replace=replace)  # noqa: PTH100 - as above
    if done.aside is not None:
        note(f"what was here before is in {done.aside}")
    if done.founder != done.manifest.fleet:
        has = "is not here" if not done.founder else "is not the one that is here"
        note(f"warning: the authority of fleet {done.manifest.fleet} {has}: put its folder back first")
    aside = str(done.aside) if done.aside is not None else None
    tell(f"restored: {_told(done.manifest)}", _facts(done.manifest, aside=aside), as_json=as_json)


def _told(manifest: Manifest) -> str:
    return f"{count(manifest.tasks, 'task')}, {manifest.open:,} of them open, as of {when(manifest.made_at)}"


def _facts(manifest: Manifest, **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(manifest)
    return facts | more
