"""What a node finds out about itself and its machine, and what it says is to be done."""

from __future__ import annotations

import shutil
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from taskmessenger.core.errors import ConfigError
from taskmessenger.handle import NetworkRow
from taskmessenger.net.zerotier.network import JoinState, JoinStatus
from taskmessenger.net.zerotier.peers import Peer
from taskmessenger.net.zerotier.status import NodeStatus
from taskmessenger.paths import under
from taskmessenger.roles import checkup

from tests.support.fleet_ca import a_fleet, a_member

NEAR = Peer(node_id="1c77d2e0aa", role="leaf", direct=True, latency_ms=3, version="1.8.10")
FAR = Peer(node_id="90be41f7d3", role="leaf", direct=False, latency_ms=None, version="")
STATUS = NodeStatus(
    running=True, node_id="7f3a91c04d", generation=1, online=True, port=9993, network="7f3a91c04d000001",
    private=True, join=JoinStatus(state=JoinState.READY, sentence="joined"), address="249.1.2.3",
    roots="7f3a91c04d at 10.88.0.1/9993", library="/opt/libzt.so", origin="provisioned", version="1.8.10",
    peers=(NEAR, FAR), problems=(),
)  # fmt: skip


async def rows(status: NodeStatus | None, home: Path) -> dict[str, tuple[str, str, str]]:
    found = await checkup.Checkup(under(home), lambda: status).rows()
    return {row.what: (row.state, row.value, row.cure) for row in found}


async def test_a_node_that_is_well_is_shown_with_network_roots_and_peers(tmp_path: Path) -> None:
    found = await rows(STATUS, tmp_path)
    assert found["zerotier node"] == ("ok", "7f3a91c04d, online, 9993/udp", "")
    assert found["network"] == ("ok", "7f3a91c04d000001 (private), ready, address 249.1.2.3", "")
    assert found["roots"][1] == "7f3a91c04d at 10.88.0.1/9993"
    assert found["peer 1c77d2e0aa"] == ("ok", "direct, leaf, 3 ms", "")
    assert found["peer 90be41f7d3"][0] == "warn"
    assert "open UDP" in found["peer 90be41f7d3"][2]
    assert {"disk", "clock"} <= found.keys()


async def test_what_is_wrong_stands_first_with_its_cure(tmp_path: Path) -> None:
    sentence = (
        "network 8056c2e21c000001 does not let this node in: authorise node 7f3a91c04d at the controller"
    )
    join = JoinStatus(state=JoinState.DENIED, sentence=sentence)
    found = await rows(replace(STATUS, join=join, address="", problems=(sentence,)), tmp_path)
    assert next(iter(found)) == "zerotier"
    what, _, cure = sentence.partition(": ")
    assert found["zerotier"] == ("bad", what, cure)
    assert found["network"][0] == "warn"


async def test_without_zerotier_only_the_machine_is_looked_at(tmp_path: Path) -> None:
    assert not [what for what in await rows(None, tmp_path) if what not in {"disk", "clock", "files"}]


async def test_a_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1))
    state, _, cure = (await rows(None, tmp_path))["disk"]
    assert (state, cure) == ("bad", "free some space, or move TASKMESSENGER_HOME")


async def test_what_cannot_be_looked_at_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise ConfigError("identity.json: is damaged, so join again")

    monkeypatch.setattr(checkup, "is_joined", broken)
    found = await checkup.Checkup(under(tmp_path), lambda: None, "worker").rows()
    assert [(row.what, row.state, row.cure) for row in found][-1] == (
        "worker certificate", "bad", "is damaged, so join again",
    )  # fmt: skip


async def test_many_who_ask_cost_one_look(tmp_path: Path) -> None:
    looks: list[float] = []

    def look() -> NodeStatus:
        looks.append(time.monotonic())
        return STATUS

    mine = checkup.Checkup(under(tmp_path), look)
    for _ in range(20):
        await mine.rows()
        assert mine.path("1c77d2e0aa") == "direct"
        assert mine.path("90be41f7d3") == "relayed"
        assert mine.path("somebody") == ""
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("role", "again"),
    [("worker", "taskmessenger --role worker --no-ui --join -"), ("client", "taskmessenger join")],
)
def test_a_certificate_is_judged_by_how_long_it_is_still_good(tmp_path: Path, role: str, again: str) -> None:
    paths, days = under(tmp_path / "home"), 86_400.0
    folder = paths.identity(role)
    authority = a_fleet(tmp_path / "fleet")
    assert list(checkup.certificate(role, paths)) == [], "who has not joined has none"

    def judged(issued: float) -> NetworkRow:
        member = a_member(authority, tmp_path / str(issued), role=role, peer_id="x-fern-0001", issued=issued)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(member.folder, folder)
        [row] = checkup.certificate(role, paths)
        assert row.what == f"{role} certificate"
        return row

    good, soon, expired = judged(-10 * days), judged(-28 * days), judged(-31 * days)
    assert (good.state, good.cure) == ("ok", "")
    assert "x-fern-0001 of " in good.value
    assert "valid for 19 d 23 h; dials tcp://" in good.value
    assert (soon.state, soon.cure) == ("bad", "start it, so that it can be renewed")
    assert "valid for 1 d 23 h" in soon.value
    assert (expired.state, expired.value) == ("bad", "x-fern-0001: has expired")
    assert expired.cure == f"join again with a new invite: `{again}`"


async def test_a_node_that_no_root_has_answered_yet_or_that_does_not_run_says_so(tmp_path: Path) -> None:
    lost = await rows(replace(STATUS, online=False), tmp_path)
    assert lost["zerotier node"][1] == "7f3a91c04d, no root has answered yet, 9993/udp"
    ended = await rows(replace(STATUS, online=False, running=False), tmp_path)
    assert ended["zerotier node"][1] == "7f3a91c04d, not running, 9993/udp"
