"""`taskmessenger zerotier`: provision libzt, and look at the nodes of this machine.

It starts no node: the node of a role is looked at through what that role reports of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import ConfigError, TaskMessengerError
from ..paths import ROLES, Role, expanded, find
from .options import as_json as as_json_option
from .output import Table, block, done, line, note, pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.model import ManagerZeroTier, WorkerZeroTier
    from ..handle import WorkerRow
    from ..net.zerotier.library import Loaded

    Settings = ManagerZeroTier | WorkerZeroTier

_PEER_HEAD: Final = ("PEER", "ROLE", "PATH", "LATENCY", "RTT", "VERSION")
ASK_SECONDS: Final = 3.0


@click.group()
def zerotier() -> None:
    """ZeroTier: a network for the fleet that needs no account and no open port at the worker.

    \b
    Examples:
      taskmessenger zerotier install
      taskmessenger zerotier install --wheel libzt-1.8.4-cp39-cp39-manylinux2010_x86_64.whl
      taskmessenger zerotier status
    """  # noqa: D301  \b keeps click from filling the examples


@zerotier.command()
@click.option(
    "--wheel", type=click.Path(path_type=Path), metavar="FILE", help="Take this wheel; fetch nothing."
)
@click.option("--force", is_flag=True, help="Even if it is installed already.")
def install(wheel: Path | None, *, force: bool) -> None:
    """Fetch libzt with pip, check it, and keep it for this user; exit code 5 when it cannot be fetched.

    \b
    Examples:
      taskmessenger zerotier install
      taskmessenger zerotier install --wheel libzt.whl
    """  # noqa: D301  \b keeps click from filling the examples
    from ..net.zerotier import library

    found = library.install(find(), wheel=wheel, force=force)
    loaded = library.load_found(found)
    told = f"libzt {loaded.version} is installed: {found.path}"
    with done(told):
        line(told)


@zerotier.command()
@as_json_option
def status(*, as_json: bool) -> None:
    """Show the library, and the node of each role: network, address, roots, peers, and what to do.

    \b
    Examples:
      taskmessenger zerotier status
      taskmessenger zerotier status --json
    """  # noqa: D301  \b keeps click from filling the examples
    configs = _settings()
    library, problems = _library(configs)
    nodes = {role: _node(role, configs.get(role)) for role in ROLES}
    _measure(nodes["manager"])
    for role, node in nodes.items():
        if node["running"]:
            problems += [f"{role}: {problem}" for problem in node["status"]["problems"]]
    if as_json:
        block({"library": library, "nodes": nodes, "problems": problems})
    else:
        _print(library, nodes)
        for problem in problems:
            note(problem)
    if problems:
        raise click.exceptions.Exit(1)


def _library(configs: dict[Role, Settings]) -> tuple[dict[str, Any], list[str]]:
    from ..net.zerotier import library

    try:
        loaded = library.load(_configured(configs), find())
    except TaskMessengerError as error:
        return {"found": False, "path": "", "origin": "", "version": ""}, [str(error)]
    return _facts(loaded), []


def _facts(loaded: Loaded) -> dict[str, Any]:
    return {
        "found": True,
        "path": str(loaded.found.path),
        "origin": loaded.found.origin,
        "version": loaded.version,
    }


def _settings() -> dict[Role, Settings]:
    """Of each role whose settings can be read."""
    from ..config import load

    found: dict[Role, Settings] = {}
    for role in ROLES:
        try:
            found[role] = load(role, {}, os.environ, find()).config.zerotier
        except ConfigError as error:
            note(str(error))
    return found


def _configured(configs: dict[Role, Settings]) -> Path | None:
    """The library that the settings name, the manager's before the worker's."""
    named = [one.library_path for one in configs.values() if one.library_path]
    return expanded(named[0]) if named else None


def round_trips(workers: Iterable[WorkerRow]) -> dict[str, float]:
    """Seconds to each worker that came over ZeroTier, by its address there."""
    return {
        row.address.removeprefix("zt://").rpartition(":")[0]: row.rtt
        for row in workers
        if row.address.startswith("zt://") and row.rtt is not None
    }


def trip_to(peer: dict[str, Any], status: dict[str, Any], trips: dict[str, float]) -> float | None:
    """Seconds to this peer, where its address follows from its node id, and no controller gave it one."""
    from ..net.zerotier.network import address_of

    return trips.get(str(address_of(peer["node_id"]))) if status["private"] else None


def _measure(node: dict[str, Any]) -> None:
    """Add to the peers of a manager's node how long its workers take to answer, if the manager tells."""
    import anyio

    if not node["running"] or not node["status"]["peers"]:
        return
    try:
        trips = anyio.run(_ask)
    except (TaskMessengerError, TimeoutError) as error:
        note(f"the manager does not tell of its workers: {error}")
        trips = {}
    for peer in node["status"]["peers"]:
        peer["rtt"] = trip_to(peer, node["status"], trips)


async def _ask() -> dict[str, float]:
    import anyio

    from .connect import manager

    with anyio.fail_after(ASK_SECONDS):
        async with manager() as remote:
            return round_trips(await remote.workers())


def _node(role: Role, config: Settings | None) -> dict[str, Any]:
    from ..net.zerotier import identity, report
    from ..net.zerotier.overlay import places_of

    paths = find()
    found = report.read(paths.node_state(role))
    if found is not None:
        return {"running": True, "pid": found.pid, "node_id": found.status["node_id"], "status": found.status}
    own = None
    try:
        own = identity.load(places_of(role, config, paths).identity if config else paths.node(role))
    except ConfigError as error:
        note(str(error))
    return {"running": False, "pid": None, "node_id": own.node_id if own else "", "status": None}


def _print(library: dict[str, Any], nodes: dict[Role, dict[str, Any]]) -> None:
    known = f"{library['version']} ({library['origin']}) {library['path']}"
    pairs([("library", known if library["found"] else "not installed")])
    for role, node in nodes.items():
        if not node["running"]:
            line(
                f"{role}: not running" + (f"; node {node['node_id']}" if node["node_id"] else "; no node yet")
            )
            continue
        line(f"{role}: running as process {node['pid']}")
        _print_node(node["status"])


def _print_node(status: dict[str, Any]) -> None:
    pairs(
        [
            ("  node", status["node_id"]),
            ("  network", f"{status['network']} ({'private' if status['private'] else 'existing'})"),
            ("  joined", status["join"]["state"]),
            ("  address", status["address"]),
            ("  port", f"{status['port']}/udp"),
            ("  roots", f"{status['roots']} ({'answering' if status['online'] else 'silent so far'})"),
        ]
    )
    peers = status["peers"]
    if peers is None:
        line("  peers: this libzt does not tell; the provisioned one does")
        return
    table = Table([f"  {_PEER_HEAD[0]}", *_PEER_HEAD[1:]])
    table.add([_row(peer) for peer in peers])


def _row(peer: dict[str, Any]) -> tuple[str, ...]:
    latency = "" if peer["latency_ms"] is None else f"{peer['latency_ms']} ms"
    path = "direct" if peer["direct"] else "relayed"
    rtt = "" if peer.get("rtt") is None else f"{peer['rtt'] * 1000:.1f} ms"
    return f"  {peer['node_id']}", peer["role"], path, latency, rtt, peer["version"]
