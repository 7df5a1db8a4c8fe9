"""Members that wait for an operator: refused at the door until then, told apart by their keys."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from random import Random

import anyio
import pytest
from taskmessenger.core.errors import Conflict, NotApproved, NotFound, Refused, by_code
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.security.certificates import Certificate
from taskmessenger.net.security.enrol import Registrar, Terms, create_invite
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.invites import decode, encode
from taskmessenger.net.security.trust import admit
from taskmessenger.roles import membership
from taskmessenger.roles.approval import CEILING_SECONDS, FIRST_SECONDS, JITTER, Awaiting
from taskmessenger.roles.controls import Controls
from taskmessenger.roles.membership import PENDING_SECONDS, Membership
from taskmessenger.store.memory_roster import MemoryRoster

from tests.support.fleet_ca import SOMEWHERE, a_fleet, a_joining, a_member, credentials_of, manager_leaf

NOW = time.time()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("ca"))


async def joined(
    fleet: Authority, folder: Path, terms: Terms, since: float = NOW
) -> tuple[Identity, MemoryRoster]:
    """Somebody who joined with an invite on these terms."""
    invite, row = create_invite(fleet.key_hash, [SOMEWHERE], "worker", 1, 900.0, since, terms)
    roster = MemoryRoster()
    await roster.add_invite(row)
    joining = a_joining(invite)
    request = joining.request(manager_leaf(fleet), fleet.ca_der, NOW)
    granted = await Registrar(authority=fleet, roster=roster).enrol(request, "10.0.0.1", since)
    return joining.accept(granted, folder / "me"), roster


def a_membership(roster: MemoryRoster, here: set[str] | None = None) -> Membership:
    return Membership(roster, lambda: here or set(), lambda: None)


@pytest.mark.parametrize("terms", [Terms(), Terms(approve=True), Terms(approve=True, ephemeral=True)])
def test_what_an_invite_asks_for_is_in_its_text_and_in_what_is_kept(fleet: Authority, terms: Terms) -> None:
    invite, row = create_invite(fleet.key_hash, [SOMEWHERE], "worker", 1, 900.0, NOW, terms)
    read = decode(encode(invite), NOW)
    assert (read.approve, read.ephemeral) == (row.approve, row.ephemeral) == (terms.approve, terms.ephemeral)


async def test_a_member_waits_until_it_is_approved(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms(approve=True))
    shown = credentials_of(member)
    with pytest.raises(NotApproved, match=f"taskmessenger worker approve {member.peer_id}"):
        await admit(shown, roster, fleet.fleet_id, NOW)
    await a_membership(roster).approve(member.peer_id)
    assert (await admit(shown, roster, fleet.fleet_id, NOW)).id == member.peer_id


async def test_without_such_an_invite_nobody_waits(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms())
    assert (await admit(credentials_of(member), roster, fleet.fleet_id, NOW)).pending is False


def test_the_other_end_knows_that_refusal_from_all_others() -> None:
    assert by_code("not_approved") is NotApproved
    assert NotApproved.exit_code == Refused.exit_code == 4


async def test_both_ends_show_the_same_fingerprint(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms(approve=True))
    row = await roster.peer(member.peer_id)
    assert row is not None
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", row.fingerprint)
    assert member.certificate.fingerprint == row.fingerprint
    assert identities.load(member.folder, "worker").waits.endswith(f"fingerprint {row.fingerprint}")


def test_a_renewed_certificate_has_the_fingerprint_of_the_old_one(fleet: Authority, tmp_path: Path) -> None:
    one, other = a_member(fleet, tmp_path), a_member(fleet, tmp_path, peer_id="w-other-0002")
    csr = identities.make_csr(identities.load_key(one))
    again = fleet.issue(csr, "worker", one.peer_id, NOW + 60)
    assert again.serial != one.certificate.serial
    assert Certificate.of(again.der).fingerprint == one.certificate.fingerprint
    assert other.certificate.fingerprint != one.certificate.fingerprint


async def test_nothing_is_renewed_before_it_is_approved(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms(approve=True))
    registrar, csr = (
        Registrar(authority=fleet, roster=roster),
        identities.make_csr(identities.load_key(member)),
    )
    with pytest.raises(NotApproved):
        await registrar.renew(credentials_of(member), csr, NOW)
    await a_membership(roster).approve(member.peer_id)
    assert (await registrar.renew(credentials_of(member), csr, NOW)).peer_id == member.peer_id


async def test_nobody_is_approved_twice_unknown_or_after_being_revoked(
    fleet: Authority, tmp_path: Path
) -> None:
    member, roster = await joined(fleet, tmp_path, Terms(approve=True))
    desk = a_membership(roster)
    with pytest.raises(NotFound, match="worker ls --pending"):
        await desk.approve("w-nobody-0000")
    await desk.approve(member.peer_id)
    with pytest.raises(Conflict, match="approved already"):
        await desk.approve(member.peer_id)
    await roster.revoke_peer(member.peer_id, NOW)
    with pytest.raises(Conflict, match="was revoked"):
        await desk.approve(member.peer_id)


async def test_who_is_not_approved_within_a_day_is_forgotten(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms(approve=True), NOW - PENDING_SECONDS - 1)
    with pytest.raises(NotFound):
        await a_membership(roster).approve(member.peer_id)
    assert await roster.peers() == []
    with pytest.raises(Refused, match="not known"):
        await admit(credentials_of(member), roster, fleet.fleet_id, NOW)


async def test_an_ephemeral_member_is_forgotten_when_it_has_left(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms(ephemeral=True))
    await a_membership(roster).left(member.peer_id)
    assert await roster.peers() == []


async def test_other_members_stay_when_they_leave(fleet: Authority, tmp_path: Path) -> None:
    member, roster = await joined(fleet, tmp_path, Terms())
    await a_membership(roster).left(member.peer_id)
    await a_membership(roster).left("w-nobody-0000")
    assert [peer.id for peer in await roster.peers()] == [member.peer_id]


async def test_an_ephemeral_member_that_stays_away_is_forgotten(
    fleet: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [100.0]
    monkeypatch.setattr(membership.anyio, "current_time", lambda: moment[0])
    member, roster = await joined(fleet, tmp_path, Terms(ephemeral=True))
    here = {member.peer_id}
    desk = a_membership(roster, here)
    await desk._forget_absent()
    here.clear()
    moment[0] += membership.AWAY_SECONDS - 1
    await desk._forget_absent()
    assert len(await roster.peers()) == 1, "a while is not for ever"
    moment[0] += 1
    await desk._forget_absent()
    assert await roster.peers() == []


def test_the_waits_grow_and_are_never_long() -> None:
    awaiting = Awaiting(Random(1))
    waits = [awaiting.seconds(tries) for tries in range(1, 100)]
    assert FIRST_SECONDS * (1 - JITTER) <= waits[0] <= FIRST_SECONDS
    assert waits[0] < waits[3]
    assert max(waits) <= CEILING_SECONDS
    assert min(waits[5:]) >= CEILING_SECONDS * (1 - JITTER)


async def test_it_is_said_once_what_is_waited_for(
    fleet: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Awaiting, "seconds", lambda *_: 0.0)
    caplog.set_level(logging.DEBUG)
    member, controls, awaiting = a_member(fleet, tmp_path), Controls(), Awaiting(Random(1))
    for _ in range(3):
        await awaiting.again(member, controls)
    assert [record.message for record in caplog.records] == [member.waits]
    assert controls.reason == member.waits
    assert "waits for approval at the manager: fingerprint " in member.waits


@pytest.mark.parametrize(
    "terms", [Terms(ephemeral=True), Terms(approve=True)], ids=["away", "never approved"]
)
async def test_members_whose_time_is_over_are_forgotten_again_and_again(
    fleet: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terms: Terms
) -> None:
    for name in ("AWAY_SECONDS", "LOOK_SECONDS", "PENDING_SECONDS"):
        monkeypatch.setattr(f"taskmessenger.roles.membership.{name}", 0.0)
    member, roster = await joined(fleet, tmp_path, terms, since=time.time() - 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(a_membership(roster).keep)
        with anyio.fail_after(30):
            while await roster.peer(member.peer_id) is not None:
                await anyio.sleep(0)
        tasks.cancel_scope.cancel()
