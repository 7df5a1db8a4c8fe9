"""Streams for tests: two connected ends over any transport, exact reading, throw-away TLS."""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import anyio
from anyio.abc import ByteStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from taskmessenger.net.address import Address
from taskmessenger.net.transport import Listener, Transport

BOUND = 30.0
"""Seconds after which a test that waits has failed; nothing is expected to take so long."""


@asynccontextmanager
async def accepting(listener: Listener) -> AsyncIterator[anyio.abc.ObjectReceiveStream[ByteStream]]:
    """What `listener` accepts, one stream after the other; who receives one closes it."""
    give, take = anyio.create_memory_object_stream[ByteStream](1024)

    async def keep(stream: ByteStream) -> None:
        give.send_nowait(stream)

    with give, take:
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, keep)
            yield take
            group.cancel_scope.cancel()
        while take.statistics().current_buffer_used:
            await take.receive_nowait().aclose()


@asynccontextmanager
async def connected(
    transport: Transport, address: Address, *, dialler: Transport | None = None
) -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    """A dialled stream (over `dialler` when given) and the accepted one; both are closed in the end."""
    listener = await transport.listen(address)
    try:
        async with accepting(listener) as accepted:
            with anyio.fail_after(BOUND):
                near = await (dialler or transport).dial(listener.address)
                far = await accepted.receive()
    finally:
        await listener.aclose()
    async with near, far:
        yield near, far


async def read_exactly(stream: ByteStream, size: int) -> bytes:
    """`size` bytes of what comes."""
    got = bytearray()
    with anyio.fail_after(BOUND):
        while len(got) < size:
            got += await stream.receive(min(65536, size - len(got)))
    return bytes(got)


async def pieces_of(stream: ByteStream, most: int = 65536) -> AsyncIterator[bytes]:
    """What comes, up to the end of the stream, at most so much at a time."""
    while True:
        with anyio.fail_after(BOUND):
            try:
                piece = await stream.receive(most)
            except anyio.EndOfStream:
                return
        yield piece


async def read_all(stream: ByteStream) -> bytes:
    """Everything up to the end of the stream."""
    return b"".join([piece async for piece in pieces_of(stream)])


async def echo(stream: ByteStream) -> None:
    """Send back what comes, until the other side ends."""
    async with stream:
        while True:
            try:
                data = await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return
            await stream.send(data)


@cache
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For client and server of `localhost`: TLS 1.3, one self-signed certificate, made on first use."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with tempfile.TemporaryDirectory() as home:
        both = Path(home, "both.pem")
        both.write_bytes(pem + secret)
        server.load_cert_chain(both)
    client.load_verify_locations(cadata=pem.decode())
    server.minimum_version = client.minimum_version = ssl.TLSVersion.TLSv1_3
    return client, server
