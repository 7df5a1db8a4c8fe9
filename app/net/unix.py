"""Unix sockets: `unix:///PATH`, for processes of the same user on the same machine.

The socket is 0600 in a directory that is 0700. Who the peer is, the kernel can tell: ask the raw socket
(`SocketAttribute.raw_socket`); to decide on it is the business of those above.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import anyio
from anyio.abc import ByteStream

from ..core.errors import Conflict, UsageError
from ..paths import any_socket_path
from .address import MAX_UNIX_PATH, Address
from .sockets import SocketListener, SocketStream
from .transport import BACKLOG, dialling, listening
from .unix_name import short_name

MAX_NAME: Final = 64
"""Bytes of a socket's name in a folder of any length."""
RETRY_FIRST: Final = 0.01
RETRY_MOST: Final = 0.1
"""Seconds between tries when the listener's queue is full; doubling from the first to the most."""


class UnixTransport:
    """Streams over Unix sockets."""

    scheme: Literal["unix"] = "unix"

    async def dial(self, address: Address) -> ByteStream:
        path = _checked(address)
        with dialling(address):
            return SocketStream(await _connect(path))

    async def listen(self, address: Address) -> SocketListener:
        path = _checked(address)
        with listening(address):
            _private_directory(path.parent)
            with _locked(path, address):
                _remove_stale(path, address)
                sock = _bind(path)
        return _UnixListener(address, sock, path)


class _UnixListener(SocketListener):
    """Takes its file away again, if it is still its own."""

    def __init__(self, address: Address, sock: socket.socket, path: Path) -> None:
        super().__init__(address, [sock], lambda accepted: None)
        self._path = path
        self._identity = _identity(path)

    async def aclose(self) -> None:
        if not self._closed and _identity(self._path) == self._identity:
            self._path.unlink(missing_ok=True)
        await super().aclose()


def _checked(address: Address) -> Path:
    path = Path(address.path)
    longest = MAX_NAME if any_socket_path() else 0  # of the name, where the folder does not count
    if len(os.fsencode(path)) > MAX_UNIX_PATH and len(os.fsencode(path.name)) > longest:
        raise UsageError(
            f"{address} is longer than the {MAX_UNIX_PATH} bytes of a Unix socket; use a shorter path"
        )
    return path


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _private_directory(directory: Path) -> None:
    """Make it as 0700, or insist that it is so."""
    missing = [directory, *directory.parents]
    for each in reversed([d for d in missing if not d.exists()]):
        each.mkdir(mode=0o700, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(
            f"{directory} is open to other users: run `chmod 700 {directory}`, or use another directory"
        )


@contextmanager
def _locked(path: Path, address: Address) -> Iterator[None]:
    """Nobody else looks for a stale socket here at the same time, and removes the one that we just made."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{address} is being taken by another process: choose another address") from None
        yield
    finally:
        os.close(lock)


def _remove_stale(path: Path, address: Address) -> None:
    """Remove a socket that a dead process left behind; only once nobody answers at it."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Conflict(f"{address}: that file is there and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        with short_name(path) as name:
            code = probe.connect_ex(name)
    if code == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif code != errno.ENOENT:
        raise Conflict(f"{address} is in use: stop the program that listens there, or choose another address")


def _bind(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with suppress(OSError):  # Linux makes the file with this mode; elsewhere the next chmod is the first
            os.fchmod(sock.fileno(), 0o600)
        with short_name(path) as name:
            sock.bind(name)
        path.chmod(0o600)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        pause = RETRY_FIRST
        while not _try_connect(sock, path):
            await anyio.sleep(pause)
            pause = min(2 * pause, RETRY_MOST)
    except BaseException:
        sock.close()
        raise
    return sock


def _try_connect(sock: socket.socket, path: Path) -> bool:
    """Whether it is connected; if not, the listener's queue is full, which is no event one can wait for."""
    with short_name(path) as name:
        code = sock.connect_ex(name)
    if code and code != errno.EAGAIN:
        raise OSError(code, os.strerror(code))
    return not code
