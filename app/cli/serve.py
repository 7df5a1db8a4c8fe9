"""`taskmessenger serve`: the console in a browser of this machine. Opens no way in for any other machine."""

from __future__ import annotations

import ipaddress
import shlex
import signal
import socket
import sys

import click

from ..core.errors import Conflict, UsageError
from ..core.text import printable
from .options import NAME

HOST = "127.0.0.1"
PORT = 7780


@click.command()
@click.option(
    "--host", default=HOST, show_default=True, metavar="ADDRESS", help="An address of this machine alone."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True, help="0: any that is free."
)
@click.option(
    "--attach", type=NAME, metavar="ADDRESS", help="The manager at this address instead of this user's."
)
@click.option("--demo", is_flag=True, help="The console over a simulated fleet.")
@click.option("--read-only", is_flag=True, help="A console that changes nothing.")
def serve(host: str, port: int, *, attach: str | None, demo: bool, read_only: bool) -> None:
    """Show the console in a browser on this machine.

    Prints the address to open. It has a secret in it, so that no other user of this machine and no page in
    your browser gets in. For another machine use its own console with --attach, or ssh -L.

    \b
    Examples:
      taskmessenger serve
      taskmessenger serve --demo --port 0
      taskmessenger serve --attach tcp://203.0.113.7:7711 --read-only
    """  # noqa: D301  \b keeps click from filling the examples
    loopback = _loopback(host)
    if attach is not None and demo:
        raise UsageError("--attach and --demo exclude each other: give one of them")
    try:
        from .serve_guard import Guarded
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the console in a browser needs {error.name}, which the extra `web` brings: where this program"
            " was installed from, run `pip install '.[web]'`"
        ) from error

    listener = _listener(loopback, port)
    guarded = Guarded(_command(attach, demo=demo, read_only=read_only), listener)
    click.echo(guarded.address)
    click.echo("Open this in a browser of this machine; Ctrl-C ends it.", err=True)
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
        signal.signal(hangup, lambda *_: signal.raise_signal(signal.SIGTERM))  # with its consoles, in order
    guarded.run()


def _loopback(host: str) -> str:
    """The address that is meant.

    Raises:
        UsageError: others could reach it.
    """
    try:
        address = ipaddress.ip_address(HOST if host == "localhost" else host.strip("[]"))
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise UsageError(
            f"{printable(host, 64)}: the console is served to this machine alone, at 127.0.0.1 or ::1;"
            f" from another one use `ssh -L {PORT}:{HOST}:{PORT} THIS-HOST`, or its own console with --attach"
        )
    return str(address)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # before the address is printed: it is opened at once
    except OSError as error:
        listener.close()
        raise Conflict(
            f"port {port} of {host} cannot be had ({error.strerror}): give another --port"
        ) from error
    return listener


def _command(attach: str | None, *, demo: bool, read_only: bool) -> str:
    """What runs for each page that is opened, as a line for the shell."""
    words = [sys.executable, "-m", __name__.partition(".")[0]]
    words += ["--demo"] if demo else [f"--attach={attach}"] if attach is not None else ["--attach"]
    words += ["--read-only"] if read_only else []
    return f"exec {shlex.join(words)}"
