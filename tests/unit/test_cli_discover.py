"""Who asks with which key, over which ways, and how what was heard is told."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from taskmessenger.cli import discover as d
from taskmessenger.config.model import Discovery
from taskmessenger.core.errors import Refused, Unreachable
from taskmessenger.handle import WorkerRow
from taskmessenger.net.discovery.overlay import OverlayCarrier
from taskmessenger.net.discovery.registry import ManagerHeard, Offering
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.authority import MANAGER_FILE, Authority
from taskmessenger.paths import Paths, find, under

from tests.support.fleet_ca import a_fleet, a_member

OVERLAY = "zt://17d709436c993670/89e92ceee5:7711?cm9vdHM"
NORTH = ManagerHeard(
    name="north",
    endpoints=("tcp://10.0.0.1:7711", "tcp://10.0.0.2:7711"),
    wanted=("hash", "sum"),
    source="10.0.0.1",
    heard_at=1.0,
)


def offering(*workers: str, total: int) -> Offering:
    return Offering(manager="north", kind="hash", workers=workers, total=total, heard_at=1.0)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return under(tmp_path / "home")


def joined(paths: Paths, tmp_path: Path, role: str, *endpoints: str) -> None:
    """This user becomes a member of a fleet elsewhere."""
    fleet = a_fleet(tmp_path / f"{role}-fleet")
    member = a_member(fleet, tmp_path, role=role, peer_id=f"x-{role}")
    place = paths.identity(role)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    member.folder.rename(place)
    if endpoints:
        known = identities.load(place, role)
        identities.save(replace(known, endpoints=endpoints), known.key_path.read_bytes())


def found(paths: Paths, **settings: Any) -> tuple[list[str], Any, Any]:
    """Names of the ways on which is asked, the finder, and the way over ZeroTier."""
    finder, way = d._finder(paths, Discovery(interfaces=("127.0.0.1",), **settings))
    for carrier in finder._carriers:
        carrier.close()
    return [carrier.name for carrier in finder._carriers], finder, way


def test_who_belongs_to_no_fleet_is_told_how_to_join_one(paths: Paths) -> None:
    with pytest.raises(Refused, match="belongs to no fleet, and cannot tell whom to believe"):
        d._finder(paths, Discovery())


def test_where_the_manager_is_its_own_key_asks(paths: Paths, tmp_path: Path) -> None:
    joined(paths, tmp_path, "worker", OVERLAY)
    fleet = Authority.load_or_create(paths.authority, "lab-A", time.time())
    fleet.issue_manager(time.time())
    names, finder, way = found(paths)
    assert (names, way) == (["lan"], None)
    assert finder.registry.fleet_id == fleet.fleet_id
    assert finder._voice._signer.certificate.der in _certificates(paths.authority / MANAGER_FILE)


def _certificates(file: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)


def test_of_several_memberships_the_strongest_asks(paths: Paths, tmp_path: Path) -> None:
    for role in reversed(d.MEMBERS):
        joined(paths, tmp_path, role)
        _, finder, way = found(paths)
        member = identities.load(paths.identity(role), role)
        assert finder._voice._signer.certificate.der == member.certificate.der
        assert way is None


@pytest.mark.parametrize("overlay", [True, False])
def test_who_joined_over_zerotier_asks_there_too_unless_that_is_turned_off(
    paths: Paths, tmp_path: Path, overlay: bool
) -> None:
    joined(paths, tmp_path, "client", "tcp://10.0.0.1:7711", OVERLAY)
    names, finder, way = found(paths, overlay=overlay, port=1234)
    assert names == (["lan", "overlay"] if overlay else ["lan"])
    assert (way.network if way is not None else None) == ("17d709436c993670" if overlay else None)
    assert [one._port for one in finder._carriers if isinstance(one, OverlayCarrier)] == [1234] * overlay


def test_managers_and_who_offers_a_kind_are_two_tables(capsys: pytest.CaptureFixture[str]) -> None:
    d._show([NORTH], [offering("w1", "w2", total=5)], "hash")
    out, err = capsys.readouterr()
    assert out == (
        "MANAGER  ENDPOINTS                                WANTS     HEARD FROM\n"
        "north    tcp://10.0.0.1:7711 tcp://10.0.0.2:7711  hash sum  10.0.0.1\n"
        "MANAGER  WORKER\nnorth    w1\nnorth    w2\n"
    )
    assert err == "north has 3 more workers for hash\n"


@pytest.mark.parametrize(
    ("managers", "offerings", "kind", "told"),
    [
        ([NORTH], [], "hash", "no connected worker offers hash\n"),
        ([], [offering(total=0)], "hash", "no connected worker offers hash\n"),
        ([], [offering("w1", total=1)], "hash", ""),
        ([NORTH], [], None, ""),
        ([], [], "hash", ""),
    ],
)
def test_that_nobody_offers_a_kind_is_said_where_somebody_was_heard(
    capsys: pytest.CaptureFixture[str],
    managers: list[ManagerHeard],
    offerings: list[Offering],
    kind: str | None,
    told: str,
) -> None:
    d._show(managers, offerings, kind)
    assert capsys.readouterr().err == told


def test_what_was_heard_as_json(paths: Paths, tmp_path: Path) -> None:
    joined(paths, tmp_path, "client")
    _, finder, _ = found(paths)
    plain = d._as_json(finder, [NORTH], [], None)
    assert json.loads(json.dumps(plain)) == {
        "fleet": finder.registry.fleet_id,
        "managers": [
            {
                "name": "north",
                "endpoints": ["tcp://10.0.0.1:7711", "tcp://10.0.0.2:7711"],
                "wanted": ["hash", "sum"],
                "source": "10.0.0.1",
            }
        ],
        "ignored": {},
    }
    full = d._as_json(finder, [], [offering("w1", total=5)], "hash")
    assert (full["kind"], full["offered_by"]) == (
        "hash", [{"manager": "north", "workers": ["w1"], "total": 5}],
    )  # fmt: skip


def test_without_a_manager_here_nobody_is_asked_here(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    assert anyio.run(d._manager_here) == []
    assert anyio.run(d._offered_here, "hash") == []


class Pretended:
    """A manager that runs here."""

    def __init__(self, *rows: WorkerRow) -> None:
        self.rows = list(rows)

    async def status(self) -> Any:
        return SimpleNamespace(manager="north", listening=("tcp://10.0.0.1:7711",))

    async def workers(self) -> list[WorkerRow]:
        return self.rows


def _here(monkeypatch: pytest.MonkeyPatch, remote: Pretended | Exception) -> None:
    """A manager of this user runs on this machine, or does not answer."""
    find().socket.parent.mkdir(parents=True, exist_ok=True)
    find().socket.touch()
    monkeypatch.setattr(d, "_is_ours", lambda _paths: True)

    @asynccontextmanager
    async def manager(**_more: Any) -> AsyncIterator[Pretended]:
        if isinstance(remote, Exception):
            raise remote
        yield remote

    monkeypatch.setattr("taskmessenger.cli.connect.manager", manager)


def test_the_manager_here_knows_which_of_its_workers_are_here_and_offer_a_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = (*sorted(d.AT_WORK), "away", "offline", "revoked")
    rows = [WorkerRow(state, state, kinds=("hash",)) for state in states]
    _here(monkeypatch, Pretended(*rows, WorkerRow("other", "connected", kinds=("sum",))))
    [found] = anyio.run(d._offered_here, "hash")
    assert (found.manager, found.kind) == ("north", "hash")
    assert found.workers == tuple(sorted(d.AT_WORK))
    assert found.total == len(d.AT_WORK)
    [told] = anyio.run(d._manager_here)
    assert (told.name, told.endpoints, told.source) == ("north", ("tcp://10.0.0.1:7711",), "this machine")


def test_a_manager_here_that_does_not_answer_is_told_and_others_are_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _here(monkeypatch, Unreachable("it hangs"))
    assert anyio.run(d._offered_here, "hash") == []
    assert anyio.run(d._manager_here) == []
    assert capsys.readouterr().err == "the manager that runs here does not tell: it hangs\n" * 2
