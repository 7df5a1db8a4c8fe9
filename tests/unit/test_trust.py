"""Who gets in: admission, local peers, failures, and recognising the manager before the secret leaves."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest
from cryptography.x509 import DNSName
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import Refused
from taskmessenger.net.client import connect_locally
from taskmessenger.net.security import limiter as limits
from taskmessenger.net.security.authority import Authority, _life
from taskmessenger.net.security.certificates import parse
from taskmessenger.net.security.limiter import FailureLimiter
from taskmessenger.net.security.local import admit_local, check_answering, peer_uid
from taskmessenger.net.security.names import MANAGER_NAME
from taskmessenger.net.security.recognise import check_manager
from taskmessenger.net.security.trust import admit

from tests.support.fleet_ca import (
    a_fleet,
    a_joining,
    a_member,
    a_registrar,
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


# Recognising the manager


def test_the_manager_that_made_the_invite_is_recognised(fleet: Authority) -> None:
    check_manager(manager_leaf(fleet), fleet.ca_der, an_invite(fleet)[0], NOW)


@pytest.mark.parametrize(
    "case", ["other fleet", "own leaf, right ca", "member as manager", "garbage", "no ca", "ca as leaf"]
)
def test_nobody_else_is_recognised_and_no_request_is_made(
    fleet: Authority, other_fleet: Authority, tmp_path: Path, case: str
) -> None:
    member = a_member(fleet, tmp_path)
    shown = {
        "other fleet": (manager_leaf(other_fleet), other_fleet.ca_der),
        "own leaf, right ca": (manager_leaf(other_fleet), fleet.ca_der),
        "member as manager": (member.certificate.der, fleet.ca_der),
        "garbage": (b"nonsense", fleet.ca_der),
        "no ca": (manager_leaf(fleet), b""),
        "ca as leaf": (fleet.ca_der, fleet.ca_der),
    }[case]
    with pytest.raises(Refused, match="nothing secret was sent") as refused:
        a_joining(an_invite(fleet)[0]).request(*shown, NOW)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        (DNSName("evil.example"), ExtendedKeyUsageOID.SERVER_AUTH),
        (DNSName(MANAGER_NAME), ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_a_certificate_for_something_else_makes_no_manager(fleet: Authority, name, usage) -> None:
    key = parse(manager_leaf(fleet)).public_key()
    leaf = fleet._sign(key, "x", name, usage, _life(NOW, 1))
    with pytest.raises(Refused, match="not one for a manager"):
        check_manager(leaf.der, fleet.ca_der, an_invite(fleet)[0], NOW)


def test_an_expired_manager_certificate_asks_to_check_the_clocks(fleet: Authority) -> None:
    leaf = manager_leaf(fleet, NOW - 500 * DAY)
    with pytest.raises(Refused, match="clocks"):
        check_manager(leaf, fleet.ca_der, an_invite(fleet)[0], NOW)


# Admission


async def test_a_member_comes_in_and_others_do_not(fleet: Authority, tmp_path: Path) -> None:
    member = a_member(fleet, tmp_path)
    _, roster = a_registrar(fleet)
    roster.knows(member)
    assert (await admit(credentials_of(member), roster, fleet.fleet_id, NOW)).id == member.peer_id
    said = set()
    for changes, expected in (
        ({"fleet_id": "0123456789"}, "belongs to fleet"),
        ({"peer_id": "w-nobody-0001"}, "not known"),
        ({"expires_at": NOW - 1}, "expired"),
        ({"role": "operator"}, "joined as a worker"),
    ):
        with pytest.raises(Refused, match=expected) as refused:
            await admit(credentials_of(member, **changes), roster, fleet.fleet_id, NOW)
        said.add(str(refused.value))
    await roster.revoke_peer(member.peer_id, NOW)
    with pytest.raises(Refused, match="was revoked") as refused:
        await admit(credentials_of(member), roster, fleet.fleet_id, NOW)
    assert len(said | {str(refused.value)}) == 5


# Failures


def test_five_failures_a_minute_are_free_and_the_next_waits_longer_each_time() -> None:
    limiter = FailureLimiter()
    for number in range(5):
        assert limiter.wait("10.0.0.1", NOW + number) == 0.0
        limiter.failed("10.0.0.1", NOW + number)
    now, waits = NOW + 4, []
    for _ in range(8):
        waits.append(limiter.wait("10.0.0.1", now))
        now += waits[-1]
        assert limiter.wait("10.0.0.1", now) == 0.0
        limiter.failed("10.0.0.1", now)
    assert waits == pytest.approx([60, 120, 240, 480, 960, 1920, 3600, 3600])
    assert limiter.wait("10.0.0.2", now) == 0.0


def test_slow_failures_never_wait() -> None:
    limiter = FailureLimiter()
    for number in range(50):
        limiter.failed("10.0.0.1", NOW + number * 15)
        assert limiter.wait("10.0.0.1", NOW + number * 15) == 0.0


def test_success_and_quiet_are_forgiven() -> None:
    limiter = FailureLimiter()
    for _ in range(7):
        limiter.failed("10.0.0.1", NOW)
    limiter.succeeded("10.0.0.1")
    assert limiter.wait("10.0.0.1", NOW) == 0.0
    for _ in range(5):
        limiter.failed("10.0.0.2", NOW)
    limiter.failed("10.0.0.2", NOW + 1000)
    assert limiter.wait("10.0.0.2", NOW + 1000) == 0.0


def test_a_clock_set_back_locks_nobody_out() -> None:
    limiter = FailureLimiter()
    for _ in range(9):
        limiter.failed("10.0.0.1", NOW)
    assert limiter.wait("10.0.0.1", NOW - 10 * DAY) == 0.0


def test_all_addresses_of_one_ipv6_network_count_as_one() -> None:
    limiter = FailureLimiter()
    for number in range(5):
        limiter.failed(f"2001:db8:1:2::{number}", NOW)
    assert limiter.wait("2001:db8:1:2:ffff::1", NOW) > 0
    assert limiter.wait("[2001:db8:1:2::9%eth0]", NOW) > 0
    assert limiter.wait("2001:db8:1:3::1", NOW) == 0
    for _ in range(5):
        limiter.failed("::ffff:10.0.0.1", NOW)
    assert limiter.wait("10.0.0.1", NOW) > 0


def test_many_addresses_take_bounded_memory() -> None:
    limiter = FailureLimiter()
    for number in range(limits.MAX_ADDRESSES + 500):
        limiter.failed(f"host-{number}", NOW)
    assert len(limiter) == limits.MAX_ADDRESSES


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e6, 1e6)), max_size=60))
def test_no_wait_is_negative_or_longer_than_an_hour(tries: list[tuple[str, float]]) -> None:
    limiter = FailureLimiter()
    for address, now in tries:
        assert 0.0 <= limiter.wait(address, now) <= limits.MAX_WAIT
        limiter.failed(address, now)


# Local peers


def test_the_kernel_says_who_is_at_the_other_end_of_a_unix_socket() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert peer_uid(here) == os.geteuid()
        admit_local(peer_uid(here))


def test_no_other_socket_says_who_is_there() -> None:
    with socket.socket(socket.AF_INET) as tcp, pytest.raises(Refused, match="cannot be found out"):
        peer_uid(tcp)


def test_only_the_same_user_and_root_may_come_in() -> None:
    admit_local(os.geteuid())
    admit_local(0)
    with pytest.raises(Refused, match="run as that user"):
        admit_local(os.geteuid() + 1)


def test_of_more_addresses_than_are_remembered_the_one_quiet_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_ADDRESSES", 10)
    limiter = FailureLimiter()
    for number in range(1, 11):
        for _ in range(6):
            limiter.failed(f"10.0.0.{number}", NOW + number)
    limiter.failed("10.0.0.1", NOW + 20)  # not quiet at all
    for _ in range(6):
        limiter.failed("10.0.1.1", NOW + 21)
    assert len(limiter) == 10
    assert limiter.wait("10.0.1.1", NOW + 21) > 0, "whoever has many addresses is slowed at each"
    assert limiter.wait("10.0.0.1", NOW + 21) > 0
    assert limiter.wait("10.0.0.2", NOW + 21) == 0


NOBODY = 65_534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    "place", ["its folder in the temporary directory", "a folder of ours", "its own folder"]
)
async def test_nothing_is_said_to_a_manager_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It has bound the socket first, where the command line will look for it."""
    path = tmp_path / "taskmessenger-0-1" / "manager.sock"
    path.parent.mkdir(mode=0o700)
    if place == "its folder in the temporary directory":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        tmp_path.chmod(0o1777)
    if place != "a folder of ours":
        os.chown(path.parent, NOBODY, -1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.seteuid(NOBODY)  # whom the kernel tells of is whoever listened
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        with pytest.raises(Refused, match=r"folder of yours|nothing was sent") as refused:
            await connect_locally(path)
        assert "\n" not in str(refused.value)
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            heard, _ = listener.accept()
            with heard:
                assert heard.recv(1) == b""


def test_a_manager_may_be_that_of_root_of_oneself_or_of_who_has_its_folder_alone(tmp_path: Path) -> None:
    check_answering(0, tmp_path / "s")
    check_answering(os.geteuid(), tmp_path / "s")
    with pytest.raises(Refused, match=f"user {NOBODY} answers"):
        check_answering(NOBODY, tmp_path / "s")
