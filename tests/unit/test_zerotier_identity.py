"""Identities of nodes: their text, their files, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from taskmessenger.core.errors import ConfigError
from taskmessenger.net.zerotier import identity

from tests.support.zerotier_fake import AN_IDENTITY, ANOTHER


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_identity_is_kept_in_two_files_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "vn-manager-identity"
    identity.keep(folder, AN_IDENTITY)
    assert sorted(path.name for path in folder.iterdir()) == ["identity.public", "identity.secret"]
    assert mode(folder) == 0o700
    assert mode(folder / "identity.secret") == 0o600
    assert (folder / "identity.public").read_text() == AN_IDENTITY.public
    assert identity.load(folder) == AN_IDENTITY


def test_another_identity_replaces_the_first(tmp_path: Path) -> None:
    identity.keep(tmp_path / "own", AN_IDENTITY)
    identity.keep(tmp_path / "own", ANOTHER)
    assert identity.load(tmp_path / "own") == ANOTHER


def test_where_there_is_none_none_is_found(tmp_path: Path) -> None:
    assert identity.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "8056c2e21c", AN_IDENTITY.public, AN_IDENTITY.text[:-1], "x" * 400])
def test_a_damaged_identity_is_named_and_not_replaced(tmp_path: Path, text: str) -> None:
    identity.keep(tmp_path / "own", AN_IDENTITY)
    (tmp_path / "own" / "identity.secret").write_text(text)
    with pytest.raises(ConfigError, match="move it away"):
        identity.load(tmp_path / "own")
    assert (tmp_path / "own" / "identity.secret").read_text() == text


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    identity.keep(tmp_path / "own", AN_IDENTITY)
    (tmp_path / "own" / "identity.secret").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        identity.load(tmp_path / "own")


def test_the_secret_is_not_shown() -> None:
    assert AN_IDENTITY.secret not in repr(AN_IDENTITY)


@pytest.mark.parametrize(
    ("node_id", "fits"),
    [("8056c2e21c", True), ("8050000000", False), ("805fffffff", False), ("8050000001", True)],
)
def test_the_first_and_the_last_address_belong_to_nobody(node_id: str, fits: bool) -> None:
    assert identity.has_address(node_id) == fits
