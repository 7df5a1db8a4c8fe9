"""Enrolment: one use of an invite makes one member, and nothing else does."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path

import anyio
import msgspec
import pytest
from taskmessenger.core.errors import InviteError, PeerError, Refused, UsageError
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.security.certificates import Certificate, parse, uris_of
from taskmessenger.net.security.enrol import EnrolRequest, create_invite
from taskmessenger.net.security.trust import admit

from tests.support.fleet_ca import (
    SOMEWHERE,
    a_fleet,
    a_joining,
    a_member,
    a_registrar,
    a_request,
    an_invite,
    credentials_of,
    manager_leaf,
)

NOW = time.time()
DAY = 86_400.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("other"), "lab-B")


async def test_a_machine_with_an_invite_becomes_a_member(fleet: Authority, tmp_path: Path) -> None:
    invite, row = an_invite(fleet)
    registrar, roster = a_registrar(fleet, row)
    joining = a_joining(invite, "Fern 2 (lab)")
    request = joining.request(manager_leaf(fleet), fleet.ca_der, NOW)
    granted = await registrar.enrol(request, "10.0.0.1", NOW)
    member = joining.accept(granted, tmp_path / "me")
    assert identities.load(tmp_path / "me", "worker") == member
    assert member.peer_id.startswith("w-fern-2-lab-")
    assert (member.fleet_id, member.manager_name) == (fleet.fleet_id, "lab-A")
    assert member.endpoints == (str(SOMEWHERE),)
    kept = roster.kept_peers[member.peer_id]
    assert (kept.serial, kept.role, kept.invite) == (member.certificate.serial, "worker", invite.id)
    assert kept.expires_at == member.certificate.not_after
    assert roster.kept_invites[invite.id].uses_left == 0


async def test_of_a_hundred_machines_with_a_one_use_invite_one_joins(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    registrar, roster = a_registrar(fleet, row)
    joined: list[str] = []
    refused: list[str] = []

    async def join(number: int) -> None:
        try:
            granted = await registrar.enrol(a_request(invite, name=f"m{number}"), "10.0.0.1", NOW)
        except InviteError as error:
            refused.append(str(error))
        else:
            joined.append(granted.peer_id)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(join, number)
    assert len(joined) == 1
    assert list(roster.kept_peers) == joined
    assert len(refused) == 99
    assert all("used up" in said for said in refused)


async def test_a_used_expired_and_revoked_invite_are_refused_each_in_its_own_words(fleet: Authority) -> None:
    said = []
    for change in ({"uses_left": 0}, {"expires_at": NOW}, {"revoked_at": NOW - 1}):
        invite, row = an_invite(fleet)
        registrar, roster = a_registrar(fleet, msgspec.structs.replace(row, **change))
        with pytest.raises(InviteError) as refused:
            await registrar.enrol(a_request(invite), "10.0.0.1", NOW)
        said.append(str(refused.value).partition(invite.id)[2])
        assert not roster.kept_peers
    assert [part for part in ("used up", "expired", "revoked") if any(part in text for text in said)] == [
        "used up",
        "expired",
        "revoked",
    ]
    assert len(set(said)) == 3


async def test_a_replayed_request_is_refused(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    registrar, roster = a_registrar(fleet, row)
    request = a_request(invite)
    await registrar.enrol(request, "10.0.0.1", NOW)
    with pytest.raises(InviteError, match="used up"):
        await registrar.enrol(request, "10.0.0.1", NOW)
    assert len(roster.kept_peers) == 1


async def test_an_invite_revoked_in_the_middle_of_it_is_refused(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    registrar, roster = a_registrar(fleet, row)
    redeem = roster.redeem

    async def revoked_just_before(invite_id: str, peer, now: float) -> bool:
        await roster.revoke_invite(invite_id, now)
        return await redeem(invite_id, peer, now)

    roster.redeem = revoked_just_before
    with pytest.raises(InviteError, match="revoked"):
        await registrar.enrol(a_request(invite), "10.0.0.1", NOW)


async def test_an_unknown_id_and_a_wrong_secret_look_alike(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    spent, spent_row = an_invite(fleet)
    registrar, roster = a_registrar(
        fleet, row, msgspec.structs.replace(spent_row, uses_left=0, revoked_at=NOW)
    )
    said = set()
    for number, wrong in enumerate(
        [
            a_request(invite, secret=bytes(16)),
            a_request(spent, secret=bytes(16)),
            a_request(invite, invite_id="00000000"),
            a_request(invite, invite_id=spent.id),
            a_request(invite, invite_id="x" * 100_000),
            a_request(invite, secret=b""),
            a_request(invite, secret=invite.secret + b"\0"),
        ]
    ):
        with pytest.raises(InviteError) as refused:
            await registrar.enrol(wrong, f"10.0.1.{number}", NOW)
        said.add((str(refused.value), refused.value.exit_code))
    assert len(said) == 1
    assert "does not know this invite: " in str(said)
    assert not roster.kept_peers


async def test_a_bad_request_for_a_certificate_costs_no_use(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    registrar, roster = a_registrar(fleet, row)
    with pytest.raises(PeerError):
        await registrar.enrol(a_request(invite, csr=b"nonsense"), "10.0.0.1", NOW)
    assert roster.kept_invites[invite.id].uses_left == 1
    assert (await registrar.enrol(a_request(invite), "10.0.0.1", NOW)).role == "worker"


@pytest.mark.parametrize(
    ("name", "peer_id"),
    [
        ("fern", r"w-fern-[0-9a-z]{4}"),
        ("", r"w-unnamed-[0-9a-z]{4}"),
        ("../../etc", r"w-etc-[0-9a-z]{4}"),
        ("a\x1b[2Jb\n", r"w-a-2jb-[0-9a-z]{4}"),
        ("x" * 100_000, r"w-x{24}-[0-9a-z]{4}"),
        ("\u00e4\u00f6\u00fc", r"w-unnamed-[0-9a-z]{4}"),
    ],
)
async def test_a_machine_cannot_choose_a_harmful_id(fleet: Authority, name: str, peer_id: str) -> None:
    invite, row = an_invite(fleet)
    registrar, _ = a_registrar(fleet, row)
    granted = await registrar.enrol(a_request(invite, name=name), "10.0.0.1", NOW)
    assert re.fullmatch(peer_id, granted.peer_id)
    assert uris_of(parse(granted.certificate)) == [f"tm://{fleet.fleet_id}/worker/{granted.peer_id}"]


async def test_what_a_machine_says_of_itself_is_kept_short_and_plain(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    registrar, roster = a_registrar(fleet, row)
    await registrar.enrol(
        a_request(invite, inventory="16 cores\x1b]52;c;x\x07\n" + "y" * 9999), "10.0.0.1", NOW
    )
    (kept,) = roster.kept_peers.values()
    assert kept.inventory.isprintable()
    assert kept.inventory.startswith("16 cores")
    assert len(kept.inventory) <= 1024


async def test_the_role_is_the_invites_and_nobody_elses(fleet: Authority) -> None:
    invite, row = an_invite(fleet, role="client")
    registrar, _ = a_registrar(fleet, row)
    granted = await registrar.enrol(a_request(dataclasses.replace(invite, role="operator")), "10.0.0.1", NOW)
    assert granted.role == "client"
    assert granted.peer_id.startswith("c-")


async def test_a_membership_that_does_not_fit_the_invite_is_not_kept(
    fleet: Authority, other_fleet: Authority, tmp_path: Path
) -> None:
    invite, _ = an_invite(fleet)
    stranger, row = an_invite(other_fleet)
    registrar, _ = a_registrar(other_fleet, row)
    granted = await registrar.enrol(a_request(stranger), "10.0.0.1", NOW)
    with pytest.raises(PeerError, match="does not fit"):
        a_joining(invite).accept(granted, tmp_path / "me")
    assert not identities.is_joined(tmp_path / "me")


async def test_a_renewal_gives_a_new_certificate_for_the_same_member(
    fleet: Authority, tmp_path: Path
) -> None:
    member = a_member(fleet, tmp_path, issued=-21 * DAY)
    registrar, roster = a_registrar(fleet)
    roster.knows(member)
    csr = identities.make_csr(identities.load_key(member))
    granted = await registrar.renew(credentials_of(member), csr, NOW)
    renewed = Certificate.of(granted.certificate)
    assert granted.peer_id == member.peer_id
    assert renewed.not_after > member.certificate.not_after
    assert roster.kept_peers[member.peer_id].serial == renewed.serial != member.certificate.serial
    assert await admit(credentials_of(member), roster, fleet.fleet_id, NOW), (
        "the old one is good until it expires"
    )


async def test_a_revoked_member_gets_no_new_certificate(fleet: Authority, tmp_path: Path) -> None:
    member = a_member(fleet, tmp_path)
    registrar, roster = a_registrar(fleet)
    roster.knows(member)
    await roster.revoke_peer(member.peer_id, NOW)
    csr = identities.make_csr(identities.load_key(member))
    with pytest.raises(Refused, match="revoked"):
        await registrar.renew(credentials_of(member), csr, NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "boss"},
        {"uses": 0},
        {"uses": 10_001},
        {"ttl": 0},
        {"ttl": 8 * DAY},
        {"ttl": float("inf")},
        {"ttl": -1},
    ],
)
def test_an_invite_without_bounds_cannot_be_made(fleet: Authority, wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"role": "worker", "uses": 1, "ttl": 900, "now": NOW}
    with pytest.raises(UsageError):
        create_invite(fleet.key_hash, [SOMEWHERE], **(fields | wrong))


def test_what_is_kept_of_an_invite_holds_no_secret(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    assert invite.secret not in msgspec.msgpack.encode(row)
    assert (row.id, row.uses_left, row.expires_at) == (invite.id, 1, float(invite.expires_at))


def test_no_secret_is_shown_by_what_carries_it(fleet: Authority) -> None:
    invite, _ = an_invite(fleet)
    joining = a_joining(invite)
    request = a_request(invite)
    for value in (invite, joining, request):
        shown = f"{value!r} {value}"
        assert repr(invite.secret)[2:-1] not in shown
        assert invite.secret.hex() not in shown
        assert "PRIVATE" not in shown
    assert isinstance(request, EnrolRequest)


async def test_guessing_is_slowed_down_and_others_are_not(fleet: Authority) -> None:
    invite, row = an_invite(fleet)
    registrar, _ = a_registrar(fleet, row)
    for _ in range(5):
        with pytest.raises(InviteError, match="does not know"):
            await registrar.enrol(a_request(invite, secret=bytes(16)), "10.0.0.1", NOW)
    with pytest.raises(Refused, match=r"too many failed .* 10\.0\.0\.1: try again in 60 s"):
        await registrar.enrol(a_request(invite), "10.0.0.1", NOW)
    assert await registrar.enrol(a_request(invite), "10.0.0.2", NOW)


async def test_holders_of_a_used_invite_do_not_block_their_address(fleet: Authority) -> None:
    used, used_row = an_invite(fleet)
    invite, row = an_invite(fleet)
    registrar, _ = a_registrar(fleet, msgspec.structs.replace(used_row, uses_left=0), row)
    for _ in range(20):
        with pytest.raises(InviteError, match="used up"):
            await registrar.enrol(a_request(used), "10.0.0.1", NOW)
    assert await registrar.enrol(a_request(invite), "10.0.0.1", NOW)
