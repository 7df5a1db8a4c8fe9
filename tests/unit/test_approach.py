"""How a member reaches its manager again: what is started, restarted, renewed and dropped on the way."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from taskmessenger.config.model import Leases
from taskmessenger.core.errors import AddressTaken, ConfigError, Refused, TaskMessengerError, Unreachable
from taskmessenger.net import approach
from taskmessenger.net.address import Address
from taskmessenger.net.approach import (
    AGAIN_DIALS,
    AGAIN_SECONDS,
    FIRST_DIAL_SECONDS,
    HEARD_SECONDS,
    JOIN_DIALS,
    MAX_RENEWALS,
    RESTART_EVERY,
    Approach,
)
from taskmessenger.net.client import Connected
from taskmessenger.net.transport import SILENT_DEAD_AFTER, Prepared
from taskmessenger.roles.worker import FENCE_SHARE

TCP = Address.parse("tcp://127.0.0.1:1")
OVERLAY = Address.parse("zt://8056c2e21c000001/8056c2e21c:7711")
BOTH = [TCP, OVERLAY]
AWAY = Unreachable("nobody")
TAKEN = AddressTaken("taken")


class FakeOverlay:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.running = False
        self.calls: list[str] = []

    async def prepare(self, address: Address) -> Prepared:
        self.running = True
        return Prepared(carrier="1234567890")

    async def restart(self) -> None:
        self.calls.append("restart")

    async def renew(self) -> None:
        self.calls.append("renew")

    async def report(self) -> None:
        pass

    async def stay_known(self, heard: Callable[[], bool]) -> None:
        self.heard = heard
        self.calls.append("stay known")

    async def stop(self) -> None:
        if self.running:
            self.calls.append("stop")
        self.running = False


class Manager:
    """Stands in for `client.connect`: each answer is where the session stands, or what goes wrong."""

    def __init__(self, *answers: Address | TaskMessengerError) -> None:
        self.answers = list(answers)
        self.prepared: list[dict[str, Prepared]] = []

    async def __call__(self, who: Any, addresses: Any, *more: Any, **options: Any) -> Connected:
        self.prepared.append({one.scheme: await options["prepare"](one) for one in addresses})
        answer = self.answers.pop(0)
        if isinstance(answer, TaskMessengerError):
            raise answer
        return Connected(None, None, answer)  # type: ignore[arg-type]


@pytest.fixture
def overlay() -> FakeOverlay:
    return FakeOverlay()


@pytest.fixture
def reach(overlay: FakeOverlay) -> Approach:
    return Approach(lambda: overlay)  # type: ignore[arg-type,return-value]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Manager]:
    def make(*answers: Address | TaskMessengerError) -> Manager:
        manager = Manager(*answers)
        monkeypatch.setattr(approach, "connect", manager)
        monkeypatch.setattr(approach, "join", manager)
        return manager

    return make


async def test_without_an_overlay_address_no_overlay_is_made(answering) -> None:
    made: list[object] = []
    answering(TCP)
    await Approach(lambda: made.append(1)).connect(None, [TCP])  # type: ignore[arg-type,func-returns-value]
    assert made == []


async def test_an_overlay_that_lost_the_race_is_stopped(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    answering(TCP)
    await reach.connect(None, BOTH)
    assert overlay.calls == ["stop"]


async def test_an_overlay_that_won_stays_until_the_end(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    answering(OVERLAY)
    async with reach:
        await reach.connect(None, BOTH)
        assert overlay.running
    assert overlay.calls == ["stop"]


async def test_the_first_failure_after_a_lost_link_restarts_the_node_and_tries_again_at_once(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    manager = answering(OVERLAY, AWAY, OVERLAY)
    await reach.connect(None, BOTH)
    await reach.connect(None, BOTH)
    assert overlay.calls == ["restart"]
    assert [(seen["zt"].dials, seen["zt"].dial_seconds) for seen in manager.prepared] == [
        (1, inf),
        (1, FIRST_DIAL_SECONDS),
        (AGAIN_DIALS, AGAIN_SECONDS),
    ]
    assert Leases().ttl * FENCE_SHARE - SILENT_DEAD_AFTER > AGAIN_DIALS * AGAIN_SECONDS


async def test_a_link_that_was_lost_only_for_a_moment_restarts_nothing(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    answering(OVERLAY, OVERLAY)
    await reach.connect(None, BOTH)
    await reach.connect(None, BOTH)
    assert overlay.calls == []


async def test_a_manager_that_stays_away_restarts_the_node_now_and_then_only(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    answering(*[AWAY] * (2 * RESTART_EVERY))
    for _ in range(2 * RESTART_EVERY):
        with pytest.raises(Unreachable):
            await reach.connect(None, BOTH)
    assert overlay.calls == ["restart"] * 2


@pytest.mark.parametrize("error", [Refused("no"), ConfigError("broken")])
async def test_what_a_restart_cannot_mend_is_told_at_once(
    answering, reach: Approach, overlay: FakeOverlay, error: TaskMessengerError
) -> None:
    answering(OVERLAY, error)
    await reach.connect(None, BOTH)
    with pytest.raises(type(error)):
        await reach.connect(None, BOTH)
    assert overlay.calls == []


async def test_an_address_that_is_taken_is_answered_with_another_identity(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    answering(TAKEN, OVERLAY)
    assert (await reach.connect(None, BOTH)).address == OVERLAY
    assert overlay.calls == ["renew"]


async def test_identities_are_not_renewed_for_ever(answering, reach: Approach, overlay: FakeOverlay) -> None:
    answering(*[TAKEN] * (MAX_RENEWALS + 1))
    with pytest.raises(AddressTaken):
        await reach.connect(None, BOTH)
    assert overlay.calls == ["renew"] * MAX_RENEWALS


async def test_tcp_needs_no_name_and_has_its_own_bound(answering, reach: Approach) -> None:
    manager = answering(TCP)
    await reach.connect(None, BOTH)
    assert manager.prepared[0]["tcp"] == Prepared()
    assert manager.prepared[0]["zt"].carrier == "1234567890"


async def test_a_stranger_gets_more_than_one_chance_to_be_heard_over_the_overlay(
    answering, reach: Approach
) -> None:
    manager = answering(OVERLAY, OVERLAY)
    await reach.join(None, BOTH, Path())  # type: ignore[arg-type]
    await reach.connect(None, BOTH)
    assert [seen["zt"].dials for seen in manager.prepared] == [JOIN_DIALS, 1]
    assert manager.prepared[0]["tcp"].dials == 1


async def test_a_node_is_announced_only_while_its_manager_gives_no_sign_of_life(
    answering, reach: Approach, overlay: FakeOverlay
) -> None:
    answering(OVERLAY)
    await reach.connect(None, BOTH)
    wire = SimpleNamespace(last_heard=anyio.current_time())
    reach._connected = Connected(SimpleNamespace(wire=wire), None, OVERLAY)  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reach.tend)
        while not hasattr(overlay, "heard"):
            await anyio.sleep(0)
        tasks.cancel_scope.cancel()
    assert overlay.heard()
    wire.last_heard -= HEARD_SECONDS
    assert not overlay.heard()
