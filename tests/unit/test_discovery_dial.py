"""How a worker dials what it has found: a hint is tried, and never taken for the manager's own word."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import NotApproved, Refused, TaskMessengerError, Unreachable
from taskmessenger.net.address import Address
from taskmessenger.net.discovery.finder import Finder
from taskmessenger.roles.nearby import ANSWER_SECONDS, searching
from trio.testing import MockClock

from tests.support.discovery import HOME, Ether, Fleet

KNOWN = "tcp://192.0.2.1:7711"
SESSION: Any = object()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.found(tmp_path_factory.mktemp("fleet"))


class World:
    """Who answers what at which address; silence elsewhere."""

    def __init__(self, fleet: Fleet, **answers: object) -> None:
        self.answers = answers
        self.tried: list[list[str]] = []
        self.fleet = fleet
        self.finder = Finder(fleet.registry(), [Ether().hop("192.0.2.2")])

    def heard(self, endpoint: str = HOME) -> None:
        data = self.fleet.manager_voice().announce([endpoint], [], time.time())
        self.finder.registry.hear(data, "192.0.2.7", anyio.current_time(), time.time())

    async def reach(self, addresses: Sequence[Address], fresh: bool) -> Any:
        self.tried.append(list(map(str, addresses)))
        answers = [self.answers.get(self._name(str(one))) for one in addresses]
        if SESSION in answers:
            return SESSION
        raise next((one for one in answers if isinstance(one, TaskMessengerError)), Unreachable("silence"))

    def _name(self, text: str) -> str:
        return {HOME: "home", KNOWN: "known"}.get(text, "")

    async def dial(self) -> Any:
        return await searching(lambda: [Address.parse(KNOWN)], self.reach, self.finder)(True)


async def test_what_was_heard_is_tried_beside_what_is_known(fleet: Fleet) -> None:
    world = World(fleet, home=SESSION)
    world.heard()
    assert await world.dial() is SESSION
    assert world.tried == [[HOME, KNOWN]]


async def test_where_nobody_answers_it_listens_for_somebody_new(fleet: Fleet) -> None:
    world = World(fleet, home=SESSION)
    async with anyio.create_task_group() as tasks:

        async def later() -> None:
            await anyio.sleep(ANSWER_SECONDS / 2)
            world.heard()

        tasks.start_soon(later)
        assert await world.dial() is SESSION
    assert world.tried == [[KNOWN], [HOME]]


async def test_where_nobody_is_heard_it_ends_as_it_would_have(fleet: Fleet) -> None:
    world = World(fleet)
    with pytest.raises(Unreachable, match="silence"):
        await world.dial()
    assert anyio.current_time() == pytest.approx(ANSWER_SECONDS)


async def test_a_stranger_at_a_found_address_does_not_end_the_worker(fleet: Fleet) -> None:
    world = World(fleet, home=Refused("this is not your manager"), known=SESSION)
    world.answers["known"] = Unreachable("asleep")
    world.heard()
    with pytest.raises(Unreachable, match="asleep"):
        await world.dial()
    assert world.tried == [[HOME, KNOWN], [KNOWN]]


async def test_a_stranger_who_is_found_later_does_not_end_it_either(fleet: Fleet) -> None:
    world = World(fleet, home=Refused("this is not your manager"))
    async with anyio.create_task_group() as tasks:

        async def later() -> None:
            await anyio.sleep(1)
            world.heard()

        tasks.start_soon(later)
        with pytest.raises(Unreachable, match="who was found says: this is not"):
            await world.dial()


async def test_the_manager_s_own_no_is_a_no(fleet: Fleet) -> None:
    for heard in (False, True):
        world = World(fleet, known=Refused("you were revoked"))
        if heard:
            world.heard()
        with pytest.raises(Refused, match="you were revoked"):
            await world.dial()


async def test_a_member_that_has_to_wait_for_approval_is_told_so_wherever_it_asks(fleet: Fleet) -> None:
    world = World(fleet, home=NotApproved("w-fern waits for approval"))
    world.heard()
    with pytest.raises(NotApproved):
        await world.dial()
    assert world.tried == [[HOME, KNOWN]], "asked once"
    late = World(fleet, home=NotApproved("w-fern waits for approval"))
    async with anyio.create_task_group() as tasks:

        async def later() -> None:
            await anyio.sleep(ANSWER_SECONDS / 2)
            late.heard()

        tasks.start_soon(later)
        with pytest.raises(NotApproved):
            await late.dial()
