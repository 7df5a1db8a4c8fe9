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


async def test_what_an_invite_asks_for_and_how_a_peer_joined_comes_back(roster: Roster) -> None:
    await roster.add_invite(an_invite(approve=True, ephemeral=True))
    peer = a_peer(pending=True, ephemeral=True, fingerprint="9ZD2M-4TQ8R")
    await roster.redeem("i1", peer, T0)
    (invite,) = await roster.invites()
    assert (invite.approve, invite.ephemeral) == (True, True)
    assert await roster.peer("p1") == peer
    assert isinstance((await roster.peers())[0].pending, bool), "it is sent, as what it is"


async def test_a_waiting_peer_is_approved_once(roster: Roster) -> None:
    await roster.add_invite(an_invite(approve=True))
    await roster.redeem("i1", a_peer(pending=True), T0)
    assert await roster.approve_peer("p1") is True
    assert await roster.approve_peer("p1") is False
    assert await roster.approve_peer("unknown") is False
    assert await roster.peer("p1") == a_peer()


async def test_a_revoked_peer_is_not_approved(roster: Roster) -> None:
    await roster.add_invite(an_invite(approve=True))
    await roster.redeem("i1", a_peer(pending=True), T0)
    await roster.revoke_peer("p1", T0 + 5)
    assert await roster.approve_peer("p1") is False


async def test_who_has_waited_for_too_long_is_forgotten_and_nobody_else(roster: Roster) -> None:
    await roster.add_invite(an_invite(uses=5, uses_left=5))
    for name, since, pending in (("a", 0, True), ("b", 50, True), ("c", 0, False), ("d", 0, True)):
        await roster.redeem("i1", a_peer(name, enrolled_at=T0 + since, pending=pending), T0)
    await roster.revoke_peer("d", T0 + 1)
    assert await roster.forget_pending(T0 + 50) == ["a", "d"]
    assert await roster.forget_pending(T0 + 50) == []
    assert sorted(peer.id for peer in await roster.peers()) == ["b", "c"]


async def test_a_peer_is_forgotten_once(roster: Roster) -> None:
    await roster.add_invite(an_invite())
    await roster.redeem("i1", a_peer(), T0)
    assert await roster.forget_peer("p1") is True
    assert await roster.forget_peer("p1") is False
    assert await roster.peer("p1") is None


async def test_invites_of_one_moment_have_an_order_of_their_own(roster: Roster) -> None:
    for name in ("i2", "i3", "i1"):
        await roster.add_invite(an_invite(name, created_at=T0))
    assert [invite.id for invite in await roster.invites()] == ["i3", "i2", "i1"]
