"""`taskmessenger --role manager|worker`: starts a role from flags, environment and file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

import click

from .. import outlet, streams
from ..core.errors import UsageError
from ..core.text import decoded, printable
from ..locks import Starting
from ..paths import Paths, find, private_directory

if TYPE_CHECKING:
    from ..config.load import Loaded
    from ..config.model import ManagerConfig, WorkerConfig
    from ..hosted import Hosted
    from .console import Extras

MAX_INVITE: Final = 16_384
"""Bytes that are read for an invite."""


def start(
    role: str,
    *,
    no_ui: bool,
    read_only: bool,
    file: Path | None,
    extras: Extras | None = None,
    invite: str = "",
    **given: Any,
) -> None:
    """Be a manager or a worker: with a console, or without one until a signal ends it.

    `invite`: one that a worker was given without a flag.
    """
    from .. import logs
    from ..config import load

    if no_ui and read_only:
        raise UsageError("--read-only is for a console: leave out --no-ui, or --read-only")
    if not no_ui:
        from .console import check_terminal

        check_terminal()
    paths = find()
    flags: dict[str, object] = {"name": given["name"]}
    if role == "manager":
        _none_of(given, ("join", "join_file", "capacity", "discover"), "worker")
        flags |= {"transport.listen": given["listen"], "transport.advertise": given["advertise"]}
        manager = load("manager", flags, os.environ, paths, file=file)
        log = partial(logs.setup, "manager", manager.config.logging, paths)
        private_directory(paths.starting.parent)
        with Starting(paths.starting) as starting:
            accept_loss = bool(given["accept_data_loss"])
            begin = partial(_manager, manager, paths, accept_loss=accept_loss, ready=starting.over)
            _run(role, begin, log, no_ui=no_ui, read_only=read_only, extras=extras)
        return
    _none_of(given, ("listen", "advertise", "accept_data_loss"), "manager")
    flags |= {"capacity": given["capacity"], "discovery.enabled": given["discover"]}
    worker = load("worker", flags, os.environ, paths, file=file)
    log = partial(logs.setup, "worker", worker.config.logging, paths)
    text = _for_worker(invite or read_invite(given["join"], given["join_file"]))
    if text is None and not no_ui:
        text = _asked(paths)
    from ..runtimes.spawn import watch_this_process

    begin = partial(_worker, worker, paths, text)
    watch_this_process()
    _run(role, begin, log, no_ui=no_ui, read_only=read_only, extras=extras)


def _run(
    role: str,
    begin: Callable[..., Hosted | None],
    log: Callable[..., object],
    *,
    no_ui: bool,
    read_only: bool,
    extras: Extras | None,
) -> None:
    """Headless on this thread; or beside a console, when nothing else may write to the terminal."""
    from .. import logs
    from ..roles.signals import Heed

    heed = Heed(logs.reopen)
    heed.begin()
    outlet.has_no_results()
    if no_ui:
        log()
        begin(None)
        return
    from . import console

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        log(stream=nowhere)
        hosted = begin(read_only)
        assert hosted is not None
        console.role(
            hosted,
            role,
            read_only=read_only,
            headless_log=log,
            heed=heed,
            extras=extras or console.PLAIN,
        )


def _manager(
    loaded: Loaded[ManagerConfig],
    paths: Paths,
    read_only: bool | None,
    *,
    accept_loss: bool,
    ready: Callable[[], None],
) -> Hosted | None:
    """A manager: to its end when `read_only` is None, else for a console."""
    if read_only is None:
        from .. import node

        node.run(node.manager, loaded.config, paths, None, loaded.origins, accept_loss, ready)
        return None
    from .. import hosted

    return hosted.manager(
        loaded.config, paths, loaded.origins, read_only=read_only, accept_loss=accept_loss, ready=ready
    )


def _worker(
    loaded: Loaded[WorkerConfig], paths: Paths, invite: str | None, read_only: bool | None
) -> Hosted | None:
    """A worker, likewise."""
    if read_only is None:
        from .. import node

        streams.nothing_to_read()
        node.run(node.worker, loaded.config, paths, invite, None, loaded.origins)
        return None
    from .. import hosted

    return hosted.worker(loaded.config, paths, invite, loaded.origins, read_only=read_only)


def _asked(paths: Paths) -> str | None:
    """The invite that a worker needs which has not joined, from a form; who leaves that ends this."""
    from ..net.security.identity import is_joined

    if is_joined(paths.identity("worker")):
        return None
    from .start import ask_to_join

    text = ask_to_join(paths)
    if text is None:
        sys.exit(0)
    return text


def _for_worker(text: str | None) -> str | None:
    """The invite, if it makes a worker: one of another role must not be used up here.

    Raises:
        UsageError: it is for a client or operator. InviteError: it is no invite.
    """
    from ..net.security.invites import decode

    role = "worker" if text is None else decode(text, time()).role
    if role != "worker":
        raise UsageError(
            f"this invite is for a {role}: use it with `taskmessenger join -`, or make one for a worker"
        )
    return text


def read_invite(text: str | None, file: Path | None) -> str | None:
    """The invite that the operator gave, from wherever; None when there was none.

    Raises:
        UsageError: given twice, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise UsageError("give the invite by --join or by --join-file, not by both")
    if file is not None:
        try:
            with file.open("rb") as opened:
                return _invite_in(opened.read(MAX_INVITE), printable(str(file)))
        except OSError as error:
            raise UsageError(
                f"{printable(str(file))}: the invite cannot be read ({error.strerror})"
            ) from error
    if text is None:
        return None
    if text != "-":
        click.echo(
            "warning: an invite on the command line can be seen by other users of this machine; use --join -",
            err=True,
        )
        return text
    if sys.stdin.isatty():
        return str(click.prompt("Paste invite", hide_input=True, err=True)).strip()
    return _invite_in(sys.stdin.buffer.read(MAX_INVITE), "standard input")


def _invite_in(data: bytes, what: str) -> str:
    """The invite among these bytes.

    Raises:
        UsageError: it is in an encoding that is not read.
    """
    try:
        return decoded(data).strip()
    except ValueError as error:
        raise UsageError(f"{what} {error}") from None


def _none_of(given: Mapping[str, Any], names: tuple[str, ...], role: str) -> None:
    for name in names:
        if given.get(name) not in {None, ()}:
            raise UsageError(
                f"--{name.replace('_', '-')} is for a {role}: say --role {role}, or leave it out"
            )
