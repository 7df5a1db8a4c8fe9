"""The node of a process: its life, and what it says when something is wrong. Real nodes, in namespaces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from taskmessenger.core.errors import Conflict
from taskmessenger.net.zerotier import status as looks
from taskmessenger.net.zerotier.library import load
from taskmessenger.net.zerotier.network import address_of
from taskmessenger.net.zerotier.node import ensure, running

from tests.support.namespaces import inside
from tests.support.zerotier_nodes import (
    CONDITION_SECONDS,
    OTHER_PORT,
    ROOT_PORT,
    NodeProcess,
    connects,
    listening,
    node_process,
    settings,
)

pytestmark = pytest.mark.zerotier
PORT = 7711


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time."""
    with anyio.fail_after(CONDITION_SECONDS):
        while not condition():
            await anyio.sleep(0.05)


async def test_a_node_starts_joins_stops_and_starts_again(tmp_path: Path) -> None:
    assert inside()
    wanted = settings(tmp_path / "home", 0, port=ROOT_PORT)
    node = await ensure(wanted, load())
    assert node.id == wanted.identity.node_id
    assert node.address == address_of(node.id)
    assert node.status().join.ready
    assert node.status().port == ROOT_PORT
    assert node.status().problems == ()
    await node.stop()
    assert running() is None
    assert not node.status().running
    assert "not running" in node.status().problems[0]
    again = await ensure(wanted, load())
    assert again.id == wanted.identity.node_id
    assert again.generation == 2


async def test_no_secret_is_written_into_the_home_of_libzt(tmp_path: Path) -> None:
    wanted = settings(tmp_path / "home", 0, port=ROOT_PORT)
    node = await ensure(wanted, load())
    await node.stop()
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if wanted.identity.secret.encode() in path.read_bytes()]


async def test_whoever_holds_sockets_is_told_before_each_stop(tmp_path: Path) -> None:
    node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    told: list[bool] = []
    forget = node.on_stop(lambda: told.append(node.running))
    await node.restart()
    assert told == [True]
    assert node.generation == 2
    forget()
    await node.stop()
    assert told == [True]


async def test_two_who_found_the_same_node_broken_restart_it_once(tmp_path: Path) -> None:
    node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    seen = node.generation
    async with anyio.create_task_group() as both:
        both.start_soon(node.restart, seen)
        both.start_soon(node.restart, seen)
    assert node.generation == seen + 1


async def test_five_restarts_leave_the_node_as_it_was(tmp_path: Path) -> None:
    node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    for _ in range(5):
        await node.restart()
    assert node.generation == 6
    assert node.status().join.ready


async def test_a_node_that_was_given_no_port_keeps_its_own_over_starts_and_restarts(tmp_path: Path) -> None:
    node = await ensure(settings(tmp_path / "home", 0), load())
    port = node.status().port
    assert port > 0
    await node.restart()
    assert node.status().port == port
    await node.stop()
    with node_process(tmp_path / "home", 0) as other:
        assert other.ask("status")["port"] == port


async def test_a_second_node_of_other_settings_is_refused(tmp_path: Path) -> None:
    wanted = settings(tmp_path / "home", 0, port=ROOT_PORT)
    await ensure(wanted, load())
    with pytest.raises(Conflict, match="runs in this process with other settings"):
        await ensure(replace(wanted, port=OTHER_PORT), load())


async def test_a_port_that_another_node_has_is_refused(tmp_path: Path) -> None:
    with (
        node_process(tmp_path / "other", 0, port=ROOT_PORT),
        pytest.raises(Conflict, match=f"UDP port {ROOT_PORT} is in use"),
    ):
        await ensure(settings(tmp_path / "home", 1, port=ROOT_PORT), load())


def test_a_process_may_end_without_stopping_its_node(tmp_path: Path) -> None:
    code = (
        "import sys, anyio; from pathlib import Path\n"
        "from taskmessenger.net.zerotier.library import load\n"
        "from taskmessenger.net.zerotier.node import ensure\n"
        "from tests.support.zerotier_nodes import settings\n"
        "anyio.run(ensure, settings(Path(sys.argv[1]), 0), load()); sys.exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "home")], timeout=60, check=False)
    assert done.returncode == 7


async def test_a_worker_reaches_a_manager_that_is_the_root_itself(tmp_path: Path) -> None:
    node = await ensure(settings(tmp_path / "home", 0, port=ROOT_PORT), load())
    with node_process(tmp_path / "other", 1) as other, listening(node, PORT):
        await until(lambda: connects(other, node, PORT))
        await until(lambda: sees(other, node.id))
        peer = node.status().peer(other.ask("status")["node_id"])
        assert peer is not None
        assert peer.direct


async def test_a_worker_reaches_a_manager_through_a_third_node_as_root(tmp_path: Path) -> None:
    with node_process(tmp_path / "root", 2, root=2, port=ROOT_PORT):
        node = await ensure(settings(tmp_path / "home", 0, root=2, port=OTHER_PORT), load())
        with node_process(tmp_path / "other", 1, root=2) as other, listening(node, PORT):
            await until(lambda: connects(other, node, PORT))
            known = {peer["node_id"]: peer["role"] for peer in other.ask("status")["peers"]}
            assert known == {node.settings.roots.roots[0].node_id: "root", node.id: "leaf"}


async def test_where_no_root_is_the_wait_is_bounded_and_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "ONLINE_SECONDS", 0.0)
    node = await ensure(settings(tmp_path / "home", 1), load())
    assert node.status().join.ready, "a private network needs nobody to join"
    assert not node.status().online
    assert "no root answers" in node.status().problems[0]
    assert f"10.88.0.1/{ROOT_PORT}" in node.status().problems[0]


@pytest.mark.parametrize("right", [True, False], ids=["the right root", "another identity"])
async def test_a_root_with_another_identity_introduces_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    monkeypatch.setattr(looks, "ONLINE_SECONDS", 0.0)
    there = 2 if right else 3
    with node_process(tmp_path / "root", there, manager=there, root=there, port=ROOT_PORT):
        node = await ensure(settings(tmp_path / "home", 0, root=2, port=OTHER_PORT), load())
        with node_process(tmp_path / "other", 1, root=2) as other, listening(node, PORT):
            if right:
                await until(lambda: connects(other, node, PORT))
                await until(lambda: node.status().online)
                assert node.status().problems == ()
            else:
                # As long as the right one may need, which is seconds when a first packet is lost.
                assert not any(connects(other, node, PORT) for _ in range(4))
                assert not node.status().online
                assert "no root answers" in node.status().problems[0]
                assert f"10.88.0.1/{ROOT_PORT}" in other.ask("status")["problems"][0]


def sees(other: NodeProcess, node_id: str) -> bool:
    """Whether that node has a direct path to this one."""
    return any(peer["node_id"] == node_id and peer["direct"] for peer in other.ask("status")["peers"])
