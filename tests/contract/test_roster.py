"""Who may join and who has joined: what every roster must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskmessenger.core.errors import Conflict
from taskmessenger.handle import Roster
from taskmessenger.store.memory import MemoryStore

from tests.support.stores import T0, a_peer, a_store, an_invite


@pytest.fixture(params=["memory", "sqlite"])
async def roster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Roster]:
    made = MemoryStore() if request.param == "memory" else a_store(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_an_invite_comes_back_as_it_was_made(roster: Roster) -> None:
    invite = an_invite(secret_hash=b"\0\xff", uses=3, uses_left=3)
    await roster.add_invite(invite)
    assert await roster.invite("i1") == invite
    assert await roster.invite("i2") is None


async def test_invites_are_listed_newest_first(roster: Roster) -> None:
    for number in (1, 3, 2):
        await roster.add_invite(an_invite(f"i{number}", created_at=T0 + number))
    assert [invite.id for invite in await roster.invites()] == ["i3", "i2", "i1"]


async def test_an_invite_id_is_taken_once(roster: Roster) -> None:
    await roster.add_invite(an_invite())
    with pytest.raises(Conflict, match="i1"):
        await roster.add_invite(an_invite(uses=7))
    assert (await roster.invites())[0].uses == 1


async def test_redeeming_spends_one_use_and_lets_the_peer_in(roster: Roster) -> None:
    await roster.add_invite(an_invite(uses=2, uses_left=2))
    assert await roster.redeem("i1", a_peer(), T0 + 1) is True
    invite = await roster.invite("i1")
    assert invite is not None
    assert (invite.uses, invite.uses_left) == (2, 1)
    assert await roster.peer("p1") == a_peer()


@pytest.mark.parametrize(
    ("invite_id", "now", "given"),
    [
        ("i1", T0 + 3601, {}),
        ("i1", T0 + 1, {"uses_left": 0}),
        ("i1", T0 + 1, {"revoked_at": T0}),
        ("other", T0 + 1, {}),
    ],
    ids=["expired", "used", "revoked", "unknown"],
)
async def test_an_invite_that_cannot_be_used_lets_nobody_in(
    roster: Roster, invite_id: str, now: float, given: dict[str, object]
) -> None:
    await roster.add_invite(an_invite(**given))
    assert await roster.redeem(invite_id, a_peer(), now) is False
    assert await roster.peers() == []
    assert await roster.invites() == [an_invite(**given)]


async def test_an_invite_may_be_used_until_the_moment_it_expires(roster: Roster) -> None:
    await roster.add_invite(an_invite())
    assert await roster.redeem("i1", a_peer(), T0 + 3600) is True


async def test_a_peer_that_is_there_already_spends_no_use(roster: Roster) -> None:
    await roster.add_invite(an_invite(uses=5, uses_left=5))
    await roster.redeem("i1", a_peer(), T0)
    with pytest.raises(Conflict, match="p1"):
        await roster.redeem("i1", a_peer(serial="0b"), T0)
    invite = await roster.invite("i1")
    assert invite is not None
    assert invite.uses_left == 4
    assert await roster.peers() == [a_peer()]


@pytest.mark.parametrize("uses", [1, 7])
async def test_of_a_hundred_who_redeem_at_once_as_many_come_in_as_there_are_uses(
    roster: Roster, uses: int
) -> None:
    await roster.add_invite(an_invite(uses=uses, uses_left=uses))
    tries = [roster.redeem("i1", a_peer(f"p{number}"), T0) for number in range(100)]
    answers = await asyncio.gather(*tries)
    assert answers.count(True) == uses
    assert len(await roster.peers()) == uses


async def test_an_invite_is_revoked_once(roster: Roster) -> None:
    await roster.add_invite(an_invite())
    assert await roster.revoke_invite("i1", T0 + 5) is True
    assert await roster.revoke_invite("i1", T0 + 6) is False
    assert await roster.revoke_invite("i2", T0 + 6) is False
    invite = await roster.invite("i1")
    assert invite is not None
    assert invite.revoked_at == T0 + 5


async def test_a_peer_is_revoked_once(roster: Roster) -> None:
    await roster.add_invite(an_invite())
    await roster.redeem("i1", a_peer(), T0)
    assert await roster.revoke_peer("p1", T0 + 5) is True
    assert await roster.revoke_peer("p1", T0 + 6) is False
    assert await roster.revoke_peer("p2", T0 + 6) is False
    assert await roster.peer("p1") == a_peer(revoked_at=T0 + 5)


async def test_a_renewed_peer_keeps_all_but_its_certificate(roster: Roster) -> None:
    await roster.add_invite(an_invite())
    await roster.redeem("i1", a_peer(), T0)
    await roster.renew_peer("p1", "0b", T0 + 99)
    await roster.renew_peer("unknown", "0c", T0 + 99)
    assert await roster.peers() == [a_peer(serial="0b", expires_at=T0 + 99)]
