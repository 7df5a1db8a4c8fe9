"""From settings and addresses to networks and roots. No node is started here."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from taskmessenger.config.model import ManagerZeroTier, WorkerZeroTier
from taskmessenger.core.errors import ConfigError, UsageError
from taskmessenger.net.address import Address
from taskmessenger.net.carriers import Listening, approach_of
from taskmessenger.net.zerotier import overlay as overlays
from taskmessenger.net.zerotier.identity import Identity
from taskmessenger.net.zerotier.overlay import (
    MAX_ADVERTISED,
    Overlay,
    Places,
    ip_of,
    network_of,
    places_for_now,
    places_of,
    root_endpoints,
)
from taskmessenger.net.zerotier.roots import OwnRoots, PlanetFile, PublicRoots
from taskmessenger.net.zerotier.way import Root, Way, planet_mark
from taskmessenger.paths import under

OWN = Identity(public="8056c2e21c:0:" + "5a" * 64, secret="00" * 64)
NEAR = Root(OWN.public, ("203.0.113.7/7712",))
PLANET = b"\x01" + bytes(200)


def at(way: Way, network: str = "8056c2e21c000001") -> Address:
    return Address("zt", host="8056c2e21c", port=7711, network=network, way=way.pack())


def an_overlay(config: ManagerZeroTier | WorkerZeroTier) -> Overlay:
    return Overlay(config, Places(identity=Path("/nowhere"), state=Path("/nowhere")))


def planet(tmp_path: Path, data: bytes = PLANET) -> Path:
    file = tmp_path / "planet"
    file.write_bytes(data)
    return file


def test_a_manager_is_its_own_root_where_it_was_told_to_be_found() -> None:
    config = ManagerZeroTier(advertise=("203.0.113.7:7712", "[2001:db8::7]:1"))
    roots, way = an_overlay(config)._own_roots(OWN)
    assert isinstance(roots, OwnRoots)
    assert roots.roots[0].endpoints == ("203.0.113.7/7712", "2001:db8::7/1")
    assert way.roots[0].identity == OWN.public


def test_a_manager_that_was_told_nothing_is_found_at_the_addresses_of_its_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = [f"10.0.0.{n}" for n in range(9)]
    monkeypatch.setattr(overlays, "own_addresses", lambda _: own)
    assert root_endpoints(ManagerZeroTier(port=5)) == tuple(f"{host}/5" for host in own[:MAX_ADVERTISED])


def test_a_manager_that_cannot_be_found_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlays, "own_addresses", lambda _: [])
    with pytest.raises(ConfigError, match=r"zerotier\.advertise"):
        root_endpoints(ManagerZeroTier())
    with pytest.raises(ConfigError, match=r"zerotier\.port"):
        root_endpoints(ManagerZeroTier(port=0))


def test_public_roots_are_used_only_when_they_are_asked_for() -> None:
    asked = an_overlay(ManagerZeroTier(roots="public"))._own_roots(OWN)
    existing = ManagerZeroTier(network="existing", network_id="1d71939404912b40")
    assert asked == an_overlay(existing)._own_roots(OWN) == (PublicRoots(), Way())


def test_a_planet_file_is_named_by_its_mark(tmp_path: Path) -> None:
    file = planet(tmp_path)
    roots, way = an_overlay(ManagerZeroTier(roots=str(file)))._own_roots(OWN)
    assert roots == PlanetFile(file)
    assert way == Way(planet=planet_mark(PLANET))


def test_a_member_takes_the_roots_of_its_invite() -> None:
    roots = an_overlay(WorkerZeroTier())._roots_of(at(Way(roots=(NEAR,))))
    assert isinstance(roots, OwnRoots)
    assert roots.roots[0].identity == OWN.public
    assert roots.roots[0].endpoints == NEAR.endpoints
    assert an_overlay(WorkerZeroTier())._roots_of(at(Way())) == PublicRoots()


def test_a_member_needs_the_planet_file_of_its_manager(tmp_path: Path) -> None:
    address = at(Way(planet=planet_mark(PLANET)))
    with pytest.raises(ConfigError, match="copy the manager's planet file"):
        an_overlay(WorkerZeroTier())._roots_of(address)
    file = planet(tmp_path)
    assert an_overlay(WorkerZeroTier(roots=str(file)))._roots_of(address) == PlanetFile(file)
    planet(tmp_path, PLANET + b"\x01")
    with pytest.raises(ConfigError, match="another planet file"):
        an_overlay(WorkerZeroTier(roots=str(file)))._roots_of(address)


def test_the_network_follows_from_the_address_unless_another_is_named() -> None:
    assert network_of(at(Way())).private
    existing = network_of(at(Way(), "1d71939404912b40"))
    assert (str(existing), existing.private) == ("1d71939404912b40", False)
    assert str(network_of(at(Way()), "1d71939404912b40")) == "1d71939404912b40"


def test_the_managers_ip_is_derived_unless_a_controller_gave_one() -> None:
    assert ip_of(at(Way())) == IPv4Address("246.194.226.28")
    assert ip_of(at(Way(address="10.147.17.5"))) == IPv4Address("10.147.17.5")


async def test_a_node_that_was_turned_off_is_not_started(tmp_path: Path) -> None:
    approach = approach_of("worker", WorkerZeroTier(enabled=False), under(tmp_path))
    with pytest.raises(ConfigError, match=r"zerotier\.enabled"):
        await approach.prepare(at(Way(roots=(NEAR,))))
    assert list(tmp_path.iterdir()) == []


async def test_listening_on_tcp_needs_nothing(tmp_path: Path) -> None:
    from taskmessenger.config.model import ManagerConfig

    async with Listening(ManagerConfig(), under(tmp_path)) as listening:
        address = Address.parse("tcp://127.0.0.1:1")
        assert await listening.before_listening(address) == address
        listening.check("tcp://127.0.0.1:1", "anything")
        listening.admitted("tcp://127.0.0.1:1", "anything")
    assert list(tmp_path.iterdir()) == []


def test_identities_lie_where_people_look_for_them(tmp_path: Path) -> None:
    paths = under(tmp_path)
    manager = places_of("manager", ManagerZeroTier(), paths)
    assert manager.identity == tmp_path / "config/tm-manager/vn-manager-identity"
    assert (
        places_of("worker", WorkerZeroTier(), paths).identity
        == tmp_path / "data/tm-worker/vn-worker-identity"
    )
    elsewhere = places_of("worker", WorkerZeroTier(identity_path="/x"), paths)
    assert elsewhere.identity == Path("/x")


def test_two_commands_at_a_time_are_two_nodes(tmp_path: Path) -> None:
    kept = places_of("client", WorkerZeroTier(), under(tmp_path))
    assert places_for_now(kept) == kept
    other = places_for_now(kept)
    assert other.identity != kept.identity
    assert other.identity.parent.is_dir()


async def test_listening_at_another_nodes_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def own(_: Overlay) -> tuple[None, Identity]:
        return None, OWN

    monkeypatch.setattr(Overlay, "_own", own)
    overlay = an_overlay(ManagerZeroTier(advertise=("203.0.113.7:7712",)))
    with pytest.raises(UsageError, match=r"not this node.*zt://:7711"):
        await overlay.listen(Address.parse("zt://1111111111000001/1111111111:7711"))
