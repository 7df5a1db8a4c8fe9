"""`taskmessenger doctor`: what is wrong on this machine, and what to do about each of it.

It looks and changes nothing: nodes are seen through what their processes report. The code of kinds is loaded,
in processes that are thrown away, as a worker that starts does it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from .. import __version__
from ..core.errors import Refused, TaskMessengerError, Unreachable
from ..core.text import count, printable
from ..paths import ROLES, Paths, Role, expanded, find
from ..roles import checkup
from .options import as_json as as_json_option
from .output import block, line, span
from .zerotier import round_trips, trip_to

if TYPE_CHECKING:
    from ..config import Loaded
    from ..handle import NetworkRow, PoolStatus, WorkerRow

OK: Final = "ok"
WRONG: Final = "wrong"
ASK_SECONDS: Final = 5.0


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    state: str
    """`ok` or `wrong`."""
    text: str
    """What was found; when it is wrong, what to do as well."""


@click.command()
@as_json_option
def doctor(*, as_json: bool) -> None:
    """Look for what is wrong on this machine; exit code 1 when something is.

    Looks at settings, disk, clock, limits, certificates, the manager, libzt and ZeroTier nodes of this user.

    \b
    Examples:
      taskmessenger doctor
      taskmessenger doctor --json | jq '.findings[] | select(.state == "wrong")'
    """  # noqa: D301  \b keeps click from filling the examples
    findings = list(examine(find()))
    wrong = [finding for finding in findings if finding.state == WRONG]
    if as_json:
        block({"ok": not wrong, "findings": msgspec.to_builtins(findings)})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            line(f"{finding.state:5}  {finding.name:{width}}  {finding.text}")
        line(f"{count(len(wrong), 'thing')} to do" if wrong else "nothing is wrong")
    if wrong:
        raise click.exceptions.Exit(1)


def examine(paths: Paths) -> Iterator[Finding]:
    """Everything, one after the other; what cannot be looked at is itself a finding."""
    yield Finding("program", OK, f"version {__version__}, Python {platform.python_version()}, {_system()}")
    configs: dict[str, Any] = {}
    for role in ROLES:
        yield from _guarded(f"{role} settings", partial(_settings, role, paths, configs))
    yield from _guarded("kinds", partial(_kinds, paths, configs))
    yield from _judged("disk", partial(checkup.disk, paths))
    yield from _judged("clock", partial(checkup.clock, paths))
    yield from _judged("files", checkup.files)
    for member in checkup.MEMBERS:
        yield from _judged(f"{member} certificate", partial(checkup.certificate, member, paths))
    trips: dict[str, float] = {}
    yield from _guarded("manager", partial(_manager, paths, trips))
    needed = _needs_zerotier(paths, configs)
    yield from _guarded("libzt", partial(_library, paths, configs, needed=needed))
    for role in ROLES:
        yield from _guarded(f"{role} node", partial(_node, role, paths, configs.get(role), trips))


def _guarded(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except TaskMessengerError as error:
        yield Finding(name, WRONG, str(error))
    except OSError as error:
        yield Finding(name, WRONG, f"cannot be looked at: {printable(str(error), 300)}")


def _judged(name: str, look: Callable[[], Iterator[NetworkRow]]) -> Iterator[Finding]:
    """What a running node tells of itself as well."""
    for row in checkup.guarded(name, look):
        cure = f": {row.cure}" if row.cure else ""
        yield Finding(row.what, WRONG if row.state == checkup.BAD else OK, f"{row.value}{cure}")


def _settings(role: Role, paths: Paths, found: dict[str, Any]) -> Iterator[Finding]:
    from ..config import load

    loaded: Loaded[Any] = load(role, {}, os.environ, paths)
    found[role] = loaded.config
    yield Finding(
        f"{role} settings", OK, str(loaded.file) if loaded.found else "the defaults; there is no file"
    )


def _kinds(paths: Paths, configs: dict[str, Any]) -> Iterator[Finding]:
    """Whether the kinds of a worker here can be loaded; they are, in processes that are thrown away."""
    from ..node import found_kinds

    if "worker" not in configs:
        return  # a finding of its own
    kinds = found_kinds(configs["worker"], paths)
    broken = kinds.faults()
    for name, why in broken.items():
        yield Finding("kinds", WRONG, f"{name} cannot be used: {why}")
    good = len(set(kinds.names_known()) - broken.keys())
    yield Finding("kinds", OK, f"{count(good, 'kind')} can be used by a worker here")


def _manager(paths: Paths, trips: dict[str, float]) -> Iterator[Finding]:
    """What it answers; its workers' round trips over ZeroTier are left in `trips`."""
    import anyio

    joined = any(paths.identity(role).is_dir() for role in ("operator", "client"))
    if not paths.socket.exists() and not joined:
        yield Finding("manager", OK, "none runs here, and no other was joined as client or operator")
        return
    found, seconds, workers = anyio.run(_ask, paths)
    trips.update(round_trips(workers))
    text = f"{found.manager}, fleet {found.fleet}, version {found.version}, answers in {span(seconds)}"
    yield Finding("manager", OK, f"{text}; {count(found.workers, 'worker')}; at {', '.join(found.listening)}")
    if found.degraded:
        yield Finding("manager", WRONG, found.degraded)
    for why in found.waiting.values():
        yield Finding("tasks", WRONG, why)
    from .worker import held_up

    for row in workers:
        for text in held_up(row) if row.stuck or row.state == "connected" else ():  # a pause is no fault
            yield Finding("worker", WRONG, text)
        for name, why in row.broken.items():
            yield Finding("kinds", WRONG, f"{row.id} does not offer {name}: {why}")


