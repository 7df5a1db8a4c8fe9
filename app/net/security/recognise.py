"""Is this the manager that made the invite? Asked by the joining end, before it says anything secret."""

from __future__ import annotations

import hmac

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from ...core.errors import PeerError, Refused
from .certificates import UNREADABLE, Certificate, key_hash, parse
from .invites import Invite
from .names import MANAGER_NAME


def check_manager(leaf_der: bytes, ca_der: bytes, invite: Invite, now: float) -> None:
    """Make sure that the other end is the manager which made this invite. Until then the secret stays here.

    TLS has shown that the other end holds the key of `leaf_der`, and nothing else.

    Args:
        leaf_der: the certificate of the handshake.
        ca_der: what the other end says is its CA.
        invite: knows the true CA by its key.
        now: wall-clock seconds since the epoch.

    Raises:
        Refused: it is not that manager, or its certificate is not in force.
    """
    try:
        leaf, authority = parse(leaf_der), parse(ca_der)
    except PeerError as error:
        raise _not_the_manager("it shows something else than certificates") from error
    if not hmac.compare_digest(key_hash(authority), invite.ca_hash):
        raise _not_the_manager("its CA is another one")
    if not issued(authority, authority) or not issued(leaf, authority) or not _is_authority(authority):
        raise _not_the_manager("its certificate is not from its CA")
    if not is_server(leaf):
        raise _not_the_manager("its certificate is not one for a manager")
    if not (Certificate.of_x509(leaf).valid_at(now) and Certificate.of_x509(authority).valid_at(now)):
        raise Refused(
            "the manager's certificate is not valid now: check the clocks of both machines, then try again"
        )


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the key of `issuer` signed this certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_server(certificate: x509.Certificate) -> bool:
    """Whether it is made for a manager; who made it is another question."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return (
        ExtendedKeyUsageOID.SERVER_AUTH in usage
        and MANAGER_NAME in names.get_values_for_type(x509.DNSName)
        and not _is_authority(certificate)
    )


def _not_the_manager(why: str) -> Refused:
    return Refused(
        f"this is not the manager that made the invite ({why}); nothing secret was sent: "
        "check the address, and ask the operator for a new invite"
    )
