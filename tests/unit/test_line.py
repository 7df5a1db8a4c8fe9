"""The line to a manager that goes away: when it dials again, when it gives up, and what is said then."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import Conflict, PeerError, Refused, TimedOut, Unreachable
from taskmessenger.net import messages as m
from taskmessenger.net.address import Address
from taskmessenger.net.client import Connected
from taskmessenger.net.line import RETRY_CEILING, RETRY_FIRST, STEADY_SECONDS, Line
from taskmessenger.net.session import Ended

from tests.simulation.virtual import run

WELCOME = m.Welcome(1, "lab", "fleet", "o-1", 5.0, 15.0, 30.0, 1024)
HOUR = 3_600.0


class Session:
    """A session that ends when it is told to, with an error or not."""

    def __init__(self) -> None:
        self.said: list[m.Message] = []
        self.closed = False
        self._over = anyio.Event()
        self._error: Exception | None = None

    def send(self, message: m.Message) -> None:
        self.said.append(message)

    def end(self, error: Exception) -> None:
        self._error = error
        self._over.set()

    async def run(self, handle: Any) -> None:
        self.handle = handle
        await self._over.wait()
        assert self._error is not None
        raise self._error

    async def aclose(self) -> None:
        self.closed = True


class World:
    """A line, the moments at which it dialled, and how each dial ends."""

    def __init__(self, patience: float) -> None:
        self.dials: list[float] = []
        self.answers: list[Session | Exception] = []
        self.default: Exception = Unreachable("nobody listens")
        self.line = Line(self.dial, patience, WELCOME, lambda _: None)
        self.first = Session()
        self.returned = 0

    async def dial(self) -> Connected:
        self.dials.append(anyio.current_time())
        answer = self.answers.pop(0) if self.answers else self.default
        if isinstance(answer, Exception):
            raise answer
        return self.connected(answer)

    def connected(self, session: Session) -> Connected:
        return Connected(session, WELCOME, Address.parse("tcp://127.0.0.1:1"))  # type: ignore[arg-type]

    def came(self) -> None:
        self.returned += 1

    async def keep(self) -> None:
        await self.line.keep(self.connected(self.first), self.came)


def played(patience: float, story: Any) -> World:
    made: list[World] = []

    async def main() -> None:
        world = World(patience)
        made.append(world)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.keep)
            await anyio.sleep(1.0)
            await story(world)
            tasks.cancel_scope.cancel()

    run(main)
    return made[0]


def test_during_a_long_outage_the_pauses_grow_to_a_ceiling_and_no_further() -> None:
    async def story(world: World) -> None:
        world.first.end(Unreachable("lost"))
        await anyio.sleep(HOUR)
        assert world.line.failed is None

    world = played(2 * HOUR, story)
    pauses = [later - earlier for earlier, later in pairwise(world.dials)]
    assert pauses[0] == pytest.approx(RETRY_FIRST)
    assert max(pauses) == pytest.approx(RETRY_CEILING)
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(pauses)), "each as long at least"
    assert world.first.closed


def test_sessions_that_end_at_once_come_ever_slower_and_one_that_lasted_makes_good_for_them() -> None:
    lasting = Session()

    async def story(world: World) -> None:
        for _ in range(200):
            world.answers.append(short := Session())
            short.end(Unreachable("it ends whenever it is asked this"))
        world.first.end(Unreachable("lost"))
        await anyio.sleep(60.0)
        assert len(world.dials) <= 60 / RETRY_CEILING + 10
        world.answers = [lasting]
        await anyio.sleep(STEADY_SECONDS + RETRY_CEILING)
        world.dials.clear()
        lasting.end(Unreachable("lost"))
        began = anyio.current_time()
        await anyio.sleep(RETRY_FIRST / 2)
        assert world.dials == [began], "at once"

    played(HOUR, story)


def test_a_line_whose_patience_is_over_says_that_and_fails_all_that_waits() -> None:
    said: list[str] = []

    async def story(world: World) -> None:
        world.first.end(Unreachable("lost"))
        await anyio.sleep(0.05)
        for _ in range(2):
            with pytest.raises(Unreachable) as caught:
                await world.line.ask(lambda n: m.Ask(n, "status"), m.Facts)
            said.append(str(caught.value))
        assert 61.0 <= anyio.current_time() < 61.0 + RETRY_CEILING

    world = played(60.0, story)
    assert isinstance(world.line.failed, Unreachable)
    assert said == [str(world.line.failed)] * 2
    assert "60 s" in said[0]
    assert world.dials[-1] <= 61.0


def test_without_patience_a_lost_link_is_the_end() -> None:
    async def story(world: World) -> None:
        world.first.end(Unreachable("lost"))
        await anyio.sleep(1.0)

    world = played(0.0, story)
    assert "was lost: is it still running?" in str(world.line.failed)
    assert not world.dials


@pytest.mark.parametrize("error", [Refused("you were revoked"), Conflict("two of you")])
def test_a_refusal_when_it_dials_again_is_final(error: Exception) -> None:
    async def story(world: World) -> None:
        world.answers = [Unreachable("not yet"), error]
        world.first.end(Unreachable("lost"))
        with pytest.raises(type(error), match=str(error)):
            await world.line.ask(lambda n: m.Ask(n, "status"), m.Facts)
        await anyio.sleep(HOUR)

    world = played(2 * HOUR, story)
    assert world.line.failed is error
    assert len(world.dials) == 2


def test_a_goodbye_that_is_a_refusal_is_final_and_any_other_is_not() -> None:
    async def refused(world: World) -> None:
        world.first.end(Ended("refused", "you were\x1b revoked"))
        await anyio.sleep(HOUR)

    async def stopping(world: World) -> None:
        world.answers = [Session()]
        world.first.end(Ended("stopping", "the manager stops"))
        await anyio.sleep(HOUR)

    world = played(2 * HOUR, refused)
    assert isinstance(world.line.failed, Refused)
    assert str(world.line.failed).isprintable()
    assert not world.dials
    world = played(2 * HOUR, stopping)
    assert world.line.failed is None
    assert (world.returned, len(world.dials)) == (2, 1)


def test_a_question_that_was_lost_is_asked_again_unless_that_could_do_it_twice() -> None:
    async def story(world: World) -> None:
        second = Session()
        world.answers = [second]
        async with anyio.create_task_group() as tasks:
            answers: list[object] = []

            async def ask(*, again: bool) -> None:
                try:
                    answers.append(await world.line.ask(lambda n: m.Ask(n, "x"), m.Facts, again=again))
                except Unreachable as error:
                    answers.append(str(error))

            tasks.start_soon(lambda: ask(again=True))
            tasks.start_soon(lambda: ask(again=False))
            await anyio.sleep(0.1)
            assert len(world.first.said) == 2
            world.first.end(Unreachable("lost"))
            await anyio.sleep(1.0)
            assert answers == ["the link to the manager was lost before it answered"]
            (question,) = second.said
            await second.handle([m.Facts(question.request, b"\x80")])  # type: ignore[attr-defined]
            await anyio.sleep(0.1)
            assert isinstance(answers[1], m.Facts)

    played(60.0, story)


def test_an_answer_that_does_not_come_is_said_to_be_late_and_a_wrong_one_to_be_wrong() -> None:
    async def story(world: World) -> None:
        began = anyio.current_time()
        with pytest.raises(TimedOut, match="the manager did not answer within 7 s"):
            await world.line.ask(lambda n: m.Ask(n, "status"), m.Facts, seconds=7.0)
        assert anyio.current_time() - began == pytest.approx(7.0)

        async def answer_wrongly() -> None:
            await anyio.sleep(0.1)
            await world.first.handle([m.Invites(world.first.said[-1].request, [])])  # type: ignore[attr-defined]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_wrongly)
            with pytest.raises(PeerError, match="answered `Invites` instead of `Facts`"):
                await world.line.ask(lambda n: m.Ask(n, "status"), m.Facts)

    played(0.0, story)
