"""A few stories on real nodes: a manager and a worker in this process, each with a console of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from taskmessenger.handle import Act, Group
from taskmessenger.record import Recording, ReplayNode, recording

from tests.support.consoles import becomes, console_of, shows
from tests.support.nodes import Nodes, a_fleet, until


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with a_fleet(tmp_path) as found:
        yield found


def a_task(kind: str, payload: object) -> Group:
    return Group(kind, [msgpack.packb(payload)])


async def test_a_worker_shows_what_it_runs_and_what_it_has_run(nodes: Nodes) -> None:
    async with console_of(nodes.worker) as pilot:
        await shows(pilot, "● connected", "manager lab", "w-one")
        (first,) = await nodes.manager.submit([a_task("reverse", "abc")])
        await becomes(pilot, lambda: nodes.worker.snapshot().worker.done)
        await pilot.press("2")
        await shows(pilot, str(first), "reverse", "✓ succeeded")
        await pilot.press("D")
        await shows(pilot, "Disconnect this worker?")
        await pilot.press("y")
        await becomes(pilot, lambda: nodes.worker.snapshot().worker.state == "away")
        await pilot.press("3")
        await shows(pilot, "the session with lab ended")


async def test_the_manager_learns_at_once_what_the_operator_of_a_worker_does(nodes: Nodes) -> None:
    state = lambda: nodes.manager.snapshot().workers[0].state  # noqa: E731
    async with console_of(nodes.worker) as pilot:
        await shows(pilot, "● connected")
        await pilot.press("p")
        await becomes(pilot, lambda: state() == "paused")
        await shows(pilot, "‖ paused")
        await pilot.press("p")
        await becomes(pilot, lambda: state() == "connected")
        await shows(pilot, "● connected")
        await pilot.press("D")
        await shows(pilot, "Disconnect this worker?")
        await pilot.press("y")
        await becomes(pilot, lambda: state() in {"away", "offline"})
        await shows(pilot, "disconnected by its operator")
        await pilot.press("R")
        await becomes(pilot, lambda: state() == "connected")


async def test_a_worker_that_is_drained_leaves_and_its_console_says_so(nodes: Nodes) -> None:
    async with console_of(nodes.worker) as pilot:
        await shows(pilot, "● connected")
        await pilot.press("d")
        await shows(pilot, "Drain this worker")
        await pilot.press("enter")
        await becomes(pilot, lambda: nodes.worker.ended)
        await shows(pilot, "this worker has ended")
        await becomes(pilot, lambda: nodes.manager.snapshot().workers[0].state == "offline")


async def test_a_worker_that_has_drained_is_started_again_from_its_own_console(nodes: Nodes) -> None:
    state = lambda: nodes.manager.snapshot().workers[0].state  # noqa: E731
    async with console_of(nodes.worker) as pilot:
        await nodes.manager.submit([a_task("reverse", "abc")])
        await becomes(pilot, lambda: nodes.worker.snapshot().worker.done)
        await pilot.press("d")
        await shows(pilot, "Drain this worker")
        await pilot.press("enter")
        await shows(pilot, "this worker has ended", "done 1", "Start")
        await becomes(pilot, lambda: state() == "offline")
        await pilot.press("R")
        await becomes(pilot, lambda: state() == "connected")
        await shows(pilot, "● connected")
        (again,) = await nodes.manager.submit([a_task("reverse", "cba")])
        await pilot.press("2")
        await shows(pilot, str(again), "✓ succeeded")


async def test_a_worker_that_its_manager_drains_shows_the_deadline_and_is_started_again(nodes: Nodes) -> None:
    worker = nodes.manager.snapshot().workers[0].id
    async with console_of(nodes.worker) as pilot:
        await shows(pilot, "● connected")
        await nodes.manager.submit([a_task("wait", 3)])
        await becomes(pilot, lambda: nodes.worker.snapshot().worker.running)
        await nodes.manager.act(Act("drain", scope=f"worker:{worker}", number=60.0))
        await shows(pilot, "1 of 1 task left, deadline in")
        await shows(pilot, "this worker has ended")
        await pilot.press("R")
        await becomes(pilot, lambda: nodes.manager.snapshot().workers[0].state == "connected")


async def test_a_worker_that_is_not_wanted_any_more_says_why_it_cannot_be_started(nodes: Nodes) -> None:
    worker = nodes.manager.snapshot().workers[0].id
    async with console_of(nodes.worker) as pilot:
        await shows(pilot, "● connected")
        await nodes.manager.act(Act("revoke", scope=f"worker:{worker}"))
        await shows(pilot, "this worker has ended", "was revoked")
        await pilot.press("R")
        await becomes(pilot, lambda: any("started" in what for _, _, what in pilot.app.told))
        await shows(pilot, "this worker has ended", "ask the operator, then join again")


async def test_a_console_that_is_opened_later_shows_what_a_worker_did_and_what_became_of_it(
    nodes: Nodes,
) -> None:
    await nodes.manager.submit([a_task("reverse", "abc")])
    await until(lambda: nodes.manager.snapshot().workers[0].done)
    await nodes.worker.act(Act("disconnect"))
    await until(lambda: nodes.manager.snapshot().workers[0].state == "offline")
    async with console_of(nodes.manager) as pilot:
        await pilot.press("4", "enter")
        await shows(pilot, "offline", "done 1", "worker.connected", "worker.disconnected", "reverse")


async def test_what_a_real_fleet_did_can_be_replayed(nodes: Nodes, tmp_path: Path) -> None:
    path = tmp_path / "a.tmrec"
    with recording(nodes.manager, path):
        ids = await nodes.manager.submit([a_task("reverse", "abc")] * 3)
        await until(lambda: nodes.manager.snapshot().fleet.totals["succeeded"] == len(ids))
    kept = Recording(path)
    node = ReplayNode(kept)
    node.go(node.last)
    fleet = node.snapshot().fleet
    assert fleet is not None
    assert fleet.totals["succeeded"] == len(ids)
    assert any(row.what.startswith("task.") for row in node.events(0).rows)
    kept.close()
