"""A fleet with roots of its own in a planet file, as one that runs ZeroTier roots already would have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from taskmessenger.net.security.invites import decode
from taskmessenger.net.zerotier import roots
from taskmessenger.net.zerotier.library import load
from taskmessenger.paths import Paths, private_directory, under

from tests.support.namespaces import HOST, identity
from tests.support.processes import fleet, refused, until
from tests.support.zerotier_fleet import over_zerotier, row_of, works
from tests.support.zerotier_nodes import ROOT_PORT, node_process

pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(180)]
ROOT = 2


def set_up(paths: Paths, role: str, planet: Path) -> None:
    file = paths.config_file(role)
    private_directory(file.parent)
    file.write_text(json.dumps({"zerotier": {"roots": str(planet)}}), encoding="utf-8")


def test_a_fleet_meets_through_the_roots_of_a_planet_file_and_through_no_others(tmp_path: Path) -> None:
    root = identity(ROOT)
    planet = tmp_path / "planet"
    signed = roots.blob(roots.own_roots([(root.public, [f"{HOST}/{ROOT_PORT}"])]), load().library)
    assert signed is not None
    planet.write_bytes(signed)
    with (
        node_process(tmp_path / "root", ROOT, manager=ROOT, root=ROOT, port=ROOT_PORT),
        fleet(tmp_path / "f") as one,
    ):
        over_zerotier(one, "fern")
        set_up(one.paths, "manager", planet)
        one.manager()
        text = one.invite()
        assert root.public not in str(decode(text, 0.0).endpoints), "it names the file, and not what is in it"
        refused(one.run("join", "-", stdin=one.invite("client"), home=tmp_path / "without"), 2, "planet file")
        set_up(under(one.worker_home("fern")), "worker", planet)
        one.worker()
        works(one)
        assert row_of(one)["transport"] == "zt"
        set_up(under(tmp_path / "with"), "worker", planet)
        joined = one.run("join", "-", stdin=one.invite("client"), home=tmp_path / "with")
        assert joined.returncode == 0, joined.stderr

        def roots_of_manager() -> set[str]:
            status = json.loads(one.run("zerotier", "status", "--json").stdout)["nodes"]["manager"]["status"]
            assert status["roots"] == str(planet)
            return {peer["node_id"] for peer in status["peers"] if peer["role"] == "root"}

        until(lambda: roots_of_manager() == {root.node_id})
