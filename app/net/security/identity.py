"""What a member keeps on disk after it has joined, and the key it makes before that.

    identity.pem    private key and certificate: one file, because they are only good together (0600)
    identity.json   the fleet's CA, who we are in the fleet, where its manager was last found (0600)

Says nothing about whether the manager still wants this member: only the manager knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from ...core.errors import ConfigError, Refused
from ..address import Address
from .certificates import UNREADABLE, Certificate, parse, uris_of
from .names import ROLES, parse_member_uri
from .private_files import private_folder, read_private, replace_private

KEY_FILE: Final = "identity.pem"
FACTS_FILE: Final = "identity.json"
_VERSION: Final = 1


class _Facts(msgspec.Struct, frozen=True):
    """identity.json. Unknown fields are left alone: a newer version wrote them."""

    version: int
    fleet_id: str
    role: str
    peer_id: str
    manager_name: str
    ca: str
    """PEM."""
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A member of a fleet, as the member itself knows it. The key stays in its file."""

    folder: Path
    fleet_id: str
    role: str
    peer_id: str
    manager_name: str
    """What the manager calls itself; for people."""
    certificate: Certificate
    ca_der: bytes
    endpoints: tuple[str, ...]
    """Addresses of the manager, to be tried in this order."""

    @property
    def key_path(self) -> Path:
        """The file with key and certificate, as `ssl` wants to have it."""
        return self.folder / KEY_FILE

    @property
    def addresses(self) -> list[Address]:
        """The endpoints, ready to be dialled.

        Raises:
            UsageError: one of them is damaged.
        """
        return [Address.parse(text) for text in self.endpoints]

    @property
    def waits(self) -> str:
        """What a person is told, who may then approve it, while this member is not approved."""
        return f"{self.peer_id} waits for approval at the manager: fingerprint {self.certificate.fingerprint}"

    @property
    def ca_pem(self) -> str:
        """The fleet's CA certificate as text."""
        return Certificate.of(self.ca_der).pem.decode("ascii")


def new_key() -> bytes:
    """A new private key on P-256, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_csr(key_pem: bytes) -> bytes:
    """A signing request for this key, as DER. The name in it means nothing: the manager gives names."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "joining")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(_load_key(key_pem), SHA256())
    return request.public_bytes(Encoding.DER)


def is_joined(folder: Path) -> bool:
    """Whether there is an identity to load."""
    return (folder / FACTS_FILE).exists()


def save(identity: Identity, key_pem: bytes) -> None:
    """Keep it. The facts are written last: without them the folder counts as not joined.

    Raises:
        ConfigError: the folder cannot be written, or the certificate is not for this key.
    """
    private_folder(identity.folder)
    if _load_key(key_pem).public_key() != parse(identity.certificate.der).public_key():
        raise ConfigError(f"{identity.key_path}: the certificate is not for this key: join again")
    replace_private(identity.key_path, key_pem + identity.certificate.pem)
    facts = _Facts(
        version=_VERSION,
        fleet_id=identity.fleet_id,
        role=identity.role,
        peer_id=identity.peer_id,
        manager_name=identity.manager_name,
        ca=identity.ca_pem,
        endpoints=identity.endpoints,
    )
    replace_private(identity.folder / FACTS_FILE, msgspec.json.format(msgspec.json.encode(facts)) + b"\n")


def load(folder: Path, role: str) -> Identity:
    """The identity kept in this folder, after checking that its parts belong together.

    Args:
        folder: where `save` put it.
        role: what the caller is going to act as; one of `ROLES`.

    Raises:
        Refused: this machine has not joined a fleet in this role; says how to.
        ConfigError: a file is damaged, open to others, or of a newer version.
    """
    assert role in ROLES, role
    try:
        facts = _read_facts(folder / FACTS_FILE)
        pem = read_private(folder / KEY_FILE)
    except FileNotFoundError:
        raise Refused(
            f"this machine has not joined a fleet as a {role} ({folder}): {_how_to_join(role)}"
        ) from None
    try:
        parsed = x509.load_pem_x509_certificate(pem)
        ca = Certificate.of_x509(x509.load_pem_x509_certificate(facts.ca.encode()))
        if _load_key(pem).public_key() != parsed.public_key():
            raise ValueError("the key does not belong to the certificate")
        if (facts.fleet_id, facts.role, facts.peer_id) not in map(parse_member_uri, uris_of(parsed)):
            raise ValueError("the certificate names somebody else")
    except UNREADABLE as error:
        raise ConfigError(
            f"{folder / KEY_FILE}: is damaged: move it away, then {_how_to_join(role)}"
        ) from error
    if facts.role != role:
        raise Refused(
            f"{folder}: holds the identity of a {facts.role}, not of a {role}: {_how_to_join(role)}"
        )
    return Identity(
        folder=folder,
        fleet_id=facts.fleet_id,
        role=facts.role,
        peer_id=facts.peer_id,
        manager_name=facts.manager_name,
        certificate=Certificate.of_x509(parsed),
        ca_der=ca.der,
        endpoints=facts.endpoints,
    )


def load_key(identity: Identity) -> bytes:
    """The private key, to ask for a new certificate with.

    Raises:
        ConfigError: it cannot be read any more.
    """
    try:
        key = _load_key(read_private(identity.key_path))
    except (FileNotFoundError, *UNREADABLE) as error:
        raise ConfigError(
            f"{identity.key_path}: is gone or damaged: {_how_to_join(identity.role)}"
        ) from error
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_facts(path: Path) -> _Facts:
    data = read_private(path)
    try:
        facts = msgspec.json.decode(data, type=_Facts)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: is damaged ({error}): move it away and join again") from error
    if facts.version != _VERSION:
        raise ConfigError(f"{path}: is of version {facts.version}, this program reads {_VERSION}: update it")
    return facts


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a key on P-256")  # noqa: TRY004  # damage of a file, as every other
    return key


def _how_to_join(role: str) -> str:
    """The command to type. The invite itself is asked for on standard input, never in the command."""
    if role == "worker":
        return "run `taskmessenger --role worker --no-ui --join -` and paste an invite"
    return f"join with an invite for a {role} (`taskmessenger invite` at the manager)"
