"""Waits on a libzt that does not answer: each ends, and in a sentence. Fakes at the binding seam, no node."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import anyio
import pytest
from taskmessenger.core.errors import TimedOut
from taskmessenger.net.zerotier import binding, loop
from taskmessenger.net.zerotier import node as nodes
from taskmessenger.net.zerotier import transport as transports
from taskmessenger.net.zerotier.loop import SocketLoop
from taskmessenger.net.zerotier.network import existing_network
from taskmessenger.net.zerotier.node import NodeSettings, ensure
from taskmessenger.net.zerotier.roots import own_roots

from tests.support.zerotier_fake import AN_IDENTITY, FakeLibzt, loaded


class Stuck(SocketLoop):
    """Its thread is in a call that does not come back until the test ends."""

    def __init__(self) -> None:
        super().__init__(FakeLibzt())  # type: ignore[arg-type]
        self.released = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def _poll(self) -> None:
        self.released.wait()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    monkeypatch.setattr(loop.ctypes, "PyDLL", lambda *_, **__: None)
    monkeypatch.setattr(binding, "bind", lambda _: FakeLibzt())
    monkeypatch.setattr(FakeLibzt, "_handle", 0, raising=False)
    monkeypatch.setattr(loop, "END_SECONDS", 0.05)
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.05)
    made = Stuck()
    made.start()
    yield made
    made.released.set()
    made.run(made._end)
    made._thread.join()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeSettings:
    monkeypatch.setattr(nodes, "_current", None)
    return NodeSettings(
        home=tmp_path / "home",
        identity=AN_IDENTITY,
        network=existing_network("8056c2e21c000001"),
        roots=own_roots([(AN_IDENTITY.public, ["10.88.0.1/9993"])]),
    )


async def test_what_the_sockets_thread_does_not_do_is_given_up(stuck: Stuck) -> None:
    for shield in (False, True):
        with anyio.fail_after(5), anyio.CancelScope(shield=shield), pytest.raises(TimedOut, match="end this"):
            await stuck.call(lambda: None)


async def test_libzt_is_not_stopped_under_sockets_that_do_not_close(
    stuck: Stuck, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeLibzt()
    monkeypatch.setattr(nodes, "service", lambda _: int(fake.up))
    node = await ensure(settings, loaded(fake))
    node.on_stop(stuck.stop)
    with pytest.raises(TimedOut, match="did not close"):
        await node.stop()
    assert "zts_node_stop" not in fake.calls
    with pytest.raises(TimedOut, match="did not close"):
        await ensure(settings, loaded(fake))


async def test_after_a_stop_that_did_not_end_every_start_says_that_and_not_that_somebody_else_runs_it(
    settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeLibzt()
    monkeypatch.setattr(nodes, "service", lambda _: int(fake.up))
    node = await ensure(settings, loaded(fake))
    monkeypatch.setattr(nodes, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(nodes, "service", lambda _: 1)
    with pytest.raises(TimedOut):
        await node.stop()
    for wanted in (settings, replace(settings, port=9993)):
        with pytest.raises(TimedOut, match="did not stop within"):
            await ensure(wanted, loaded(fake))


class Sockets(FakeLibzt):
    """Each connect or bind fails with the next of `errors`, which another thread may have put there."""

    def __init__(self, *errors: int) -> None:
        super().__init__()
        self.errors = list(errors)
        self.last = 0

    def _fail(self, *_: Any) -> int:
        self.last = self.errors.pop(0) if self.errors else 0
        return -1 if self.last else 0

    zts_bsd_connect = zts_bsd_bind = _fail


class ALoop:
    def __init__(self, library: Sockets) -> None:
        self.library = self.quick = library
        self.size = 0
        self.added: list[object] = []

    def add(self, watched: object) -> None:
        self.added.append(watched)


@pytest.fixture(autouse=True)
def errors_are_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "last_error", lambda library: getattr(library, "last", 0))
    monkeypatch.setattr(transports, "_take_any_port", lambda *_: None)


@pytest.mark.parametrize(
    "errors", [[binding.EINPROGRESS], [errno.EBADF, binding.EALREADY], [errno.ENOTCONN, binding.EINPROGRESS]]
)
def test_an_error_of_another_thread_is_not_taken_for_that_of_a_connect_under_way(errors: list[int]) -> None:
    there = ALoop(Sockets(*errors))
    transports._connect(there, IPv4Address("240.0.0.1"), 1)  # type: ignore[arg-type]
    assert len(there.added) == 1


@pytest.mark.parametrize("first", [[], [binding.EAGAIN]])
def test_an_error_that_is_said_twice_is_the_own_one(first: list[int]) -> None:
    in_use = errno.EADDRINUSE
    for step in (
        partial(transports._connect, to=IPv4Address("240.0.0.1"), port=1),
        partial(transports._listen, port=1),
    ):
        there = ALoop(Sockets(*first, in_use, in_use))
        with pytest.raises(OSError, match=os.strerror(in_use)) as error:
            step(there)  # type: ignore[arg-type]
        assert error.value.errno == in_use
        assert there.quick.calls[-1] == "zts_bsd_close"


async def test_a_connection_that_is_reset_while_it_is_made_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody listens there whose queue was full for a moment, which is told after it was made."""
    links: list[object] = []

    class Loop:
        async def call(self, _: object) -> object:
            links.append(object())
            return links[-1]

    async def connected(_: object) -> None:
        if len(links) < transports.REFUSALS:
            raise (ConnectionResetError if len(links) % 2 else ConnectionRefusedError)(errno.ECONNRESET, "no")

    monkeypatch.setattr(transports, "REFUSED_SECONDS", 0)
    monkeypatch.setattr(transports, "_connected", connected)
    made: Any = await transports._dial(Loop(), IPv4Address("10.0.0.1"), 1)  # type: ignore[arg-type]
    assert made is links[-1]
    assert len(links) == transports.REFUSALS


def test_a_connect_whose_error_was_somebody_elses_is_one_that_went_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libzt has one error number for all threads; asked again, a connect that is through says so."""
    said = iter([errno.EBADF, binding.EISCONN, errno.EBADF])
    monkeypatch.setattr(binding, "last_error", lambda _: next(said))
    error = transports._error_of(FakeLibzt(), lambda: -1)  # type: ignore[arg-type]
    assert error in transports._UNDER_WAY
