"""One datagram: whose it is, and that nobody else could have made it. Sockets and meanings are elsewhere.

    4 bytes    "tmd1"
    8 bytes    the fleet: start of the hash of its CA's key, so that others' datagrams cost nothing
    2 bytes    length of the certificate
    ...        the speaker's certificate, DER, issued by the fleet's CA
    ...        what is said, see `words`
    64 bytes   ECDSA over P-256 and SHA-256, r and s, of `CONTEXT` and all of the above

Nothing that is said is read before the signature has been checked.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ...core.errors import ConfigError, PeerError
from ..security.certificates import UNREADABLE, Certificate, fleet_id_of, is_p256, key_hash, parse, uris_of
from ..security.names import parse_member_uri
from ..security.private_files import read_private
from ..security.recognise import is_server, issued

MAX_DATAGRAM: Final = 1_200
"""Bytes; what passes every path without being cut into fragments."""
MAX_CERTIFICATE: Final = 900
"""Bytes of DER; ours have up to 630."""
KNOWN_CERTIFICATES: Final = 512
"""Remembered as checked; beyond that the one used least lately is checked anew."""
MAGIC: Final = b"tmd1"
CONTEXT: Final = b"task messenger discovery, version 1\0"
"""Part of what is signed: a signature made here is good for nothing else, and the other way round."""
MANAGER: Final = "manager"
_HEAD: Final = struct.Struct("!4s8sH")
_FLEET_BYTES: Final = 8
_HALF: Final = 32
_SIGNATURE: Final = 2 * _HALF


class Fault(StrEnum):
    """Why a datagram changed nothing."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    FOREIGN = "of another fleet"
    LIMITED = "too many"
    UNTRUSTED = "certificate not of this fleet, or not in force"
    FORGED = "signature wrong"
    MISPLACED = "said by someone who may not"
    MISTIMED = "clock too far from ours"
    REPLAYED = "heard before"
    UNASKED = "answer to nothing we asked"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who signed, as its certificate says."""

    role: str
    """`MANAGER`, or one of `ROLES`."""
    peer_id: str
    """Empty for a manager."""
    mark: bytes
    """Tells this certificate from all others."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A datagram taken apart; nothing of it is proved."""

    certificate: bytes
    body: bytes
    signature: bytes
    signed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key of this fleet and its certificate."""

    certificate: Certificate
    fleet: bytes
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def load(cls, path: Path, ca_der: bytes) -> Self:
        """The key and certificate in one PEM file, as managers and members keep it.

        Raises:
            ConfigError: it is missing, damaged, or others can read it.
        """
        try:
            pem = read_private(path)
            key = load_pem_private_key(pem, password=None)
            parsed = x509.load_pem_x509_certificate(pem)
            if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_p256(key.public_key()):
                raise ValueError("not a key on P-256")
            if key.public_key() != parsed.public_key():
                raise ValueError("the key does not belong to the certificate")
        except (FileNotFoundError, *UNREADABLE) as error:
            raise ConfigError(f"{path}: is gone or damaged, so nothing can be signed with it") from error
        return cls(certificate=Certificate.of_x509(parsed), fleet=_fleet_tag(parse(ca_der)), _key=key)

    @property
    def room(self) -> int:
        """Bytes that what is said may have."""
        return MAX_DATAGRAM - _HEAD.size - len(self.certificate.der) - _SIGNATURE

    def seal(self, body: bytes) -> bytes:
        """The datagram that says this."""
        assert len(body) <= self.room, "what does not fit is shortened before"
        der = self.certificate.der
        signed = _HEAD.pack(MAGIC, self.fleet, len(der)) + der + body
        r, s = decode_dss_signature(self._key.sign(CONTEXT + signed, ec.ECDSA(SHA256())))
        return signed + r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")


@dataclass(frozen=True, slots=True)
class _Known:
    speaker: Speaker
    certificate: Certificate
    key: ec.EllipticCurvePublicKey


class Verifier:
    """Knows one fleet's CA, and by it whose datagrams to believe."""

    def __init__(self, ca_der: bytes) -> None:
        self._authority = parse(ca_der)
        self._fleet = _fleet_tag(self._authority)
        self._fleet_id = fleet_id_of(key_hash(self._authority))
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    @property
    def fleet_id(self) -> str:
        """The fleet's name for itself."""
        return self._fleet_id

    def peek(self, data: bytes) -> Parts | Fault:
        """Take it apart, as far as that needs no cryptography."""
        if len(data) > MAX_DATAGRAM:
            return Fault.OVERSIZED
        if len(data) < _HEAD.size:
            return Fault.MALFORMED
        magic, fleet, length = _HEAD.unpack_from(data)
        if magic != MAGIC:
            return Fault.MALFORMED
        if fleet != self._fleet:
            return Fault.FOREIGN
        body, end = _HEAD.size + length, len(data) - _SIGNATURE
        if not 0 < length <= MAX_CERTIFICATE or body >= end:
            return Fault.MALFORMED
        return Parts(data[_HEAD.size : body], data[body:end], data[end:], data[:end])

    def prove(self, parts: Parts, wall: float) -> Speaker | Fault:
        """Who said it, if the fleet's CA vouches for them and they signed just this."""
        mark = hashlib.sha256(parts.certificate).digest()
        known = self._known.get(mark) or self._check(parts.certificate, mark)
        if known is None or not known.certificate.valid_at(wall):
            return Fault.UNTRUSTED
        self._known[mark] = known
        self._known.move_to_end(mark)
        if len(self._known) > KNOWN_CERTIFICATES:
            self._known.popitem(last=False)
        r, s = (int.from_bytes(half, "big") for half in (parts.signature[:_HALF], parts.signature[_HALF:]))
        try:
            known.key.verify(encode_dss_signature(r, s), CONTEXT + parts.signed, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return Fault.FORGED
        return known.speaker

    def _check(self, der: bytes, mark: bytes) -> _Known | None:
        try:
            parsed = parse(der)
        except PeerError:
            return None
        key = parsed.public_key()
        if not issued(parsed, self._authority) or not is_p256(key):
            return None
        if is_server(parsed):
            return _Known(Speaker(MANAGER, "", mark), Certificate.of_x509(parsed), key)
        members = [parse_member_uri(uri) for uri in uris_of(parsed)]
        if len(members) != 1 or members[0] is None or not _is_client(parsed):
            return None
        fleet_id, role, peer_id = members[0]
        if fleet_id != self._fleet_id:
            return None
        return _Known(Speaker(role, peer_id, mark), Certificate.of_x509(parsed), key)


def _fleet_tag(authority: x509.Certificate) -> bytes:
    return key_hash(authority)[:_FLEET_BYTES]


def _is_client(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage
