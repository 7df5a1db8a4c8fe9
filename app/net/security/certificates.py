"""What a certificate says, as plain values; making and trusting them is done elsewhere.

A member's certificate names it in one place only, the subject alternative name, as
`tm://<fleet>/<role>/<peer id>` (see `names`); the subject is for people.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Self, TypeGuard

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from ...core.errors import PeerError
from . import crockford
from .invites import CA_HASH_BYTES

MAX_CERTIFICATE: Final = 8192
"""Bytes of DER that are looked at at all; ours have about 600."""
_FLEET_ID_SYMBOLS: Final = 10
_PRINT_SYMBOLS: Final = 10
_PRINT_GROUP: Final = 5
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,  # where warnings are errors
    x509.AttributeNotFound,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for things that are not what they should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate and the facts about it that others decide by."""

    der: bytes
    serial: str
    """Lower-case hex without leading zeros."""
    not_before: float
    """Wall-clock seconds since the epoch, as `not_after`."""
    not_after: float

    @classmethod
    def of(cls, der: bytes) -> Self:
        """Read DER.

        Raises:
            PeerError: it is no certificate.
        """
        return cls.of_x509(parse(der))

    @classmethod
    def of_x509(cls, parsed: x509.Certificate) -> Self:
        """The facts of a parsed certificate."""
        return cls(
            der=parsed.public_bytes(Encoding.DER),
            serial=format(parsed.serial_number, "x"),
            not_before=parsed.not_valid_before_utc.timestamp(),
            not_after=parsed.not_valid_after_utc.timestamp(),
        )

    @property
    def pem(self) -> bytes:
        """The same, as text between BEGIN and END."""
        return parse(self.der).public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """Its key, short enough to be read aloud: `9ZD2M-4TQ8R`.

        50 bits of the SHA-256 of the public key: the same on every machine, and after every renewal. What it
        is compared with is seen by nobody on the way, so nobody can look for a key that has the same one.
        """
        info = parse(self.der).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        text = crockford.text_of(crockford.from_bytes(hashlib.sha256(info).digest())[:_PRINT_SYMBOLS])
        return "-".join(text[at : at + _PRINT_GROUP] for at in range(0, _PRINT_SYMBOLS, _PRINT_GROUP))

    def valid_at(self, now: float) -> bool:
        """Whether it is in force at this wall-clock time."""
        return self.not_before <= now <= self.not_after


def renewal_due(certificate: Certificate, now: float) -> bool:
    """Whether two thirds of its life are over."""
    life = certificate.not_after - certificate.not_before
    return now >= certificate.not_before + life * 2 / 3


def parse(der: bytes) -> x509.Certificate:
    """A certificate with a P-256 key.

    Raises:
        PeerError: it is not one.
    """
    try:
        if len(der) > MAX_CERTIFICATE:
            raise ValueError("too long")
        parsed = x509.load_der_x509_certificate(der)
        if not is_p256(parsed.public_key()):
            raise ValueError("not a P-256 key")
        _ = parsed.extensions, parsed.not_valid_after_utc  # so that reading them later cannot fail
    except UNREADABLE as error:
        raise PeerError(f"a certificate cannot be read ({type(error).__name__})") from error
    return parsed


def is_p256(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Whether this public key is on the one curve that a fleet uses."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def key_hash(certificate: x509.Certificate) -> bytes:
    """SHA-256 of its SubjectPublicKeyInfo, cut to what an invite carries."""
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).digest()[:CA_HASH_BYTES]


def fleet_id_of(ca_key_hash: bytes) -> str:
    """The fleet's short name for itself: 50 bits of the CA's key hash, lower case. A label, not a proof."""
    return crockford.text_of(crockford.from_bytes(ca_key_hash)[:_FLEET_ID_SYMBOLS]).lower()


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The URIs among its subject alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)
