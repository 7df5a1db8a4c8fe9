"""The fleet's CA and what members keep: made once, kept private, and strict about what it signs."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskmessenger.core.errors import ConfigError, PeerError, Refused
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security import private_files
from taskmessenger.net.security.authority import AUTHORITY_FILE, CLOCK_TOLERANCE, Authority
from taskmessenger.net.security.certificates import Certificate, parse, renewal_due, uris_of

from tests.support.fleet_ca import a_fleet, a_member

DAY = 86_400.0
NOW = 1_800_000_000.0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def a_csr(key, names: list[str] = ("anyone",)) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("manager.tm.internal")]), False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Authority:
    return Authority.load_or_create(tmp_path_factory.mktemp("ca"), "lab-A", NOW)


def issue(fleet: Authority, **changes: object) -> Certificate:
    fields: dict[str, object] = {"role": "worker", "peer_id": "w-fern-0001", "now": NOW}
    return fleet.issue(identities.make_csr(identities.new_key()), **(fields | changes))  # type: ignore[arg-type]


def test_the_second_start_finds_the_ca_of_the_first(tmp_path: Path) -> None:
    first = Authority.load_or_create(tmp_path, "lab-A", NOW)
    second = Authority.load_or_create(tmp_path, "another name", NOW + DAY)
    assert (second.fleet_id, second.ca_der) == (first.fleet_id, first.ca_der)
    assert second.fleet_name == "lab-A"


def test_two_fleets_differ(tmp_path: Path) -> None:
    one, other = a_fleet(tmp_path, "a"), a_fleet(tmp_path, "b")
    assert one.fleet_id != other.fleet_id
    assert one.key_hash != other.key_hash


def test_managers_that_start_at_once_agree_on_one_ca(tmp_path: Path) -> None:
    together = threading.Barrier(4)
    found: list[str] = []

    def start() -> None:
        together.wait(timeout=10)
        found.append(Authority.load_or_create(tmp_path, "lab", NOW).fleet_id)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [AUTHORITY_FILE]


def test_keys_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fleet = Authority.load_or_create(tmp_path / "security", "lab", NOW)
        manager = fleet.issue_manager(NOW)
        member = a_member(fleet, tmp_path / "member")
    finally:
        os.umask(before)
    assert mode(tmp_path / "security") == mode(member.folder) == 0o700
    files = [fleet.folder / AUTHORITY_FILE, manager, *member.folder.iterdir()]
    assert {mode(path) for path in files} == {0o600}
    assert len(files) == 4


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_can_read_is_refused_with_the_cure(tmp_path: Path, bits: int) -> None:
    Authority.load_or_create(tmp_path, "lab", NOW)
    path = tmp_path / AUTHORITY_FILE
    path.chmod(bits)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        Authority.load_or_create(tmp_path, "lab", NOW)


def test_a_folder_that_others_can_write_is_refused_with_the_cure(tmp_path: Path) -> None:
    folder = tmp_path / "security"
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(ConfigError, match=f"chmod 700 {folder}"):
        Authority.load_or_create(folder, "lab", NOW)


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "security").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as a folder"):
        Authority.load_or_create(tmp_path / "security", "lab", NOW)


@pytest.mark.parametrize(
    "damage", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_ca_is_never_replaced_by_a_new_one(tmp_path: Path, damage: bytes) -> None:
    Authority.load_or_create(tmp_path, "lab", NOW)
    path = tmp_path / AUTHORITY_FILE
    path.write_bytes(damage)
    with pytest.raises(ConfigError, match="restore it from a backup"):
        Authority.load_or_create(tmp_path, "lab", NOW)
    assert path.read_bytes() == damage


def test_a_ca_with_the_key_of_another_is_damaged(tmp_path: Path) -> None:
    one, other = (a_fleet(tmp_path, name).folder / AUTHORITY_FILE for name in "ab")
    end = b"-----END PRIVATE KEY-----\n"
    mixed = one.read_bytes().split(end)[0] + end + other.read_bytes().split(end)[1]
    one.write_bytes(mixed)
    with pytest.raises(ConfigError, match="damaged"):
        Authority.load_or_create(one.parent, "a", time.time())


def test_a_ca_out_of_its_time_asks_to_check_the_clock(tmp_path: Path) -> None:
    Authority.load_or_create(tmp_path, "lab", NOW)
    for wrong in (NOW - 2 * DAY, NOW + 11 * 365 * DAY):
        with pytest.raises(ConfigError, match="clock"):
            Authority.load_or_create(tmp_path, "lab", wrong)


def test_a_key_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big"
    private_files.replace_private(path, bytes(private_files.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        private_files.read_private(path)


def test_a_new_file_never_replaces_one_that_is_there(tmp_path: Path) -> None:
    private_files.create_private(tmp_path / "key", b"first")
    with pytest.raises(FileExistsError):
        private_files.create_private(tmp_path / "key", b"second")
    assert private_files.read_private(tmp_path / "key") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_ca_can_sign_members_and_nothing_below_them(fleet: Authority) -> None:
    extensions = parse(fleet.ca_der).extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)


def test_nothing_in_a_request_counts_but_its_key(fleet: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = parse(fleet.issue(a_csr(key, ["root"]), "worker", "w-fern-0001", NOW).der)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=w-fern-0001"
    assert uris_of(certificate) == [f"tm://{fleet.fleet_id}/worker/w-fern-0001"]
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]


def test_a_certificate_is_good_for_a_member_whose_clock_is_behind(fleet: Authority) -> None:
    certificate = issue(fleet, days=30)
    assert certificate.not_before == NOW - CLOCK_TOLERANCE
    assert certificate.not_after == NOW + 30 * DAY
    assert certificate.valid_at(NOW - 599)
    assert not certificate.valid_at(NOW + 31 * DAY)


def test_no_certificate_outlives_the_ca(fleet: Authority) -> None:
    assert issue(fleet, days=100 * 365).not_after == fleet.certificate.not_after


def test_serials_differ_and_are_plain_hex(fleet: Authority) -> None:
    serials = {issue(fleet).serial for _ in range(20)}
    assert len(serials) == 20
    assert all(serial == format(int(serial, 16), "x") for serial in serials)


def test_renewal_is_due_after_two_thirds_of_the_life(fleet: Authority) -> None:
    certificate = issue(fleet, days=30)
    due = certificate.not_before + (certificate.not_after - certificate.not_before) * 2 / 3
    assert not renewal_due(certificate, due - 1)
    assert renewal_due(certificate, due)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_only_keys_on_p256_are_signed(fleet: Authority, key) -> None:
    with pytest.raises(Refused, match="P-256"):
        fleet.issue(a_csr(key), "worker", "w-fern-0001", NOW)


def test_a_request_for_somebody_elses_key_is_refused(fleet: Authority) -> None:
    mine, theirs = (a_csr(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    their_point = parse_point(theirs)
    forged = mine.replace(parse_point(mine), their_point)
    with pytest.raises(Refused, match="does not hold"):
        fleet.issue(forged, "worker", "w-fern-0001", NOW)


def parse_point(csr: bytes) -> bytes:
    numbers = x509.load_der_x509_csr(csr).public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@pytest.mark.parametrize("csr", [b"", b"\x30", b"nonsense", b"\x30\x84\xff\xff\xff\xff", bytes(5000)])
def test_garbage_in_place_of_a_request_is_the_peers_fault(fleet: Authority, csr: bytes) -> None:
    with pytest.raises(PeerError, match="cannot be read"):
        fleet.issue(csr, "worker", "w-fern-0001", NOW)


GOOD_CSR = identities.make_csr(identities.new_key())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(GOOD_CSR) - 1), value=st.integers(0, 255), cut=st.integers(0, 8))
def test_no_damaged_request_does_worse_than_being_refused(
    fleet: Authority, at: int, value: int, cut: int
) -> None:
    damaged = bytearray(GOOD_CSR)
    damaged[at] = value
    with contextlib.suppress(PeerError, Refused):
        fleet.issue(bytes(damaged[: len(damaged) - cut]), "worker", "w-fern-0001", NOW)
        assert bytes(damaged) == GOOD_CSR, "the signature covers every byte"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damaged_certificate_does_worse_than_being_refused(fleet: Authority, data: st.DataObject) -> None:
    damaged = bytearray(fleet.ca_der)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        Certificate.of(bytes(damaged))


def test_an_identity_comes_back_as_it_was_saved(fleet: Authority, tmp_path: Path) -> None:
    member = a_member(fleet, tmp_path)
    assert identities.is_joined(member.folder)
    assert identities.load(member.folder, "worker") == member
    csr = identities.make_csr(identities.load_key(member))
    assert x509.load_der_x509_csr(csr).public_key() == parse(member.certificate.der).public_key()


def test_a_machine_that_has_not_joined_is_told_how(tmp_path: Path) -> None:
    assert not identities.is_joined(tmp_path)
    with pytest.raises(Refused, match=r"run `taskmessenger --role worker --no-ui --join -`") as refused:
        identities.load(tmp_path, "worker")
    assert refused.value.exit_code == 4


def test_an_identity_of_another_role_is_refused(fleet: Authority, tmp_path: Path) -> None:
    member = a_member(fleet, tmp_path, role="client", peer_id="c-desk-0001")
    with pytest.raises(Refused, match="identity of a client, not of a worker"):
        identities.load(member.folder, "worker")


@pytest.mark.parametrize("name", [identities.KEY_FILE, identities.FACTS_FILE])
@pytest.mark.parametrize("damage", ["truncate", "nonsense", "readable", "gone"])
def test_a_damaged_identity_is_one_sentence_with_a_cure(
    fleet: Authority, tmp_path: Path, name: str, damage: str
) -> None:
    member = a_member(fleet, tmp_path)
    path = member.folder / name
    if damage == "gone":
        path.unlink()
    elif damage == "readable":
        path.chmod(0o644)
    else:
        path.write_bytes(path.read_bytes()[:100] if damage == "truncate" else b"nonsense")
    with pytest.raises((ConfigError, Refused), match=r"join|chmod 600") as refused:
        identities.load(member.folder, "worker")
    assert "\n" not in str(refused.value)


def test_an_identity_whose_parts_belong_to_different_members_is_damaged(
    fleet: Authority, tmp_path: Path
) -> None:
    one, other = a_member(fleet, tmp_path, peer_id="w-a-0001"), a_member(fleet, tmp_path, peer_id="w-b-0001")
    other.key_path.replace(one.key_path)
    with pytest.raises(ConfigError, match="damaged"):
        identities.load(one.folder, "worker")


def test_an_identity_file_of_a_newer_version_asks_for_an_update(fleet: Authority, tmp_path: Path) -> None:
    path = a_member(fleet, tmp_path).folder / identities.FACTS_FILE
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ConfigError, match="update"):
        identities.load(path.parent, "worker")


def test_no_key_is_shown_by_what_holds_it(fleet: Authority, tmp_path: Path) -> None:
    member = a_member(fleet, tmp_path)
    shown = f"{fleet!r} {fleet} {member!r}"
    assert "PRIVATE" not in shown
    assert "EllipticCurvePrivateKey" not in shown
