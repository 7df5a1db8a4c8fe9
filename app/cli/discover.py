"""`taskmessenger discover`: which managers of this fleet can be heard near here, and who offers a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import NotFound, Refused, TaskMessengerError
from ..core.text import count
from .options import NAME, Duration, as_json
from .output import Table, block, note, span

if TYPE_CHECKING:
    from ..config.model import Discovery
    from ..net.address import Address
    from ..net.discovery.carrier import Carrier
    from ..net.discovery.finder import Finder
    from ..net.discovery.registry import ManagerHeard, Offering
    from ..paths import Paths

DEFAULT_SECONDS: Final = 3.0
LEAST_SECONDS: Final = 0.1
MAX_SECONDS: Final = 3600.0
AT_WORK: Final = frozenset({"connected", "paused", "draining", "quarantined"})
"""States of a worker that has a session."""
MEMBERS: Final = ("operator", "client", "worker")
"""Identities that may ask, strongest first."""


@click.command()
@click.option(
    "--seconds",
    type=Duration(LEAST_SECONDS, MAX_SECONDS),
    default=DEFAULT_SECONDS,
    show_default="3s",
    help="How long to listen.",
)
@click.option("--kind", type=NAME, metavar="KIND", help="Ask which workers offer this kind.")
@click.option("--port", type=click.IntRange(1, 65_535), metavar="PORT", help="Instead of discovery.port.")
@click.option(
    "--interface", multiple=True, type=NAME, metavar="ADDRESS", help="Instead of discovery.interfaces."
)
@as_json
def discover(
    *, seconds: float, kind: str | None, port: int | None, interface: tuple[str, ...], as_json: bool
) -> None:
    """Listen for managers of the fleet that this user belongs to, on the local networks and over ZeroTier.

    On local networks managers are heard that have discovery.lan turned on; over ZeroTier those of the network
    that this user joined by. A manager of this user that runs here is asked itself. Only what the fleet has
    signed counts. The settings are the manager's where the fleet's manager is, else a worker's.

    \b
    Examples:
      taskmessenger discover
      taskmessenger discover --kind hash --json
    """  # noqa: D301  \b keeps click from filling the examples
    import os

    from ..config import load
    from ..net.discovery.voice import check_kind
    from ..paths import find
    from .connect import run

    if kind is not None:
        check_kind(kind)
    paths = find()
    flags = {"discovery.port": port, "discovery.interfaces": interface}
    if _is_ours(paths):
        settings: Discovery = load("manager", flags, os.environ, paths).config.discovery
    else:
        settings = load("worker", flags, os.environ, paths).config.discovery
    finder, way = _finder(paths, settings)
    managers, offerings = run(_listen, finder, way, seconds, kind)
    if as_json:
        block(_as_json(finder, managers, offerings, kind))
    else:
        _show(managers, offerings, kind)
    if not managers and not offerings:
        raise NotFound(
            f"no manager of fleet {finder.registry.fleet_id} was heard in {span(seconds)} at port"
            f" {settings.port}: is discovery.lan on there, with this port, and is this the same network?"
            + (" None runs here." if _is_ours(paths) else "")
        )


def _is_ours(paths: Paths) -> bool:
    """Whether the manager of the fleet is this user's own, on this machine."""
    from ..net.security.authority import AUTHORITY_FILE

    return (paths.authority / AUTHORITY_FILE).exists()


def _finder(paths: Paths, settings: Discovery) -> tuple[Finder, Address | None]:
    """A finder for the fleet whose manager, or member, this user is here; and its way over ZeroTier, if any.

    Raises:
        Refused: there is neither.
    """
    from ..net.discovery.finder import Finder
    from ..net.discovery.lan import Lan
    from ..net.discovery.registry import Registry
    from ..net.discovery.sealed import Signer, Verifier
    from ..net.discovery.voice import Voice
    from ..net.security.authority import MANAGER_FILE, Authority
    from ..net.security.identity import is_joined, load

    way: Address | None = None
    if _is_ours(paths):
        from time import time

        ca_der = Authority.load_or_create(paths.authority, "", time()).ca_der
        key = paths.authority / MANAGER_FILE
    else:
        role = next((role for role in MEMBERS if is_joined(paths.identity(role))), None)
        if role is None:
            raise Refused(
                "this user belongs to no fleet, and cannot tell whom to believe: join one with"
                " `taskmessenger join`, or as a worker"
            )
        identity = load(paths.identity(role), role)
        ca_der, key = identity.ca_der, identity.key_path
        way = next((one for one in identity.addresses if one.scheme == "zt" and settings.overlay), None)
    carriers: list[Carrier] = [Lan(settings.port, settings.interfaces)]
    if way is not None:
        from ..net.discovery.overlay import OverlayCarrier, manager_of

        carriers.append(OverlayCarrier(settings.port, peers=manager_of))
    voice = Voice(lambda: Signer.load(key, ca_der))
    return Finder(Registry(Verifier(ca_der)), carriers, voice), way


