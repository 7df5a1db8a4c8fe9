"""The process' one ZeroTier node: start, stop, restart, and what it says about itself.

libzt has one node per process, so this module has one too. Everything that may block runs in a thread, every
wait has a bound, and whoever waited in vain is told why in one sentence. It holds no sockets: whoever does is
called before the node stops. It never starts with less than it was given: without its own roots a node would
turn to ZeroTier's public ones.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from math import inf
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from ...core.errors import ConfigError, Conflict, Refused, TimedOut
from . import binding
from .home import enter, prepare
from .identity import Identity
from .library import Loaded
from .network import JoinState, JoinStatus, Network, join_status
from .peers import core_of, service
from .ports import is_free, port_for
from .roots import Roots, blob
from .status import NodeStatus, observe

START_SECONDS: Final = 10.0
"""Until the node knows its id; it takes some tens of milliseconds."""
STOP_SECONDS: Final = 15.0
JOIN_SECONDS: Final = 30.0
"""Until the network has given this node its address; a private one does at once."""
POLL_SECONDS: Final = 0.005
SETTLE_SECONDS: Final = 0.3
"""How long a library that does not tell when its service has ended is given to end."""
_NO_NODE: Final = frozenset({0, 2**64 + binding.ERR_SERVICE})
"""What is answered in place of an id while there is none."""

Progress = Callable[[JoinStatus], None]
"""Is told each change on the way into the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """All that a node is started with."""

    home: Path
    """What ZeroTier caches: networks and peers."""
    identity: Identity
    network: Network
    roots: Roots
    port: int = 0
    """UDP; 0: one of its own, see `ports`."""
    join_seconds: float = JOIN_SECONDS


