"""Backups of a manager: what goes into one besides the tasks, and where its parts go when it is restored.

Whoever may ask for one has to be on the manager's machine: the file is written there, by the manager.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Final, Protocol

import anyio

from .. import __version__
from ..core.errors import ConfigError, Conflict, DataMissing, UsageError
from ..core.text import count, printable
from ..net.security.authority import AUTHORITY_FILE, Authority
from ..net.security.private_files import create_private, private_folder, read_private
from ..paths import Paths, private_directory
from ..store import offline
from ..store.archive import Facts, Manifest
from ..store.database import RESTORE
from ..store.last import Last

log = logging.getLogger(__name__)

AUTHORITY: Final = f"authority/{AUTHORITY_FILE}"
"""The fleet's authority in a backup."""
KEPT: Final = "kept"
"""A file beside the authority: its manager has kept data, which a later start must find."""
MAX_PATH: Final = 4_096


class Archive(Protocol):
    """The store, as far as it is needed here."""

    async def archive(self, target: Path, extra: Mapping[str, bytes], facts: Facts) -> Manifest: ...


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a backup."""

    manifest: Manifest
    aside: Path | None
    """Where the data before are."""
    founder: str
    """The fleet whose authority is here now; empty when there is none."""


class Copies:
    """Makes backups of a manager that runs, one at a time."""

    def __init__(self, store: Archive, authority: Authority) -> None:
        self._store, self._authority = store, authority
        self._turn = anyio.Lock()

    async def make(self, path: str, *, with_authority: bool) -> Manifest:
        """Write all that is kept to the new file `path`.

        Raises:
            UsageError: no path that a manager can write. Conflict, StoreError: the file.
        """
        target = Path(path)
        if not target.is_absolute() or len(path) > MAX_PATH:
            raise UsageError(f"`{printable(path, 200)}` is no whole path: a backup is written by the manager")
        facts = Facts(version=__version__, fleet=self._authority.fleet_id, made_at=time())
        async with self._turn:
            extra = _extra(self._authority.folder) if with_authority else {}
            return await self._store.archive(target, extra, facts)


def back_up_here(paths: Paths, target: Path, *, with_authority: bool) -> Manifest:
    """Make one of the manager of this user that does not run.

    Raises:
        As `store.offline.back_up`. ConfigError: the authority cannot be read.
    """
    fleet = _fleet(paths.authority)
    facts = Facts(version=__version__, fleet=fleet, made_at=time())
    extra = _extra(paths.authority) if with_authority else {}
    return offline.back_up(paths.database, target, extra, facts)


def restore(paths: Paths, source: Path, *, replace: bool) -> Restored:
    """Put a backup in the place of this user's manager.

    Raises:
        As `store.offline.restore`. Conflict: another authority than that of the backup is here.
    """
    private_directory(paths.database.parent)
    done = offline.restore(source, paths.database, replace=replace)
    authority = done.extra.get(AUTHORITY)
    if authority is not None:
        _found(paths.authority, authority, replace=replace)
    return Restored(done.manifest, done.aside, _fleet(paths.authority))


def note_kept(paths: Paths) -> None:
    """From here on this authority has data; called when the store is open. A full disk may forget it."""
    with suppress(FileExistsError, ConfigError):
        create_private(paths.authority / KEPT, f"{paths.database}\n".encode())


def check_founder(paths: Paths, *, accept_loss: bool) -> None:
    """No manager founds another fleet while members of the old one are known or begins with nothing, unasked.

    Raises:
        DataMissing: the authority is gone, or all that it had kept, and nobody has accepted that.
    """
    path = paths.authority / AUTHORITY_FILE
    if path.exists():
        _check_kept(paths, accept_loss=accept_loss)
        return
    members = offline.members(paths.database)
    if not members:
        return
    joined = count(members, "member has joined", "members have joined")
    gone = f"{path} is gone, and {joined} with it"
    if not accept_loss:
        raise DataMissing(
            f"{gone}: put the folder back, restore a backup that was made --with-authority, or start the"
            " manager once with --accept-data-loss: then all have to join again"
        )
    log.error("a new fleet is founded: %s", gone)


def _check_kept(paths: Paths, *, accept_loss: bool) -> None:
    database = paths.database
    if not (paths.authority / KEPT).exists() or database.exists() or Last(database).path.exists():
        return  # what is there of it is looked at when it is opened
    gone = f"{database} is gone, with all tasks and members of the fleet"
    if not accept_loss:
        raise DataMissing(
            f"{gone}: put it back, {RESTORE}, or start the manager once with --accept-data-loss: then it"
            " begins with nothing, and all have to join again"
        )
    log.error("a loss of data is accepted: %s", gone)


def _found(folder: Path, authority: bytes, *, replace: bool) -> None:
    path = private_folder(folder) / AUTHORITY_FILE
    try:
        create_private(path, authority)
    except FileExistsError:
        if read_private(path) == authority:
            return
        if not replace:
            raise Conflict(
                f"{path}: is another authority than that of the backup: move it away, then restore again"
            ) from None
        path.rename(path.with_name(f"{AUTHORITY_FILE}.replaced-{int(time())}"))
        create_private(path, authority)


def _extra(folder: Path) -> dict[str, bytes]:
    try:
        return {AUTHORITY: read_private(folder / AUTHORITY_FILE)}
    except FileNotFoundError as error:
        raise ConfigError(f"{folder / AUTHORITY_FILE}: is not there: leave out --with-authority") from error


def _fleet(folder: Path) -> str:
    """The id of the fleet whose authority is kept here; empty for none."""
    if not (folder / AUTHORITY_FILE).exists():
        return ""
    return Authority.load_or_create(folder, "", time()).fleet_id