async def _listen(
    finder: Finder, way: Address | None, seconds: float, kind: str | None
) -> tuple[list[ManagerHeard], list[Offering]]:
    import anyio

    from ..net.carriers import approach_for_a_command
    from ..paths import find

    offerings: list[Offering] = []
    here: list[ManagerHeard] = []
    # A client's node: the worker's own may be running on this machine, and the same node twice does not work.
    async with approach_for_a_command("client", find()) as approach, anyio.create_task_group() as tasks:
        if way is not None:
            try:
                await approach.prepare(way)
            except TaskMessengerError as error:
                note(f"nobody is asked over ZeroTier: {error}")
        tasks.start_soon(finder.run)
        if kind:
            offerings = await _offered_here(kind) or await finder.resolve(kind, seconds)
        else:
            await anyio.sleep(seconds)
            here = await _manager_here()
        tasks.cancel_scope.cancel()
    heard = finder.registry.managers(anyio.current_time())
    return heard or here, offerings


async def _manager_here() -> list[ManagerHeard]:
    """The manager of this user that runs here; none is none."""
    import anyio

    from ..net.discovery.registry import ManagerHeard
    from ..paths import find
    from .connect import manager

    if not (_is_ours(find()) and find().socket.exists()):
        return []
    try:
        with anyio.fail_after(DEFAULT_SECONDS):
            async with manager(grace=0.0) as remote:
                status = await remote.status()
    except (TaskMessengerError, TimeoutError) as error:
        note(f"the manager that runs here does not tell: {error}")
        return []
    now, own = anyio.current_time(), "this machine"
    return [
        ManagerHeard(name=status.manager, endpoints=status.listening, wanted=(), source=own, heard_at=now)
    ]


async def _offered_here(kind: str) -> list[Offering]:
    """What a manager of this user on this machine knows by itself."""
    import anyio

    from ..net.discovery.registry import Offering
    from ..paths import find
    from .connect import manager

    if not find().socket.exists():
        return []
    try:
        with anyio.fail_after(DEFAULT_SECONDS):
            async with manager() as remote:
                name = (await remote.status()).manager
                rows = await remote.workers()
    except (TaskMessengerError, TimeoutError) as error:
        note(f"the manager that runs here does not tell: {error}")
        return []
    found = tuple(row.id for row in rows if kind in row.kinds and row.state in AT_WORK)
    now = anyio.current_time()
    return [Offering(manager=name, kind=kind, workers=found, total=len(found), heard_at=now)]


def _show(managers: list[ManagerHeard], offerings: list[Offering], kind: str | None) -> None:
    if managers:
        rows = [(one.name, " ".join(one.endpoints), " ".join(one.wanted), one.source) for one in managers]
        Table(("MANAGER", "ENDPOINTS", "WANTS", "HEARD FROM")).add(rows)
    if kind and (managers or offerings):
        who = [(one.manager, worker) for one in offerings for worker in one.workers]
        if who:
            Table(("MANAGER", "WORKER")).add(who)
        for one in offerings:
            if one.total > len(one.workers):
                note(f"{one.manager} has {count(one.total - len(one.workers), 'more worker')} for {kind}")
        if not who:
            note(f"no connected worker offers {kind}")


def _as_json(
    finder: Finder, managers: list[ManagerHeard], offerings: list[Offering], kind: str | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "fleet": finder.registry.fleet_id,
        "managers": [
            {
                "name": one.name,
                "endpoints": list(one.endpoints),
                "wanted": list(one.wanted),
                "source": one.source,
            }
            for one in managers
        ],
        "ignored": {fault.name.lower(): count for fault, count in sorted(finder.registry.faults.items())},
    }
    if kind:
        facts["kind"] = kind
        facts["offered_by"] = [
            {"manager": one.manager, "workers": list(one.workers), "total": one.total} for one in offerings
        ]
    return facts
