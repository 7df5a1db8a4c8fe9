"""What a console asks a manager elsewhere, and what is said when that one is too old, mute or away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from taskmessenger.attached import LOOK, _Asker
from taskmessenger.core.errors import Refused, TimedOut, Unreachable
from taskmessenger.net import messages as m


class Remote:
    """A session as the asker sees it."""

    def __init__(self, *offers: str) -> None:
        welcome = m.Welcome(1, "lab", "fleet", "o-1", 5.0, 15.0, 30.0, 1024, "0.0.9")
        self.welcome: Any = SimpleNamespace(offers=offers, version=welcome.version)
        self.failed: Exception | None = None
        self.connected = True
        self.asked = 0
        self.mute = False

    async def ask(self, make: Any, _wanted: Any, *, again: bool) -> Any:
        assert not again, "an order must not be carried out twice"
        self.asked += 1
        if self.mute:
            await anyio.sleep_forever()
        return make(1)


async def ask(asker: _Asker, seconds: float = 30.0) -> m.Message:
    return await asker.ask(lambda n: m.Ask(n, "status"), m.Ask, seconds)  # type: ignore[type-var]


async def test_a_manager_that_knows_no_looks_is_said_to_be_too_old() -> None:
    remote = Remote("something else")
    with pytest.raises(
        Refused, match=r"the manager's version 0\.0\.9 is too old for this console: update it"
    ):
        await ask(_Asker(remote))  # type: ignore[arg-type]
    assert not remote.asked


async def test_a_manager_that_has_answered_once_and_is_away_is_not_waited_for() -> None:
    remote = Remote(LOOK)
    asker = _Asker(remote)  # type: ignore[arg-type]
    remote.connected = False
    await ask(asker)  # the first time, the session is only just coming up
    with pytest.raises(Unreachable, match="the manager is away: it is asked again as soon as it is back"):
        await ask(asker)
    remote.connected = True
    await ask(asker)
    assert remote.asked == 2


async def test_a_line_that_was_given_up_says_why_at_each_question() -> None:
    remote = Remote(LOOK)
    remote.failed = Refused("you were revoked")
    with pytest.raises(Refused, match="you were revoked"):
        await ask(_Asker(remote))  # type: ignore[arg-type]
    assert not remote.asked


async def test_a_manager_that_does_not_answer_in_time_is_told_as_such() -> None:
    remote = Remote(LOOK)
    remote.mute = True
    with pytest.raises(TimedOut, match=r"the manager did not answer within 0\.05 s"):
        await ask(_Asker(remote), 0.05)  # type: ignore[arg-type]
