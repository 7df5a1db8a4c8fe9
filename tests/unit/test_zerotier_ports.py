"""The UDP port of a node. Sockets of this machine, bound and never used."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskmessenger.core.errors import Conflict
from taskmessenger.net.zerotier.ports import FILE, port_for


@contextmanager
def taken(port: int = 0) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", port))
        yield other.getsockname()[1]


def test_a_node_that_was_given_no_port_keeps_the_one_it_finds(tmp_path: Path) -> None:
    first = port_for(tmp_path, 0)
    assert port_for(tmp_path, 0) == first
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_another_one_is_found_and_kept_when_that_is_taken(tmp_path: Path) -> None:
    with taken(port_for(tmp_path, 0)) as first:
        second = port_for(tmp_path, 0)
        assert second != first
    assert port_for(tmp_path, 0) == second


@pytest.mark.parametrize("kept", ["", "x", "-1", "80", "65536", "9" * 99])
def test_what_is_no_port_is_not_taken_for_one(tmp_path: Path, kept: str) -> None:
    (tmp_path / FILE).write_text(kept)
    assert 1024 <= port_for(tmp_path, 0) <= 65535


def test_a_port_that_was_set_is_that_one_or_none(tmp_path: Path) -> None:
    with taken() as port, pytest.raises(Conflict, match=f"UDP port {port} is in use"):
        port_for(tmp_path, port)
    assert port_for(tmp_path, port) == port
    assert not (tmp_path / FILE).exists()
