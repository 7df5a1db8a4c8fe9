"""A manager whose controller is silent. Real nodes; what controllers say is tested with fakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Fleet, until
from tests.support.processes import fleet as running_fleet
from tests.support.zerotier_fleet import OVERLAY, row_of, works

pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(150)]
NETWORK = "1234567890000001"
SILENT = "controller 1234567890"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        file = one.paths.config_file("manager")
        file.parent.mkdir(parents=True, mode=0o700)
        overlay = {"network": "existing", "network_id": NETWORK, "roots": "manager"}
        file.write_text(json.dumps({"zerotier": overlay}), encoding="utf-8")
        yield one


def test_it_serves_tcp_says_what_it_waits_for_and_stops_when_it_is_told(fleet: Fleet) -> None:
    manager = fleet.manager("--listen", OVERLAY)
    assert fleet._listen.startswith("tcp://")
    assert len(fleet.ask(lambda remote: remote.status()).listening) == 1
    assert f"nobody listens at {OVERLAY} yet" in manager.said()
    assert SILENT in manager.said()
    fleet.worker()
    works(fleet)
    assert row_of(fleet)["transport"] == "tcp"
    for command in (("zerotier", "status"), ("doctor",)):
        until(lambda command=command: SILENT in "".join(said(fleet, *command)))
    status = json.loads(fleet.run("zerotier", "status", "--json").stdout)["nodes"]["manager"]["status"]
    assert status["join"]["state"] == "requesting"
    assert manager.stop() == 0


def said(fleet: Fleet, *words: str) -> tuple[str, str]:
    done = fleet.run(*words)
    assert done.returncode == 1
    return done.stdout, done.stderr