async def _ask(paths: Paths) -> tuple[PoolStatus, float, list[WorkerRow]]:
    import anyio

    from ..remote import attach
    from .connect import dialler

    began = time.perf_counter()
    try:
        with anyio.fail_after(ASK_SECONDS):
            async with attach(dialler(paths)) as remote:
                began = time.perf_counter()
                status, seconds = await remote.status(), time.perf_counter() - began
                return status, seconds, await remote.workers()
    except TimeoutError as error:
        raise Unreachable(f"does not answer within {ASK_SECONDS:g} s: see its log") from error
    except Refused as error:
        raise Refused(f"does not let this user in: {error}") from error


def _needs_zerotier(paths: Paths, configs: dict[str, Any]) -> bool:
    """Whether a manager here listens there, or a member here dials there."""
    from ..net.security.identity import is_joined, load

    manager = configs.get("manager")
    if manager is not None and any(text.startswith("zt:") for text in manager.transport.listen):
        return True
    for role in checkup.MEMBERS:
        if is_joined(paths.identity(role)):
            try:
                if any(one.scheme == "zt" for one in load(paths.identity(role), role).addresses):
                    return True
            except TaskMessengerError:
                continue  # a finding of its own
    return False


def _library(paths: Paths, configs: dict[str, Any], *, needed: bool) -> Iterator[Finding]:
    from ..net.zerotier import library

    named = [one.zerotier.library_path for one in configs.values() if one.zerotier.library_path]
    try:
        loaded = library.load(expanded(named[0]) if named else None, paths)
    except TaskMessengerError as error:
        if needed or named:
            raise
        yield Finding("libzt", OK, f"not needed here; to use ZeroTier: {str(error).partition(': ')[2]}")
        return
    yield Finding("libzt", OK, f"{loaded.version}, {loaded.found.origin}, {loaded.found.path}")


def _node(role: Role, paths: Paths, config: Any, trips: dict[str, float]) -> Iterator[Finding]:
    from ..net.zerotier import identity, report
    from ..net.zerotier.overlay import places_of

    name = f"{role} node"
    found = report.read(paths.node_state(role))
    if found is None:
        place = places_of(role, config.zerotier, paths).identity if config is not None else paths.node(role)
        own = identity.load(place)
        if own is not None:
            yield Finding(name, OK, f"{own.node_id}, not running")
        return
    status = found.status
    kind = "private" if status["private"] else "existing"
    yield Finding(
        name,
        OK,
        f"{status['node_id']}, process {found.pid}, network {status['network']} ({kind},"
        f" {status['join']['state']}), address {status['address'] or '-'}, {status['port']}/udp,"
        f" roots {status['roots']}",
    )
    for problem in status["problems"]:
        yield Finding(name, WRONG, problem)
    for peer in status["peers"] or ():
        yield Finding(name, OK, _peer(peer, trip_to(peer, status, trips)))


def _peer(peer: dict[str, Any], trip: float | None) -> str:
    latency = "not measured yet" if peer["latency_ms"] is None else f"{peer['latency_ms']} ms"
    path = "direct" if peer["direct"] else "relayed by a root; open UDP between the two for a direct path"
    rtt = "" if trip is None else f", RTT {trip * 1000:.1f} ms"
    return f"peer {peer['node_id']} ({peer['role']}): {path}, latency {latency}{rtt}"


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"
