"""Where the console is served in a browser: at this machine's own addresses alone; nothing stays open."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from taskmessenger.cli import serve
from taskmessenger.core.errors import Conflict, UsageError


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1.2.3", "127.1.2.3"),
        ("::1", "::1"),
        ("[::1]", "::1"),
    ],
)
def test_own_addresses_are_taken(host: str, address: str) -> None:
    assert serve._loopback(host) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "fern.example", "", "127.0.0.1.example"])
def test_addresses_that_others_reach_are_refused(host: str) -> None:
    with pytest.raises(UsageError, match="is served to this machine alone"):
        serve._loopback(host)


def _open_files() -> int:
    return len([*Path("/dev/fd").iterdir()])


def test_a_port_that_somebody_has_is_named_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, before = taken.getsockname()[1], _open_files()
        with pytest.raises(Conflict, match=f"port {port} of 127.0.0.1 cannot be had") as caught:
            serve._listener("127.0.0.1", port)
        assert _open_files() == before
        assert caught.value.__cause__ is not None
    with serve._listener("127.0.0.1", port) as mine:
        socket.create_connection(mine.getsockname(), 5).close()


@pytest.mark.parametrize(
    ("attach", "demo", "read_only", "end"),
    [
        (None, True, False, " --demo"),
        (None, False, True, " --attach --read-only"),
        ("tcp://a:1", False, False, " --attach=tcp://a:1"),
        ("it's", False, False, """ '--attach=it'"'"'s'"""),
        (None, False, False, " --attach"),
    ],
)
def test_each_page_runs_a_console_of_its_own(
    attach: str | None, demo: bool, read_only: bool, end: str
) -> None:
    command = serve._command(attach, demo=demo, read_only=read_only)
    assert command.startswith("exec ")
    assert command.endswith(f" -m taskmessenger{end}")