class Node:
    """The node of this process; see `ensure`."""

    def __init__(self, settings: NodeSettings, loaded: Loaded) -> None:
        self.settings = settings
        self.loaded = loaded
        self.generation = 0
        """How often it has been started; sockets belong to one generation."""
        self._lifecycle = threading.Lock()
        self.stuck = ""
        """Why it can be neither used nor started any more: it was to stop, and did not."""
        self._up = False
        self._port = 0
        self._since = 0.0
        self._hooks: list[Callable[[], None]] = []

    @property
    def library(self) -> binding.Library:
        """For sockets."""
        return self.loaded.library

    @property
    def id(self) -> str:
        """Ten hex digits."""
        return self.settings.identity.node_id

    @property
    def running(self) -> bool:
        return self._up

    @property
    def address(self) -> IPv4Address:
        """On the overlay.

        Raises:
            Conflict: it has none: it is not running, or has not joined its network yet.
        """
        found = self._address()
        if found is None:
            raise Conflict(f"node {self.id} has no address: {self.join().sentence}")
        return found

    def join(self) -> JoinStatus:
        """How far it is with its network."""
        network = self.settings.network
        result = self.library.zts_net_get_status(network.number) if self._up else binding.ERR_SERVICE
        if result < 0 and self._up and service(self.loaded) != 0:
            result = binding.NETWORK_REQUESTING  # it has not looked at its networks yet
        return join_status(result, network, self.id, self._address())

    def status(self) -> NodeStatus:
        """What is known about it now; never raises, takes some microseconds."""
        return observe(self, running_for=time.monotonic() - self._since if self._up else 0.0)

    def on_stop(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook` in a worker thread each time before libzt is stopped: it closes all its sockets.

        Returns what ends that. A hook must end by itself and soon.
        """
        self._hooks.append(hook)

        def forget() -> None:
            if hook in self._hooks:
                self._hooks.remove(hook)

        return forget

    @contextmanager
    def core(self) -> Iterator[int]:
        """Where the node inside libzt lies, which does not end in the meantime; 0 when nobody knows."""
        # Never waits: it is asked from event loops, and a start takes its time.
        if not self._lifecycle.acquire(blocking=False):
            yield 0
            return
        try:
            yield core_of(self.loaded) if self._up else 0
        finally:
            self._lifecycle.release()

    async def restart(self, seen: int | None = None) -> None:
        """Stop and start it: what peers knew of it is learnt anew. Takes about 0.5 s.

        With `seen`, the generation that somebody found not to work, it does nothing when that one has gone.

        Raises:
            TimedOut, Refused, Conflict, ConfigError: as `ensure`.
        """
        await anyio.to_thread.run_sync(self.restart_now, seen)
        await self.joined()

    async def stop(self) -> None:
        """Stop it, after closing all sockets; nothing happens when it is stopped already.

        Raises:
            TimedOut: libzt does not end.
        """
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop_now)

    async def joined(self, progress: Progress | None = None, patience: float = inf) -> None:
        """Wait until the network has given it an address, for `patience` seconds if that is less than is set.

        Raises:
            Refused: the network says no. TimedOut: nobody says anything. Both say what to do.
        """
        said: JoinStatus | None = None
        with anyio.move_on_after(min(patience, self.settings.join_seconds)):
            while not (now := self.join()).ready:
                if now != said and progress is not None:
                    progress(now)
                said = now
                if now.state is JoinState.DOWN:
                    break
                await anyio.sleep(POLL_SECONDS)
            else:
                if progress is not None:
                    progress(now)
                return
        now = self.join()
        if now.ready:
            return
        raise (Refused if now.refused else TimedOut)(now.sentence)

    def start_now(self) -> None:
        """Start it unless it runs; blocks until it knows its id, which is before it has joined.

        Raises:
            Conflict: another program has its port.
            ConfigError: its home, roots or library cannot be used. TimedOut: libzt does not come up.
        """
        with self._lifecycle:
            if not self._up:
                self._start()

    def stop_now(self) -> None:
        """As `stop`, blocking."""
        with self._lifecycle:
            if self._up:
                self._stop()

    def restart_now(self, seen: int | None = None) -> None:
        """As `restart`, blocking, and without waiting for the network."""
        with self._lifecycle:
            if seen is not None and seen != self.generation:
                return
            if self._up:
                self._stop()
            self._start()

    def _start(self) -> None:
        settings, library = self.settings, self.library
        _check_usable(self)
        if service(self.loaded):
            raise Conflict("libzt runs in this process already, started by somebody else: use one of them")
        prepare(settings.home, settings.network)
        self._port = port_for(settings.home, settings.port)
        roots = blob(settings.roots, library)
        key = settings.identity.text.encode().ljust(binding.IDENTITY_TEXT, b"\0")
        _must(library.zts_init_from_storage(bytes(settings.home)), "its home")
        _must(library.zts_init_from_memory(key, len(key)), "its identity")
        _must(library.zts_init_allow_id_cache(0), "its identity")
        _must(library.zts_init_allow_roots_cache(0), "its roots")
        _must(library.zts_init_allow_peer_cache(1), "whom it knows")
        if roots is not None:
            _must(library.zts_init_set_roots(roots, len(roots)), "its roots")
        _must(library.zts_init_set_port(self._port), "its port")
        _must(library.zts_init_allow_secondary_port(0), "its ports")
        _must(library.zts_init_allow_port_mapping(0), "its ports")
        _must(library.zts_node_start(), "the start")
        self._up = True
        try:
            self._await_up()
            enter(settings.home, settings.network, self.id)
            _must(library.zts_net_join(settings.network.number), "its network")
        except BaseException:
            self._stop()
            raise
        self._since = time.monotonic()
        self.generation += 1

    def _await_up(self) -> None:
        """Wait for the id, and for the TCP/IP stack: a join before that can end the process."""
        deadline = time.monotonic() + START_SECONDS
        unused = binding.Stats()
        while (number := self.library.zts_node_get_id()) in _NO_NODE or (
            self.library.zts_stats_get_all(ctypes.byref(unused)) == binding.ERR_SERVICE
        ):
            if service(self.loaded) == 0:
                raise Conflict(f"libzt ended at its start: it cannot have UDP port {self._port}")
            if time.monotonic() > deadline:
                raise TimedOut(f"libzt did not come up within {START_SECONDS:g} s: start again")
            time.sleep(POLL_SECONDS)
        if f"{number:010x}" != self.id:
            raise ConfigError(f"libzt started as {number:010x} and not as {self.id}: start again")

    def _stop(self) -> None:
        try:
            self._end()
        except TimedOut as error:
            self.stuck = str(error)
            raise

    def _end(self) -> None:
        try:
            for hook in [*self._hooks]:
                hook()
        finally:
            self._up = False
        self.library.zts_node_stop()
        deadline = time.monotonic() + STOP_SECONDS
        # A start before the service has ended would lose its settings, roots included.
        while (left := service(self.loaded)) or (left is None and not is_free(self._port)):
            if time.monotonic() > deadline:
                raise TimedOut(f"libzt did not stop within {STOP_SECONDS:g} s: end this process")
            time.sleep(POLL_SECONDS)
        if left is None:
            time.sleep(SETTLE_SECONDS)

    def _address(self) -> IPv4Address | None:
        if not self._up:
            return None
        text = ctypes.create_string_buffer(binding.IP_TEXT)
        result = self.library.zts_addr_get_str(
            self.settings.network.number, binding.AF_INET, text, binding.IP_TEXT
        )
        return IPv4Address(text.value.decode("ascii")) if result == binding.ERR_OK and text.value else None


async def ensure(settings: NodeSettings, loaded: Loaded, progress: Progress | None = None) -> Node:
    """The node of this process, running with these settings and in its network.

    What it was not able to do yet it goes on doing after an error: the next call waits for the rest.

    Raises:
        Conflict: one runs with other settings, or another program has its port.
        Refused: the network says no. TimedOut: nobody answers. ConfigError: a setting cannot be used.
    """
    node = await begin(settings, loaded)
    await node.joined(progress)
    return node


async def begin(settings: NodeSettings, loaded: Loaded) -> Node:
    """As `ensure`, without waiting for the network: whoever holds it can show, stop and wait for it."""
    node = _the_node(settings, loaded)
    await anyio.to_thread.run_sync(node.start_now)
    return node


def running() -> Node | None:
    """The node of this process if it runs."""
    return _current if _current is not None and _current.running else None


def _the_node(settings: NodeSettings, loaded: Loaded) -> Node:
    global _current  # noqa: PLW0603  libzt has one node per process
    with _guard:
        if _current is not None:
            _check_usable(_current)
        if _current is not None and _current.running and _current.settings != settings:
            raise Conflict(f"node {_current.id} runs in this process with other settings: stop it first")
        if _current is None or _current.settings != settings:
            _current = Node(settings, loaded)
        return _current


def _check_usable(node: Node) -> None:
    """No node can be started any more in a process whose last one did not stop."""
    if node.stuck:
        raise TimedOut(node.stuck)


def _must(result: int, what: str) -> None:
    if result != binding.ERR_OK:
        raise ConfigError(f"libzt does not take {what}: {binding.result_name(result)}; start again")


def _at_exit() -> None:
    # Its threads would go on while the interpreter takes the process down.
    node = running()
    if node is not None:
        with suppress(TimedOut):  # it ends now, as it is
            node.stop_now()


_guard: Final = threading.Lock()
_current: Node | None = None
atexit.register(_at_exit)
