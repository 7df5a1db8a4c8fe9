"""Two nodes with one address: the newcomer takes another identity, and joins with that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.net.zerotier import identity as identities
from taskmessenger.net.zerotier import network
from taskmessenger.net.zerotier.identity import Identity
from taskmessenger.paths import private_directory, under

from tests.support import processes
from tests.support.namespaces import identity
from tests.support.processes import Fleet
from tests.support.processes import fleet as running_fleet
from tests.support.zerotier_fleet import OVERLAY, row_of, works

pytestmark = [pytest.mark.zerotier, pytest.mark.timeout(180)]
BITS = 4
"""Of a node id are its address here, so that two nodes which collide are found in no time."""
CROWDED = f"""
from taskmessenger.net.zerotier import identity, network
identity.HOST_BITS = network.HOST_BITS = {BITS}
identity._LAST_HOST = 2 ** {BITS} - 1
from taskmessenger.__main__ import main
main()
"""
MAX_MADE = 60


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """All of it, and this process, in a network with fourteen addresses."""
    monkeypatch.setattr(processes, "COMMAND", [sys.executable, "-W", "error", "-c", CROWDED])
    monkeypatch.setattr(identities, "_LAST_HOST", 2**BITS - 1)
    monkeypatch.setattr(network, "HOST_BITS", BITS)
    with running_fleet(tmp_path / "f") as one:
        one._listen = OVERLAY
        yield one


def address_of_node_at(folder: Path) -> object:
    return network.address_of((folder / identities.PUBLIC).read_text()[: len("8056c2e21c")])


def a_manager_and_two_that_collide() -> tuple[Identity, Identity, Identity]:
    """The first has an address of its own. They are of this run, which has most of them already."""
    found: dict[object, Identity] = {}
    pair: tuple[Identity, Identity] | None = None
    for number in range(MAX_MADE):
        one = identity(number)
        if not identities.has_address(one.node_id):
            continue
        other = found.setdefault(network.address_of(one.node_id), one)
        pair = pair or ((other, one) if other is not one else None)
        others = [own for own in found.values() if pair and own is not pair[0]]
        if pair and others:
            return others[0], *pair
    raise AssertionError("no two nodes collide")


def test_a_worker_whose_address_belongs_to_another_joins_as_another_node(fleet: Fleet) -> None:
    """With the manager's own address it is the worker that notices: see `test_zerotier_joining`."""
    manager, lucky, unlucky = a_manager_and_two_that_collide()
    owner = under(fleet.worker_home("first")).node("worker")
    own = under(fleet.worker_home("fern")).node("worker")
    for folder, one in ((fleet.paths.node("manager"), manager), (owner, lucky), (own, unlucky)):
        private_directory(folder.parent)
        identities.keep(folder, one)
    fleet.manager()
    first = fleet.worker("first")
    newcomer = fleet.worker("fern")
    assert "belongs to" in newcomer.said()
    assert "identity of this node was renewed" in newcomer.said()
    assert (owner / identities.PUBLIC).read_text() == lucky.public
    assert (own / identities.PUBLIC).read_text() != unlucky.public
    assert address_of_node_at(own) != address_of_node_at(owner)
    assert row_of(fleet)["address"].startswith(f"zt://{address_of_node_at(own)}:")
    works(fleet)
    assert first.running
