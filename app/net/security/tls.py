"""TLS 1.3 over any byte stream: the contexts of a fleet, the handshake, and its failures as sentences.

Without session tickets, so that every connection shows its certificate anew. Who may do what is decided in
`trust`; a listener bounds how many handshakes run at once.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from ...core.errors import PeerError, Refused, TaskMessengerError, Unreachable
from .names import MANAGER_NAME

if TYPE_CHECKING:
    from .identity import Identity

ALPN: Final = "taskmessenger/1"
HANDSHAKE_SECONDS: Final = 10.0
ALERT_SECONDS: Final = 1.0
"""How long a refused peer may take to read why."""
_ALERT_BYTES: Final = 65_536
RECORD: Final = 16 * 1024
"""Most bytes of data in one TLS record."""
_LOST: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

_REFUSALS: Final = {
    "UNKNOWN_CA": "the manager belongs to another fleet than this machine: join again with its invite",
    "CERTIFICATE_EXPIRED": "our certificate is not valid by its clock: check both clocks, or join again",
    "CERTIFICATE_REVOKED": "the manager has revoked our certificate: ask the operator, then join again",
    "CERTIFICATE_REQUIRED": "the manager wants a certificate: join its fleet with an invite first",
    "BAD_CERTIFICATE": "the manager does not accept our certificate: join again with a new invite",
    "UNSUPPORTED_CERTIFICATE": "our certificate is not that of a member: join again with a new invite",
    "CERTIFICATE_UNKNOWN": "the manager does not accept our certificate: join again with a new invite",
    "ACCESS_DENIED": "the manager does not let us in: ask the operator",
}
"""By the name of the TLS alert that the manager sent, and OpenSSL hands on in `reason`."""

_VERIFY_FAILURES: Final = {
    9: "is not valid yet: check the clocks of both machines",
    10: "has expired: check the clocks of both machines, then restart the manager, or join again",
    18: "is of another fleet: check the address, or join again with an invite of that manager",
    19: "is of another fleet: check the address, or join again with an invite of that manager",
    20: "is of another fleet: check the address, or join again with an invite of that manager",
    21: "is of another fleet: check the address, or join again with an invite of that manager",
    26: "was made for something else: a member of the fleet cannot act as another part of it",
    62: "is not that of a manager: check the address",
}
"""By OpenSSL's X509_V_ERR number."""


class SecureStream(TLSStream):
    """A TLS stream that tells the other side why it was refused, and this side in words.

    A client learns only from its first read that its certificate was refused: in TLS 1.3 its own handshake is
    over before the server has looked. That read raises `Refused`; all else are anyio's own errors.
    """

    where: str = "the other side"
    established: bool = False
    _kept: ssl.SSLError | None = None
    """Came after data that had to be handed on first."""

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """All records that have arrived: what each costs above this stream is more than its data does."""
        if self._kept is not None:
            await self._call_sslobject_method(self._fail)
        data = await super().receive(min(max_bytes, RECORD))
        if not self._read_bio.pending:
            return data
        records, room = [data], max_bytes - len(data)
        while room > 0 and self._read_bio.pending:
            try:
                record = self._ssl_object.read(min(room, RECORD))
            except ssl.SSLWantReadError:  # the rest of it is still on its way
                break
            except ssl.SSLError as error:
                self._kept = error
                break
            if not record:  # the end, which the next call meets again
                break
            records.append(record)
            room -= len(record)
        return b"".join(records)

    def _fail(self) -> None:
        assert self._kept is not None
        raise self._kept

    async def _call_sslobject_method(self, func: Callable[[*_Args], _T], *args: *_Args) -> _T:
        try:
            return await super()._call_sslobject_method(func, *args)
        except ssl.SSLError as error:
            await self._send_alert()
            if not self.established:
                raise
            raise self._explain(error) from error

    async def _send_alert(self) -> None:
        """OpenSSL has written the reason and anyio keeps it: without it the other side sees a bare end."""
        alert = self._write_bio.read()
        if alert:
            with anyio.move_on_after(ALERT_SECONDS), suppress(*_LOST):
                await self.transport_stream.send(alert)

    def _explain(self, error: ssl.SSLError) -> Exception:
        sentence = _REFUSALS.get(_alert_name(error))
        if sentence:
            return Refused(f"{self.where}: {sentence}")
        return anyio.BrokenResourceError(f"{self.where}: {_reason(error)}")


def server_context(ca_pem: str, manager_pem: Path) -> ssl.SSLContext:
    """For a manager. A peer may come without a certificate, to join; one that it shows must be the fleet's.

    Args:
        ca_pem: the fleet's CA.
        manager_pem: key and certificate, see `Authority.issue_manager`. After a renewal call the context's
            `load_cert_chain` with the new file: connections from then on use it.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=ca_pem)
    context.load_cert_chain(manager_pem)
    context.num_tickets = 0
    return context


def client_context(identity: Identity) -> ssl.SSLContext:
    """For a member: shows its certificate, and talks to no one but a manager of its fleet."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=identity.ca_pem)
    context.load_cert_chain(identity.key_path)
    return context


