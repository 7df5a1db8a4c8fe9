"""Opens the console on a node. Textual is loaded here and nowhere before: other commands start without it.

The node runs on a thread of its own and outlives the console when the operator wants that: then its log goes
to standard error, and a signal ends it, as if it had been started with `--no-ui`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .. import streams
from ..core.errors import TaskMessengerError, UsageError
from ..core.text import printable, redact
from ..paths import Paths, find, make_private
from ..record import recording
from .own_terminal import own_terminal

if TYPE_CHECKING:
    from ..handle import NodeHandle
    from ..hosted import Hosted
    from ..net.address import Address
    from ..net.client import Connected
    from ..roles.signals import Heed
    from .ending import Ending

DEMO_TASKS: Final = 1_000_000
DEMO_WORKERS: Final = 24
DEMO_RATE: Final = 8.0
"""Tasks a second that come and go in the simulated fleet."""
DEMO_SEED: Final = 7
NEAREST: Final = "nearest"
"""Attach to whatever the other commands would talk to."""
REPORT: Final = "console-failure.txt"
"""File of the newest failure of a screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What else is wanted of a console."""

    record: Path | None = None
    """Keep what is seen in this file."""
    welcome: bool = False
    """Open with an invite for a worker: the fleet is new."""


PLAIN: Final = Extras()


def demo(*, read_only: bool, extras: Extras = PLAIN) -> None:
    """A simulated fleet, to look around in: nothing in it is real, and nothing is kept."""
    check_terminal()
    from ..screens.fake import DEMO, FakeNode

    node = FakeNode(DEMO_SEED, DEMO_TASKS, DEMO_WORKERS, rate=DEMO_RATE, clock=time.time, scene=DEMO)
    node.knock(2)
    _look_at(node, read_only=read_only, extras=extras)


def replay(file: Path) -> None:
    """A recording of a node.

    Raises:
        NotFound, UsageError: there is none that can be read.
    """
    from ..record import Recording, ReplayNode

    recorded = Recording(file)
    try:
        for complaint in recorded.complaints:
            click.echo(complaint, err=True)
        check_terminal()
        from ..screens.prefs import Prefs
        from ..screens.replay import Replay
        from .ending import Ending

        console = Replay(ReplayNode(recorded), prefs=Prefs(find()))
        ending = Ending().begin(hangups=True)
        ending.show(console)
        raise_report(console.report)
        ending.check()
    finally:
        recorded.close()


def attach(address: str, *, read_only: bool, extras: Extras = PLAIN) -> None:
    """A manager that runs elsewhere, on this machine or any other.

    Raises:
        UsageError: the address is none. Unreachable, Refused: there is no manager that lets us in.
    """
    check_terminal()
    from .. import hosted
    from .connect import GRACE, dialler

    paths = find()
    dial = dialler(paths, GRACE) if address == NEAREST else address_dialler(paths, address)
    with hosted.remote(dial, read_only=read_only) as node:
        ours = address == NEAREST and paths.socket.exists()
        file = paths.config_file("manager") if ours else None
        _look_at(node, read_only=read_only, settings_file=file, extras=extras)


def role(
    node: Hosted,
    word: str,
    *,
    read_only: bool,
    headless_log: Callable[[], object],
    heed: Heed,
    extras: Extras = PLAIN,
) -> None:
    """A role in this process. Returns when it has ended.

    `headless_log`: sends the log to standard error, for when the console is closed and the role goes on:
    on the same thread of the same process, so unnoticed by what runs. It outlives the terminal as well.
    `heed`: hears what does not end it.
    """
    check_terminal()
    from ..screens.leaving import HEADLESS, leaving
    from .ending import Ending

    ending = Ending().begin()
    handle = node.start()
    answer = None
    try:
        file = find().config_file("worker" if word == "worker" else "manager")
        with own_terminal() if word == "worker" else nullcontext():  # a manager runs no task code
            answer = _show(
                handle,
                ending,
                read_only=read_only,
                leaving=leaving(word),
                settings_file=file,
                extras=extras,
                hung_up=partial(heed.hear, signal.SIGHUP),
            )
    except ConsoleFailed as error:  # what runs has nothing to do with it
        click.echo(f"error: {error}", err=True)
        answer = HEADLESS
    finally:
        heed.hear_hangups()  # the console has heard them until here
        if answer != HEADLESS and node.running:
            click.echo(f"stopping the {word}", err=True)
            ending.stop(node)
    if answer == HEADLESS:
        streams.nothing_to_read()
        ending.outlive_the_terminal(heed)
        headless_log()
        click.echo(f"the {word} goes on without its console; Ctrl-C stops it", err=True)
        ending.wait(node)
        ending.stop(node)


def check_terminal() -> None:
    """Raise where there is no terminal to fill.

    Raises:
        UsageError: says what to do instead.
    """
    if os.environ.get("TEXTUAL_DRIVER"):  # drawn elsewhere: by `serve` in a browser
        return
    # The screen is drawn on standard error, so that standard output stays free.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the console needs a terminal: add --no-ui, or use the other commands")
    if os.environ.get("TERM", "") in {"", "dumb"}:
        raise UsageError("this terminal (TERM) cannot show a console: add --no-ui, or use the other commands")


def _look_at(node: NodeHandle, **given: Any) -> None:
    """The console over a node that goes on without this process.

    Raises:
        Told: a signal has ended it.
    """
    from .ending import Ending

    ending = Ending().begin(hangups=True)
    _show(node, ending, hung_up=partial(ending.hear, signal.SIGHUP), **given)
    ending.check()


def _show(
    node: NodeHandle,
    ending: Ending,
    *,
    read_only: bool,
    leaving: Any = (),
    settings_file: Path | None = None,
    extras: Extras = PLAIN,
    hung_up: Callable[[], None],
) -> str | None:
    """The console over this node until the operator leaves it; the answer to how it is left."""
    from ..screens.app import Console
    from ..screens.prefs import Prefs
    from ..screens.welcome import Welcome

    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # else warnings go to the screen where no log is set up
    kind = Welcome if extras.welcome else Console
    console = kind(node, prefs=Prefs(find()), read_only=read_only, leaving=leaving)
    console.settings_file = settings_file
    console.hung_up = hung_up
    console.guarded = threading.current_thread() is threading.main_thread()
    with nullcontext() if extras.record is None else recording(node, extras.record):
        answer: str | None = ending.show(console)
    raise_report(console.report)
    return answer


def raise_report(report: str) -> None:
    """Keep what a screen has said of its failure, if it has failed.

    Raises:
        ConsoleFailed: says where it is.
    """
    if report:
        raise ConsoleFailed(f"the console has failed, and the terminal is yours again: {_kept(report)}")


class ConsoleFailed(TaskMessengerError):
    """A bug in a screen."""

    code = "console_failed"


def _kept(report: str) -> str:
    """Where the report of a failure is, as the end of a sentence."""
    file = find().state / REPORT
    try:
        make_private(file.parent)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as kept:
            kept.write(redact(report))
    except OSError as error:
        return f"its report could not be kept ({error.strerror})"
    return f"please report it with {file}"


def address_dialler(paths: Paths, text: str) -> Callable[[], Awaitable[Connected]]:
    """Dials a manager at this address, as the operator or client that this user is.

    Raises:
        UsageError: that is no address.
    """
    from ..net.address import Address
    from ..net.client import connect_locally

    address = Address.parse(text)
    if address.scheme == "unix":

        async def local() -> Connected:
            return await connect_locally(Path(address.path))

        return local
    return _member_dialler(paths, address)


def _member_dialler(paths: Paths, address: Address) -> Callable[[], Awaitable[Connected]]:
    from ..net.carriers import approach_for_a_command
    from ..net.security.identity import is_joined, load
    from .connect import MEMBERS

    known = [one for one in MEMBERS if is_joined(paths.identity(one))]
    if not known:
        raise UsageError(
            f"{printable(str(address))}: nobody there knows you; join first with `taskmessenger join`"
        )
    identity = load(paths.identity(known[0]), known[0])
    approach = approach_for_a_command(known[0], paths)

    async def dial() -> Connected:
        return await approach.connect(identity, [address])

    return dial
