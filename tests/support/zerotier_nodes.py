"""Builders of ZeroTier nodes for tests, and other nodes as processes. For use inside a namespace only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from taskmessenger.net.zerotier import binding
from taskmessenger.net.zerotier.library import load
from taskmessenger.net.zerotier.network import private_network
from taskmessenger.net.zerotier.node import Node, NodeSettings
from taskmessenger.net.zerotier.roots import own_roots

from tests.support.namespaces import HOST, identity, inside

ROOT_PORT: Final = 19_993
OTHER_PORT: Final = 19_994
"""UDP ports; a namespace has them all free."""
CONDITION_SECONDS: Final = 30.0
_END_SECONDS: Final = 10.0
_BACKLOG: Final = 16
_CONNECT_MS: Final = 3_000


def settings(
    home: Path, own: int, *, manager: int = 0, root: int | None = None, port: int = 0
) -> NodeSettings:
    """A node with the `own`-th identity in the private network of the `manager`-th.

    The root is the manager unless another is named; it is at `ROOT_PORT` of `HOST`.
    """
    assert inside(), "a node may be started in a namespace only"
    introducer = identity(manager if root is None else root)
    return NodeSettings(
        home=home,
        identity=identity(own),
        network=private_network(identity(manager).node_id),
        roots=own_roots([(introducer.public, [f"{HOST}/{ROOT_PORT}"])]),
        port=port,
    )


class NodeProcess:
    """Another node, in a process of its own. It runs until it is told to end."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self._popen = popen

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ask(self, word: str, **more: Any) -> Any:
        """Send one request, and return its answer."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps({"do": word, **more}) + "\n")
        self._popen.stdin.flush()
        line = self._popen.stdout.readline()
        assert line, f"the node's process ended with {self._popen.wait(_END_SECONDS)}"
        return json.loads(line)

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        self._popen.kill()
        self._popen.wait(_END_SECONDS)


@contextmanager
def node_process(
    home: Path, own: int, *, manager: int = 0, root: int | None = None, port: int = 0
) -> Iterator[NodeProcess]:
    """A node elsewhere that has joined its network; arguments as in `settings`."""
    words = {"home": str(home), "own": own, "manager": manager, "root": root, "port": port}
    popen = subprocess.Popen(
        [sys.executable, "-m", "tests.support.zerotier_nodes", json.dumps(words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    process = NodeProcess(popen)
    try:
        process.ask("wait")
        yield process
    finally:
        popen.kill()
        popen.communicate(timeout=_END_SECONDS)


@contextmanager
def listening(node: Node, port: int) -> Iterator[int]:
    """A bare listening socket on the overlay; connections to it succeed, and nobody takes them."""
    library = node.library
    fd = _socket(library)
    at = binding.sockaddr(IPv4Address(0), port)
    assert library.zts_bsd_bind(fd, byref(at), binding.SOCKADDR_LENGTH) == 0
    assert library.zts_bsd_listen(fd, _BACKLOG) == 0
    try:
        yield fd
    finally:
        library.zts_bsd_close(fd)


def connects(other: NodeProcess, node: Node, port: int) -> bool:
    """Whether the other node gets a connection to this one within `_CONNECT_MS`."""
    return bool(other.ask("connect", address=str(node.address), port=port))


def _connect(library: binding.Library, address: str, port: int) -> bool:
    fd = _socket(library)
    to = binding.sockaddr(IPv4Address(address), port)
    library.zts_bsd_connect(fd, byref(to), binding.SOCKADDR_LENGTH)
    waiting = (binding.PollFd * 1)(binding.PollFd(fd, binding.POLLOUT, 0))
    ready = library.zts_bsd_poll(waiting, 1, _CONNECT_MS)
    done = ready == 1 and binding.errno_of(library, fd) == 0
    library.zts_bsd_close(fd)
    return done


def _socket(library: binding.Library) -> int:
    fd = library.zts_bsd_socket(binding.AF_INET, binding.SOCK_STREAM, 0)
    assert fd >= 0, binding.error_name(binding.last_error(library))
    assert library.zts_bsd_fcntl(fd, binding.F_SETFL, binding.O_NONBLOCK) >= 0
    return int(fd)


def _main() -> None:
    """Be such a process: a JSON object per line in, one out."""
    import anyio
    from taskmessenger.net.zerotier.node import ensure

    words = json.loads(sys.argv[1])
    wanted = settings(
        Path(words["home"]), words["own"], manager=words["manager"], root=words["root"], port=words["port"]
    )

    async def run() -> None:
        node = await ensure(wanted, load())
        for line in sys.stdin:
            request = json.loads(line)
            answer: Any = None
            match request["do"]:
                case "restart":
                    await node.restart()
                case "connect":
                    answer = _connect(node.library, request["address"], request["port"])
            print(json.dumps(node.status().as_json() if answer is None else answer), flush=True)

    anyio.run(run)


if __name__ == "__main__":
    _main()
