"""`taskmessenger --role manager|worker`: starts a role from flags, environment and file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any, Final

import click

from ..core.errors import UsageError
from ..core.text import printable
from ..paths import find

MAX_INVITE: Final = 4_096
"""Characters that are read for an invite."""


def start(role: str, *, no_ui: bool, file: Path | None, **given: Any) -> None:
    """Be a manager or a worker until a signal ends it."""
    from .. import logs, node
    from ..config import load

    if not no_ui:
        raise UsageError("there is no console in this version: add --no-ui")
    paths = find()
    if role == "manager":
        _none_of(given, ("join", "join_file", "capacity"), "worker")
        flags = {
            "name": given["name"],
            "transport.listen": given["listen"],
            "transport.advertise": given["advertise"],
        }
        manager = load("manager", flags, os.environ, paths, file=file).config
        logs.setup("manager", manager.logging, paths)
        node.run(node.manager, manager, paths)
        return
    _none_of(given, ("listen", "advertise"), "manager")
    flags = {"name": given["name"], "capacity": given["capacity"]}
    worker = load("worker", flags, os.environ, paths, file=file).config
    logs.setup("worker", worker.logging, paths)
    node.run(node.worker, worker, paths, _for_worker(read_invite(given["join"], given["join_file"])))


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
            return file.read_text(encoding="utf-8", errors="replace")[:MAX_INVITE].strip()
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
    return sys.stdin.read(MAX_INVITE).strip()


def _none_of(given: Mapping[str, Any], names: tuple[str, ...], role: str) -> None:
    for name in names:
        if given.get(name) not in {None, ()}:
            raise UsageError(
                f"--{name.replace('_', '-')} is for a {role}: say --role {role}, or leave it out"
            )
