"""Whom a manager's node knows from its start: as ZeroTier reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from taskmessenger.net.zerotier import acquaintances
from taskmessenger.net.zerotier.acquaintances import FOLDER, forget_oldest, pack, remember

IDENTITY = "8056c2e21c:0:" + "5a" * 64


def test_a_peer_is_written_as_zerotier_reads_it() -> None:
    packed = pack(IDENTITY)
    assert packed[0] == 1, "the format that libzt 1.8.4 reads; it takes no other"
    assert packed[1:6].hex() == "8056c2e21c"
    assert packed[6] == 0
    assert packed[7:71] == b"\x5a" * 64
    assert packed[71] == 0, "no secret keys"
    assert len(packed) == 82
    assert packed[-2:] == bytes(2), "no paths"


def test_who_is_remembered_has_a_file_of_its_name(tmp_path: Path) -> None:
    remember(tmp_path, IDENTITY)
    assert (tmp_path / FOLDER / "8056c2e21c.peer").read_bytes() == pack(IDENTITY)


@pytest.mark.parametrize("text", ["", "x", "8056c2e21c", "../../etc:0:" + "5a" * 64])
def test_what_is_no_identity_is_not_written(tmp_path: Path, text: str) -> None:
    remember(tmp_path, text)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    remember(tmp_path / "missing", IDENTITY)
    forget_oldest(tmp_path / "missing")


def test_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquaintances, "MAX_KEPT", 2)
    for number in range(4):
        identity = f"80000000{number:02x}:0:" + "5a" * 64
        remember(tmp_path, identity)
        file = tmp_path / FOLDER / f"{identity[:10]}.peer"
        os.utime(file, (number, number))
    forget_oldest(tmp_path)
    assert sorted(file.name[:10] for file in (tmp_path / FOLDER).iterdir()) == ["8000000002", "8000000003"]
