"""What the node says when the network says no. A fake at the binding seam stands for the controller."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskmessenger.core.errors import ConfigError, Conflict, Refused, TimedOut
from taskmessenger.net.zerotier import binding, report
from taskmessenger.net.zerotier import node as nodes
from taskmessenger.net.zerotier.network import JoinState, JoinStatus, existing_network
from taskmessenger.net.zerotier.node import Node, NodeSettings, ensure, running
from taskmessenger.net.zerotier.roots import PublicRoots, own_roots

from tests.support.zerotier_fake import AN_IDENTITY, FakeLibzt, loaded

NETWORK = "8056c2e21c000001"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLibzt:
    fake = FakeLibzt()
    monkeypatch.setattr(nodes, "_current", None)
    monkeypatch.setattr(nodes, "service", lambda _: int(fake.up))
    return fake


def settings(home: Path, seconds: float = 0.05) -> NodeSettings:
    return NodeSettings(
        home=home,
        identity=AN_IDENTITY,
        network=existing_network(NETWORK),
        roots=own_roots([(AN_IDENTITY.public, ["10.88.0.1/9993"])]),
        join_seconds=seconds,
    )


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (binding.NETWORK_DENIED, Refused, "authorise node 8056c2e21c at the controller"),
        (binding.NETWORK_NOT_FOUND, Refused, "does not exist at controller 8056c2e21c"),
        (binding.NETWORK_REQUESTING, TimedOut, "controller 8056c2e21c of network [0-9a-f]+ is silent"),
        (binding.NETWORK_PORT_ERROR, TimedOut, "could not be set up"),
        (binding.NETWORK_TOO_OLD, Refused, "wants a newer libzt"),
    ],
)
async def test_with_a_fake_status_at_the_binding_seam_a_join_that_is_denied_ends_in_a_sentence(
    fake: FakeLibzt, tmp_path: Path, status: int, error: type[Exception], words: str
) -> None:
    fake.status = status
    with pytest.raises(error, match=words):
        await ensure(settings(tmp_path / "home"), loaded(fake))


async def test_with_a_fake_status_at_the_binding_seam_a_node_that_is_authorised_late_joins(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    said: list[JoinStatus] = []

    def progress(now: JoinStatus) -> None:
        said.append(now)
        fake.status = {
            JoinState.REQUESTING: binding.NETWORK_DENIED,
            JoinState.DENIED: binding.NETWORK_OK,
        }.get(now.state, fake.status)

    fake.status = binding.NETWORK_REQUESTING
    node = await ensure(settings(tmp_path / "home", seconds=30), loaded(fake), progress)
    assert [now.state for now in said] == [JoinState.REQUESTING, JoinState.DENIED, JoinState.READY]
    assert str(node.address) == fake.address


async def test_after_a_denial_the_same_node_is_asked_again_and_not_started_again(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    fake.status = binding.NETWORK_DENIED
    with pytest.raises(Refused):
        await ensure(settings(tmp_path / "home"), loaded(fake))
    fake.status = binding.NETWORK_OK
    node = await ensure(settings(tmp_path / "home"), loaded(fake))
    assert node.generation == 1


async def test_a_network_without_ipv4_says_what_to_turn_on(fake: FakeLibzt, tmp_path: Path) -> None:
    fake.address = ""
    with pytest.raises(Refused, match="turn on IPv4 auto-assign"):
        await ensure(settings(tmp_path / "home"), loaded(fake))


async def test_a_setting_that_libzt_does_not_take_keeps_the_node_from_starting(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    fake.answers["zts_init_set_roots"] = binding.ERR_ARG
    with pytest.raises(ConfigError, match="does not take its roots: invalid argument"):
        await ensure(settings(tmp_path / "home"), loaded(fake))
    assert "zts_node_start" not in fake.calls
    assert running() is None


async def test_a_node_that_comes_up_as_another_is_stopped_at_once(fake: FakeLibzt, tmp_path: Path) -> None:
    fake.node_id = 0x5FF51883D8
    with pytest.raises(ConfigError, match="started as 5ff51883d8 and not as 8056c2e21c"):
        await ensure(settings(tmp_path / "home"), loaded(fake))
    assert not fake.up
    assert running() is None


async def test_a_node_that_never_comes_up_is_given_up(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "START_SECONDS", 0.02)
    fake.node_id = 0
    with pytest.raises(TimedOut, match="did not come up"):
        await ensure(settings(tmp_path / "home"), loaded(fake))


async def test_a_node_that_never_ends_is_given_up(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await ensure(settings(tmp_path / "home"), loaded(fake))
    monkeypatch.setattr(nodes, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(nodes, "service", lambda _: 1)
    with pytest.raises(TimedOut, match="end this process"):
        await node.stop()


async def test_a_service_that_ends_by_itself_at_the_start_is_noticed(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.node_id = 0
    monkeypatch.setattr(nodes, "service", lambda _: 0)
    with pytest.raises(Conflict, match="ended at its start"):
        await ensure(settings(tmp_path / "home"), loaded(fake))


async def test_public_roots_leave_libzt_with_its_own_and_set_none_with_a_fake_at_the_binding_seam(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "roots").write_bytes(b"of an earlier start")
    wanted = NodeSettings(
        home=home, identity=AN_IDENTITY, network=existing_network(NETWORK), roots=PublicRoots()
    )
    await ensure(wanted, loaded(fake))
    assert "zts_node_start" in fake.calls
    assert "zts_init_set_roots" not in fake.calls
    assert not (home / "roots").exists()


async def test_membership_of_another_network_is_given_up(fake: FakeLibzt, tmp_path: Path) -> None:
    networks = tmp_path / "home" / "networks.d"
    networks.mkdir(mode=0o700, parents=True)
    (tmp_path / "home").chmod(0o700)
    (networks / "1234567890abcdef.conf").write_bytes(b"\n")
    await ensure(settings(tmp_path / "home"), loaded(fake))
    assert list(networks.iterdir()) == []


async def test_a_node_joins_only_when_its_stack_is_up(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "START_SECONDS", 0.02)
    fake.answers["zts_stats_get_all"] = binding.ERR_SERVICE
    with pytest.raises(TimedOut, match="did not come up"):
        await ensure(settings(tmp_path / "home"), loaded(fake))
    assert "zts_net_join" not in fake.calls


async def test_a_node_sees_no_configuration_before_it_joins(fake: FakeLibzt, tmp_path: Path) -> None:
    networks = tmp_path / "home" / "networks.d"
    node = await ensure(settings(tmp_path / "home"), loaded(fake))
    (networks / f"{NETWORK}.conf").write_bytes(b"v=7")
    seen: list[list[str]] = []
    fake.at_start = lambda: seen.append([path.name for path in networks.glob("*.conf")])
    await node.restart()
    assert seen == [[]]
    assert (networks / f"{NETWORK}.conf").read_bytes() == b"v=7"


async def test_a_controllers_configuration_is_kept_for_the_next_start(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    node = await ensure(settings(tmp_path / "home"), loaded(fake))
    file = tmp_path / "home" / "networks.d" / f"{NETWORK}.conf"
    file.write_bytes(b"v=7\nI=\x04\x0b\x93\x14\x05\\0\x18\n")
    await node.restart()
    assert file.read_bytes().startswith(b"v=7")


async def test_an_overlay_that_holds_an_address_of_this_machine_is_a_problem(
    fake: FakeLibzt, tmp_path: Path
) -> None:
    node = await ensure(settings(tmp_path / "home"), loaded(fake))
    assert node.status().problems == ()
    file = tmp_path / "home" / "networks.d" / f"{NETWORK}.conf"
    file.write_bytes(b"I=\x04\x7f\x93\x14\x05\\0\x08\n")
    assert "127.0.0.0/8" in node.status().problems[0]
    assert "give it another range" in node.status().problems[0]


async def test_a_home_with_a_path_too_long_for_libzt_is_refused(fake: FakeLibzt, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shorter path"):
        await ensure(settings(tmp_path / ("x" * 200)), loaded(fake))


async def test_the_status_of_a_node_that_never_ran_is_a_value(fake: FakeLibzt, tmp_path: Path) -> None:
    status = Node(settings(tmp_path / "home"), loaded(fake)).status()
    assert not status.running
    assert status.join.state is JoinState.DOWN
    assert status.peers is None
    assert status.as_json()["join"]["state"] == "down"


async def test_a_report_is_believed_while_its_writer_lives_and_it_is_fresh(
    fake: FakeLibzt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    node = await ensure(settings(home), loaded(fake))
    assert report.read(home) is None
    report._write(node, home / report.NAME)
    found = report.read(home)
    assert found is not None
    assert found.status["node_id"] == node.id
    monkeypatch.setattr(report, "_alive", lambda pid: False)
    assert report.read(home) is None
    monkeypatch.undo()
    monkeypatch.setattr(report, "FRESH_SECONDS", 0.0)
    assert report.read(home) is None
    (home / report.NAME).write_bytes(b"{")
    assert report.read(home) is None
