"""What is looked at on a machine with a node of ours, and judged: disk, clock, certificate, ZeroTier.

Changes and starts nothing. Each finding is a row: what, what was found, whether that is well, what to do.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from .. import descriptors
from ..core.errors import TaskMessengerError
from ..core.spans import span
from ..core.text import printable
from ..handle import NetworkRow
from ..net.security.identity import is_joined, load
from ..paths import Paths

if TYPE_CHECKING:
    from ..net.zerotier.peers import Peer
    from ..net.zerotier.status import NodeStatus

MIB: Final = 1024 * 1024
LOW_DISK: Final = 512 * MIB
"""Bytes of free space below which a machine's disk is too full."""
CLOCK_STEP: Final = 300.0
"""Seconds by which a file may be newer than the clock says it is now."""
EXPIRES_SOON: Final = 3 * 86_400.0
"""Seconds; certificates are renewed long before, if the member is connected."""
MEMBERS: Final = ("worker", "client", "operator")
FRESH_SECONDS: Final = 1.0
"""For so long one look at the node is good enough for all who ask."""
MACHINE_SECONDS: Final = 5.0
"""The same of a look at the machine."""
OK: Final = "ok"
WARN: Final = "warn"
BAD: Final = "bad"
Look = Callable[[], "NodeStatus | None"]
"""Looks at the ZeroTier node of this process, in no time; None where there is none."""


class Checkup:
    """All findings about this process and its machine, made anew when somebody asks."""

    def __init__(self, paths: Paths, look: Look, member: str | None = None) -> None:
        """`member`: the role whose certificate this process has, if any."""
        self._paths, self._look, self._member = paths, look, member
        self._status: NodeStatus | None = None
        self._paths_to: dict[str, str] = {}
        self._machine: Sequence[NetworkRow] = ()
        self._due = self._machine_due = float("-inf")

    async def rows(self) -> Sequence[NetworkRow]:
        """ZeroTier first, then the machine."""
        if time.monotonic() >= self._machine_due:
            self._machine_due = time.monotonic() + MACHINE_SECONDS
            self._machine = await anyio.to_thread.run_sync(self._look_at_machine)
        self._look_at_node()
        return (*overlay(self._status), *self._machine)

    def path(self, node_id: str) -> str:
        """`direct` or `relayed`: the way to the ZeroTier node with this id; empty when it is not known."""
        self._look_at_node()
        return self._paths_to.get(node_id, "")

    def _look_at_node(self) -> None:
        if time.monotonic() >= self._due:
            self._status = status = self._look()
            peers = (status.peers if status is not None else None) or ()
            self._paths_to = {peer.node_id: "direct" if peer.direct else "relayed" for peer in peers}
            self._due = time.monotonic() + FRESH_SECONDS

    def _look_at_machine(self) -> list[NetworkRow]:
        looks: list[tuple[str, Callable[[], Iterator[NetworkRow]]]] = [
            ("disk", partial(disk, self._paths)),
            ("clock", partial(clock, self._paths)),
            ("files", files),
        ]
        if self._member is not None:
            looks.append((f"{self._member} certificate", partial(certificate, self._member, self._paths)))
        return [row for name, look in looks for row in guarded(name, look)]


def guarded(name: str, look: Callable[[], Iterator[NetworkRow]]) -> Iterator[NetworkRow]:
    """What cannot be looked at is itself a finding."""
    try:
        yield from look()
    except TaskMessengerError as error:
        yield problem(name, str(error))
    except OSError as error:
        yield NetworkRow(name, f"cannot be looked at: {printable(str(error), 300)}", BAD)


def problem(name: str, sentence: str, state: str = BAD) -> NetworkRow:
    """A sentence that says what is wrong and, after a colon, what to do about it."""
    what, _, cure = sentence.partition(": ")
    return NetworkRow(name, what, state, cure)


def disk(paths: Paths) -> Iterator[NetworkRow]:
    """Room for the database and the logs."""
    for name, place in (("data", paths.data), ("logs", paths.state)):
        there = _existing(place)
        free = shutil.disk_usage(there).free
        text = f"{free / 1e9:.1f} GB free for {name} in {there}"
        if free < LOW_DISK:
            yield NetworkRow("disk", text, BAD, "free some space, or move TASKMESSENGER_HOME")
        else:
            yield NetworkRow("disk", text)


def files() -> Iterator[NetworkRow]:
    """How many files and connections a process of this user may have open."""
    most = descriptors.most()
    text = f"a process may open {most:,}"
    if most < descriptors.FEW:
        yield NetworkRow("files", text, BAD, "raise the hard limit (`ulimit -Hn`, LimitNOFILE=)")
    else:
        yield NetworkRow("files", text)


def clock(paths: Paths) -> Iterator[NetworkRow]:
    """A clock that was set back makes new certificates look as if they were not valid yet."""
    now = time.time()
    files = [paths.database, *(paths.identity(role) / "identity.json" for role in MEMBERS)]
    ahead = max(map(_changed, files)) - now
    shown = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    if ahead > CLOCK_STEP:
        yield NetworkRow(
            "clock", f"it shows {shown}, and files here are {span(ahead)} newer", BAD, "set the clock"
        )
    else:
        yield NetworkRow("clock", shown)


def certificate(role: str, paths: Paths) -> Iterator[NetworkRow]:
    """Of a member: for how long it is valid, and where it dials."""
    name = f"{role} certificate"
    if not is_joined(paths.identity(role)):
        return
    identity = load(paths.identity(role), role)
    left = identity.certificate.not_after - time.time()
    ways = ", ".join(map(str, identity.addresses))
    text = f"{identity.peer_id} of {identity.manager_name}, valid for {span(max(0.0, left))}; dials {ways}"
    if left <= 0:
        again = (
            "`taskmessenger --role worker --no-ui --join -`" if role == "worker" else "`taskmessenger join`"
        )
        yield NetworkRow(
            name, f"{identity.peer_id}: has expired", BAD, f"join again with a new invite: {again}"
        )
    elif left < EXPIRES_SOON:
        yield NetworkRow(name, text, BAD, "start it, so that it can be renewed")
    else:
        yield NetworkRow(name, text)


def overlay(status: NodeStatus | None) -> Iterator[NetworkRow]:
    """A ZeroTier node, its network, its peers, and what is wrong with them; nothing where there is none."""
    if status is None:
        return
    for sentence in status.problems:
        yield problem("zerotier", sentence)
    state = "online" if status.online else "no root has answered yet" if status.running else "not running"
    yield NetworkRow("zerotier node", f"{status.node_id}, {state}, {status.port}/udp")
    kind = "private" if status.private else "existing"
    joined = OK if status.join.ready else WARN
    address = f", address {status.address}" if status.address else ""
    yield NetworkRow("network", f"{status.network} ({kind}), {status.join.state}{address}", joined)
    yield NetworkRow("roots", status.roots)
    yield NetworkRow("libzt", f"{status.version}, {status.origin}, {status.library}")
    for peer in status.peers or ():
        yield _peer(peer)


def _peer(peer: Peer) -> NetworkRow:
    latency = "latency not measured yet" if peer.latency_ms is None else f"{peer.latency_ms} ms"
    name, what = f"peer {peer.node_id}", f"{peer.role}, {latency}"
    if peer.direct:
        return NetworkRow(name, f"direct, {what}")
    return NetworkRow(name, f"relayed by a root, {what}", WARN, "open UDP between the two for a direct path")


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _existing(place: Path) -> Path:
    """It, or the nearest directory above it that is there."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
