"""What a TLS stream hands on at a time: all records that are there, and what came before a bad one."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from taskmessenger.net.security.authority import Authority
from taskmessenger.net.security.tls import RECORD, SecureStream, client_context, server_context

from tests.support.fleet_ca import Meeting, a_fleet, a_member, byte_pipe, meet

GOOD, BAD = b"good" * 1_000, b"bad" * 1_000


class Held(ByteStream):
    """Keeps what is sent from `hold` on, and lets all of it go at once."""

    def __init__(self, inner: ByteStream) -> None:
        self._inner = inner
        self._kept: bytearray | None = None

    def hold(self) -> None:
        self._kept = bytearray()

    async def release(self, *, damaged: bool) -> None:
        assert self._kept is not None
        kept, self._kept = self._kept, None
        kept[-1] ^= damaged
        await self._inner.send(bytes(kept))

    async def send(self, item: bytes) -> None:
        if self._kept is None:
            await self._inner.send(item)
        else:
            self._kept += item

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._inner.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._inner.extra_attributes


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Authority:
    return a_fleet(tmp_path_factory.mktemp("ca"))


async def two_records(
    fleet: Authority, folder: Path, talk: Callable[[SecureStream], Any], *, damaged: bool
) -> Meeting:
    """A manager sends two records that arrive together, and then waits for the end."""
    far, near = byte_pipe()
    held = Held(far)

    async def serve(stream: SecureStream) -> None:
        held.hold()
        await stream.send(GOOD)
        await stream.send(BAD)
        await held.release(damaged=damaged)
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError)):
            await stream.receive()

    manager: ssl.SSLContext = server_context(fleet.ca_pem, fleet.issue_manager(time.time()))
    member = client_context(a_member(fleet, folder))
    return await meet(manager, member, serve=serve, talk=talk, pipe=(held, near))


async def test_records_that_are_there_are_received_together(fleet: Authority, tmp_path: Path) -> None:
    async def talk(stream: SecureStream) -> bytes:
        return await stream.receive()

    assert (await two_records(fleet, tmp_path, talk, damaged=False)).client == GOOD + BAD


async def test_no_more_is_received_than_was_asked_for(fleet: Authority, tmp_path: Path) -> None:
    async def talk(stream: SecureStream) -> list[bytes]:
        return [await stream.receive(len(GOOD) + 5), await stream.receive(10), await stream.receive(RECORD)]

    met = await two_records(fleet, tmp_path, talk, damaged=False)
    assert met.client == [GOOD + BAD[:5], BAD[5:15], BAD[15:]]


async def test_what_came_before_a_damaged_record_is_handed_on_and_then_the_stream_breaks(
    fleet: Authority, tmp_path: Path
) -> None:
    async def talk(stream: SecureStream) -> bytes:
        got = await stream.receive()
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
        return got

    assert (await two_records(fleet, tmp_path, talk, damaged=True)).client == GOOD