def join_context() -> ssl.SSLContext:
    """For somebody who is yet to join: the manager is not known, so `trust.check_manager` must come next."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def wrap_server(stream: ByteStream, context: ssl.SSLContext, where: str = "a peer") -> SecureStream:
    """The manager's half of the handshake, within `HANDSHAKE_SECONDS`. The stream is closed if it fails.

    Raises:
        Refused: the peer's certificate is not good.
        PeerError: the peer does not speak what we speak, is too slow, or has gone.
    """
    try:
        with anyio.fail_after(HANDSHAKE_SECONDS):
            secure = await SecureStream.wrap(
                stream, server_side=True, ssl_context=context, standard_compatible=False
            )
            return _establish(secure, where)
    except ssl.SSLError as error:
        await _linger(stream)
        raise _server_failure(error, where) from error
    except TimeoutError as error:
        await anyio.aclose_forcefully(stream)
        raise PeerError(f"{where} did not finish the TLS handshake in {HANDSHAKE_SECONDS:.0f} s") from error
    except _LOST as error:
        await anyio.aclose_forcefully(stream)
        raise PeerError(f"{where} went away during the TLS handshake") from error
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise


async def wrap_client(
    stream: ByteStream, context: ssl.SSLContext, where: str = "the manager"
) -> SecureStream:
    """A member's half of the handshake, within `HANDSHAKE_SECONDS`. The stream is closed if it fails.

    Args:
        stream: to a manager, by any transport.
        context: `client_context` or `join_context`.
        where: what to call the other side in errors; its address.

    Raises:
        Refused: it is not a manager of this fleet.
        PeerError: something answers there that is no Task Messenger.
        Unreachable: it is too slow, or has gone.
    """
    try:
        with anyio.fail_after(HANDSHAKE_SECONDS):
            secure = await SecureStream.wrap(
                stream,
                server_side=False,
                hostname=MANAGER_NAME,
                ssl_context=context,
                standard_compatible=False,
            )
            return _establish(secure, where)
    except BaseException as error:
        await anyio.aclose_forcefully(stream)
        explained = _client_failure(error, where)
        if explained is None:
            raise
        raise explained from error


def peer_certificate(stream: SecureStream) -> bytes:
    """The other side's certificate as DER, verified or not; empty when it showed none."""
    return ssl_object(stream).getpeercert(binary_form=True) or b""


def ssl_object(stream: TLSStream) -> ssl.SSLObject:
    """What `trust.peer_of` reads."""
    return stream.extra(TLSAttribute.ssl_object)  # noqa: S610  # there is no Django here


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols([ALPN])
    return context


def _establish(secure: TLSStream, where: str) -> SecureStream:
    assert isinstance(secure, SecureStream)
    if ssl_object(secure).selected_alpn_protocol() != ALPN:
        raise PeerError(f"{where} speaks TLS, but is no Task Messenger of this version: check the address")
    secure.where, secure.established = where, True
    return secure


async def _linger(stream: ByteStream) -> None:
    """Close so that the alert arrives: a socket that is closed with unread data resets the connection."""
    with anyio.move_on_after(ALERT_SECONDS), suppress(*_LOST, NotImplementedError):
        await stream.send_eof()
        left = _ALERT_BYTES
        while left > 0:
            left -= len(await stream.receive())
    await anyio.aclose_forcefully(stream)


def _server_failure(error: ssl.SSLError, where: str) -> TaskMessengerError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(
            f"{where} shows a certificate that is refused ({error.verify_message}): it must join again"
        )
    if _alert_name(error) in _REFUSALS:
        return Refused(
            f"{where} does not accept this manager: it belongs to another fleet, or its clock is wrong"
        )
    return PeerError(f"{where} does not speak TLS 1.3 as we do ({_reason(error)})")


def _client_failure(error: BaseException, where: str) -> TaskMessengerError | None:
    """The sentence for what went wrong; None for what is not about the handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _VERIFY_FAILURES.get(error.verify_code, f"is refused ({error.verify_message}): join again")
        return Refused(f"{where}: the certificate of the manager {why}")
    if isinstance(error, ssl.SSLError):
        sentence = _REFUSALS.get(_alert_name(error))
        if sentence:
            return Refused(f"{where}: {sentence}")
        return PeerError(
            f"{where}: no Task Messenger manager answers there ({_reason(error)}): check the address"
        )
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"{where}: no TLS handshake in {HANDSHAKE_SECONDS:.0f} s: check the address and the network"
        )
    if isinstance(error, _LOST):
        return Unreachable(
            f"{where}: the connection ended during the TLS handshake: check the address, then try again"
        )
    return None


def _alert_name(error: ssl.SSLError) -> str:
    """`UNKNOWN_CA` of `TLSV1_ALERT_UNKNOWN_CA`; the part before it differs between versions of OpenSSL."""
    return (error.reason or "").partition("ALERT_")[2]


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or type(error).__name__).lower().replace("_", " ")
