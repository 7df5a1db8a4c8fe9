"""`taskmessenger` alone, on a terminal: the start screen, and then what was chosen on it.

What cannot be begun is told on the start screen, which opens again. Settings that were filled in are written
into the file of the role before it starts: the next start, with or without a console, is the same.
"""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Final

import click

from ..core.errors import ConfigError, TaskMessengerError
from ..paths import Paths, Role, find

if TYPE_CHECKING:
    from ..net.security.identity import Identity
    from ..screens.beginning import Begin, Known
    from .console import Extras

NO_ROLE: Final = {
    "name": None, "listen": (), "advertise": (), "join": None, "join_file": None, "capacity": None,
    "discover": None, "accept_data_loss": None,
}  # fmt: skip
"""Flags of a role, none of them given."""


def is_a_terminal() -> bool:
    """Whether there is somebody to ask, and a screen to ask on."""
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return terminal and os.environ.get("TERM", "") not in {"", "dumb"}


def begin(*, read_only: bool, record: Path | None) -> None:
    """Ask what this machine is to be, and be it. Returns when the operator is done."""
    from ..screens.prefs import Prefs
    from ..screens.start import StartApp
    from .console import ConsoleFailed, raise_report
    from .ending import Ending

    paths = find()
    prefs, error = Prefs(paths), ""
    while True:
        ending = Ending().begin(hangups=True)
        screen = StartApp(look(paths, prefs.kept.start, error), prefs)
        chosen = ending.show(screen)
        raise_report(screen.report)
        ending.check()
        if chosen is None:
            return
        prefs.keep(start=chosen.what)
        try:
            carry_out(chosen, paths, read_only=read_only, record=record)
        except ConsoleFailed:
            raise
        except TaskMessengerError as wrong:
            error = str(wrong)
        else:
            return


def ask_to_join(paths: Paths) -> str | None:
    """The invite of a worker that has not joined, asked for on the terminal; None: the operator left."""
    from ..screens.prefs import Prefs
    from ..screens.start import StartApp

    chosen = StartApp(look(paths), Prefs(paths), joins=True).run()
    return None if chosen is None else chosen.invite


def look(paths: Paths, last: str = "", error: str = "") -> Known:
    """What is known of this machine, from its files."""
    from ..net.addresses import own_addresses
    from ..screens.beginning import MAX_NAME, Known

    name, told, listen = _manager(paths)
    member = _identity(paths, ("operator", "client"))
    worker = _identity(paths, ("worker",))
    return Known(
        name=(name or platform.node() or "host")[:MAX_NAME],
        running=_answers(paths),
        manager=told,
        listen=listen,
        addresses=tuple(own_addresses(4)),
        zerotier=_why_no_zerotier(paths),
        worker=worker.manager_name if worker is not None else "",
        member=f"{member.manager_name}, as {member.role}" if member is not None else "",
        member_at=next(iter(member.endpoints), "") if member is not None else "",
        last=last,
        error=error,
    )


def carry_out(chosen: Begin, paths: Paths, *, read_only: bool, record: Path | None) -> None:
    """Begin what was chosen, with its console, to its end.

    Raises:
        TaskMessengerError: it cannot be begun.
    """
    from ..screens import beginning as b
    from . import console

    extras = console.Extras(record=record)
    match chosen.what:
        case b.MANAGER:
            new = not paths.database.exists()
            _set(paths, "manager", chosen)
            click.echo("starting the manager", err=True)
            _be("manager", read_only, console.Extras(record=record, welcome=new and not read_only))
        case b.WORKER:
            _set(paths, "worker", chosen)
            click.echo("starting the worker", err=True)
            _be("worker", read_only, extras, chosen.invite)
        case b.DEMO:
            console.demo(read_only=read_only, extras=extras)
        case b.HERE:
            console.attach(console.NEAREST, read_only=read_only, extras=extras)
        case _:
            address = chosen.address
            if chosen.invite:
                address = _join(chosen.invite).endpoints[0]
            console.attach(address, read_only=read_only, extras=extras)


def _be(role: Role, read_only: bool, extras: Extras, invite: str = "") -> None:
    from . import role as roles

    roles.start(role, no_ui=False, read_only=read_only, file=None, extras=extras, invite=invite, **NO_ROLE)


def _set(paths: Paths, role: Role, chosen: Begin) -> None:
    from ..config.edit import write_all

    if chosen.settings:
        write_all(paths.config_file(role), paths, role, chosen.settings)


def _join(invite: str) -> Identity:
    from ..net.security.invites import decode
    from .connect import run
    from .join import enter

    return run(enter, decode(invite, time()), None)


def _manager(paths: Paths) -> tuple[str, str, tuple[str, ...]]:
    """Name, description and addresses of the manager here; no description when it never ran."""
    from ..config import load

    try:
        config = load("manager", {}, os.environ, paths).config
    except ConfigError:  # it is told when the manager is started
        return "", "as it is set", ()
    listen = config.transport.listen
    told = f"{config.name}, at {', '.join(listen)}" if paths.database.exists() else ""
    return config.name, told, listen


def _identity(paths: Paths, roles: tuple[str, ...]) -> Identity | None:
    for role in roles:
        if paths.identity(role).is_dir():
            from ..net.security.identity import is_joined, load

            with suppress(TaskMessengerError):  # a damaged one is told when it is used
                if is_joined(paths.identity(role)):
                    return load(paths.identity(role), role)
    return None


def _answers(paths: Paths) -> bool:
    """Whether a manager listens at the local socket: the file may be left over."""
    if not paths.socket.exists():
        return False
    import socket

    from ..net.unix_name import short_name

    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            with short_name(paths.socket) as name:
                probe.connect(name)
        except OSError:
            return False
    return True


def _why_no_zerotier(paths: Paths) -> str:
    from ..net.zerotier.library import search

    try:
        search(None, paths)
    except ConfigError as error:
        return str(error)
    return ""
