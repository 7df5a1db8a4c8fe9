"""Unix sockets: private, taken over only from the dead, and cleaned up."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute
from taskmessenger.core.errors import Conflict, Unreachable, UsageError
from taskmessenger.net import transport
from taskmessenger.net.address import Address
from taskmessenger.net.unix import UnixTransport

from tests.support.streams import BOUND, accepting, connected, read_exactly


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tm-") as made:  # short: the path of a socket has a limit
        yield Path(made)


def at(path: Path) -> Address:
    return Address("unix", path=str(path))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def a_stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def test_the_socket_is_for_its_user_only_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        listener = await UnixTransport().listen(at(home / "a" / "b" / "tm.sock"))
    finally:
        os.umask(before)
    assert mode(home / "a") == mode(home / "a" / "b") == 0o700
    assert mode(home / "a" / "b" / "tm.sock") == 0o600
    await listener.aclose()
    assert not (home / "a" / "b" / "tm.sock").exists()


async def test_a_directory_open_to_others_is_refused_with_the_cure(home: Path) -> None:
    home.chmod(0o755)
    with pytest.raises(UsageError, match=f"chmod 700 {home}"):
        await UnixTransport().listen(at(home / "tm.sock"))


async def test_what_a_dead_process_left_behind_is_taken_over(home: Path) -> None:
    a_stale_socket(home / "tm.sock")
    async with connected(UnixTransport(), at(home / "tm.sock")) as (near, far):
        await near.send(b"x")
        assert await read_exactly(far, 1) == b"x"


async def test_a_file_that_is_no_socket_stays(home: Path) -> None:
    (home / "tm.sock").write_text("precious")
    with pytest.raises(Conflict, match="is no socket"):
        await UnixTransport().listen(at(home / "tm.sock"))
    assert (home / "tm.sock").read_text() == "precious"


async def test_a_listener_too_busy_to_answer_is_not_taken_for_dead(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(home / "tm.sock"))
        busy.listen(0)
        first.connect(str(home / "tm.sock"))
        with pytest.raises(Conflict, match="in use"):
            await UnixTransport().listen(at(home / "tm.sock"))
    assert (home / "tm.sock").exists()


async def test_while_another_takes_the_address_it_is_in_conflict(home: Path) -> None:
    import fcntl

    with (home / "tm.sock.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="being taken"):
            await UnixTransport().listen(at(home / "tm.sock"))


async def test_closing_does_not_remove_the_socket_of_a_successor(home: Path) -> None:
    listener = await UnixTransport().listen(at(home / "tm.sock"))
    (home / "tm.sock").unlink()
    successor = await UnixTransport().listen(at(home / "tm.sock"))
    await listener.aclose()
    async with accepting(successor), await UnixTransport().dial(at(home / "tm.sock")):
        pass
    await successor.aclose()


async def test_nobody_is_there_says_where(home: Path) -> None:
    for path in (home / "none.sock", home / "stale.sock"):
        if path.name == "stale.sock":
            a_stale_socket(path)
        with pytest.raises(Unreachable, match=f"nobody listens at unix://{path}"):
            await UnixTransport().dial(at(path))


async def test_a_path_too_long_for_a_socket_is_refused(home: Path) -> None:
    address = at(home / ("x" * 120))
    for attempt in (UnixTransport().dial, UnixTransport().listen):
        with pytest.raises(UsageError, match="shorter path"):
            await attempt(address)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a socket lies in the temporary directory then")
async def test_a_folder_of_any_depth_has_its_socket_in_it(home: Path) -> None:
    deep = home.joinpath(*["d" * 100] * 5)
    deep.mkdir(parents=True)
    deep.chmod(0o700)
    a_stale = at(deep / "stale.sock")
    for address in (at(deep / "tm.sock"), a_stale):
        listener = await UnixTransport().listen(address)
        async with accepting(listener), await UnixTransport().dial(address):
            assert stat.S_ISSOCK(Path(address.path).stat().st_mode)
        with pytest.raises(Conflict, match="is in use"):
            await UnixTransport().listen(address)
        await listener.aclose()
        assert not Path(address.path).exists()
        with pytest.raises(Unreachable):
            await UnixTransport().dial(address)


async def test_a_full_queue_is_waited_for_and_given_up_after_the_bound(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "DIAL_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(home / "tm.sock"))
        busy.listen(0)
        first.connect(str(home / "tm.sock"))
        with anyio.fail_after(BOUND), pytest.raises(Unreachable, match="does not answer"):
            await UnixTransport().dial(at(home / "tm.sock"))


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's way to ask")
async def test_the_kernel_says_who_the_peer_is(home: Path) -> None:
    async with connected(UnixTransport(), at(home / "tm.sock")) as (_, far):
        sock = far.extra(SocketAttribute.raw_socket)
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert (pid, uid) == (os.getpid(), os.getuid())
