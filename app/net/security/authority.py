"""The fleet's certificate authority: made at the manager's first start, it alone says who belongs.

It signs what it is told to; who deserves a certificate is decided in `enrol`. Its key never leaves the
manager's folder. Every certificate passes OpenSSL's strict checks, which are the default from Python 3.13 on.
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ...core.errors import ConfigError, PeerError, Refused
from .certificates import UNREADABLE, Certificate, fleet_id_of, is_p256, key_hash
from .names import MANAGER_NAME, PEER_ID, ROLES, member_uri
from .private_files import create_private, private_folder, read_private, replace_private

AUTHORITY_FILE: Final = "fleet-ca.pem"
MANAGER_FILE: Final = "manager.pem"
AUTHORITY_DAYS: Final = 3653
MANAGER_DAYS: Final = 397
MEMBER_DAYS: Final = 30
CLOCK_TOLERANCE: Final = 600.0
"""Seconds by which a member's clock may be behind the manager's."""
AUTHORITY_BACKDATE: Final = 86_400.0
"""Seconds: the first start may happen before the machine's clock has been set right."""
MAX_CSR: Final = 4096
"""Bytes of DER; ours have about 250."""
MAX_NAME: Final = 64
"""Characters of a name inside a certificate; X.509 allows no more."""
_DAY: Final = 86_400.0
_SEALS: Final = b"task-messenger seals\n"
"""What sets the key of seals apart from every other use of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A fleet's CA. Get one by `load_or_create`."""

    folder: Path
    fleet_name: str
    """What its operator called it at the first start; for people."""
    fleet_id: str
    key_hash: bytes
    """What an invite carries to know this CA by."""
    certificate: Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _parsed: x509.Certificate = field(repr=False)
    _seal_key: bytes = field(repr=False)

    @classmethod
    def load_or_create(cls, folder: Path, fleet_name: str, now: float) -> Self:
        """The CA kept in this folder; on the first start, a new one called `fleet_name`.

        Key and certificate share one file, so that there is no moment with half a CA.

        Raises:
            ConfigError: the file is damaged, expired, or open to others; says what to do.
        """
        path = private_folder(folder) / AUTHORITY_FILE
        try:
            data = read_private(path)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another manager was faster: its CA is the fleet's
                create_private(path, _new_authority(fleet_name, now))
            data = read_private(path)
        return cls._from_pem(path, data, now)

    @classmethod
    def _from_pem(cls, path: Path, data: bytes, now: float) -> Self:
        try:
            key = load_pem_private_key(data, password=None)
            parsed = x509.load_pem_x509_certificate(data)
            if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != parsed.public_key():
                raise ValueError("the key does not belong to the certificate")
            names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except UNREADABLE as error:
            raise ConfigError(
                f"{path}: is damaged: restore it from a backup (`taskmessenger restore FILE --replace`, if it"
                " was made --with-authority), or move it away to found a new fleet (every member must then"
                " join again)"
            ) from error
        certificate = Certificate.of_x509(parsed)
        if not certificate.valid_at(now):
            raise ConfigError(
                f"{path}: the fleet's CA is not valid today: check this machine's clock, or move the file "
                "away to found a new fleet (every member must then join again)"
            )
        hashed = key_hash(parsed)
        return cls(
            folder=path.parent,
            fleet_name=str(names[0].value) if names else "fleet",
            fleet_id=fleet_id_of(hashed),
            key_hash=hashed,
            certificate=certificate,
            _key=key,
            _parsed=parsed,
            _seal_key=hashlib.sha256(_SEALS + data).digest(),
        )

    @property
    def ca_der(self) -> bytes:
        """The CA's certificate, which is public."""
        return self.certificate.der

    @property
    def ca_pem(self) -> str:
        """The CA's certificate as text."""
        return self.certificate.pem.decode("ascii")

    def issue_manager(self, now: float, days: float = MANAGER_DAYS) -> Path:
        """A new key and server certificate for this manager, in a file as `ssl` wants to have it (0600).

        Make a new one at every start, and when `renewal_due`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.DNSName(MANAGER_NAME)
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        certificate = self._sign(key.public_key(), MANAGER_NAME, name, usage, _life(now, days))
        path = self.folder / MANAGER_FILE
        replace_private(path, _key_pem(key) + certificate.pem)
        return path

    def issue(
        self, csr_der: bytes, role: str, peer_id: str, now: float, days: float = MEMBER_DAYS
    ) -> Certificate:
        """A member's client certificate for the key in this signing request; nothing else in it counts.

        Args:
            csr_der: PKCS #10, signed by the key it asks for.
            role: one of `ROLES`.
            peer_id: lower-case letters, digits and dashes, at most 64.
            now: wall-clock seconds since the epoch.
            days: how long it is good for, but not beyond the CA itself.

        Raises:
            PeerError: the request cannot be read.
            Refused: the key is not on P-256, or the requester does not hold it.
        """
        assert role in ROLES, role
        assert PEER_ID.fullmatch(peer_id), peer_id
        key = _requested_key(csr_der)
        name = x509.UniformResourceIdentifier(member_uri(self.fleet_id, role, peer_id))
        return self._sign(key, peer_id, name, ExtendedKeyUsageOID.CLIENT_AUTH, _life(now, days))

    def seal(self, said: bytes) -> bytes:
        """What shows, to this authority alone, that it has said this."""
        return hmac.digest(self._seal_key, said, "sha256")

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        name: x509.GeneralName,
        usage: x509.ObjectIdentifier,
        life: tuple[datetime, datetime],
    ) -> Certificate:
        authority_key_id = self._parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._parsed.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(life[0])
            .not_valid_after(min(life[1], self._parsed.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key_id),
                critical=False,
            )
        )
        return Certificate.of_x509(builder.sign(self._key, SHA256()))


def _new_authority(fleet_name: str, now: float) -> bytes:
    """Key and self-signed certificate of a new CA, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    printable = "".join(char for char in fleet_name if char.isprintable()).strip()[:MAX_NAME]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, printable or "fleet")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - AUTHORITY_BACKDATE))
        .not_valid_after(_moment(now + AUTHORITY_DAYS * _DAY))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return _key_pem(key) + certificate.public_bytes(Encoding.PEM)


def _requested_key(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    try:
        if len(csr_der) > MAX_CSR:
            raise ValueError("too long")
        request = x509.load_der_x509_csr(csr_der)
        key = request.public_key()
        signed = request.is_signature_valid
    except InvalidSignature:
        signed = False
    except UNREADABLE as error:
        raise PeerError(f"a certificate request cannot be read ({type(error).__name__})") from error
    if not is_p256(key):
        raise Refused("a certificate was asked for a key that is not on P-256: use this program to join")
    if not signed:
        raise Refused("a certificate was asked for a key that the other side does not hold")
    return key


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _life(now: float, days: float) -> tuple[datetime, datetime]:
    return _moment(now - CLOCK_TOLERANCE), _moment(now + days * _DAY)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)
