"""`taskmessenger discover`: which managers of this fleet can be heard near here, and who offers a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ..core.errors import NotFound, Refused
from .options import DURATION, as_json
from .output import Table, block, note, span

if TYPE_CHECKING:
    from ..net.discovery.finder import Finder
    from ..net.discovery.registry import ManagerHeard, Offering
    from ..paths import Paths

DEFAULT_SECONDS: Final = 3.0
MAX_SECONDS: Final = 3600.0
MEMBERS: Final = ("operator", "client", "worker")
"""Identities that may ask, strongest first."""


@click.command()
@click.option(
    "--seconds", type=DURATION, default=DEFAULT_SECONDS, show_default="3s", help="How long to listen."
)
@click.option("--kind", metavar="KIND", help="Ask which workers offer this kind.")
@click.option("--port", type=click.IntRange(1, 65_535), metavar="PORT", help="Instead of discovery.port.")
@click.option("--interface", multiple=True, metavar="ADDRESS", help="Instead of discovery.interfaces.")
@as_json
def discover(
    *, seconds: float, kind: str | None, port: int | None, interface: tuple[str, ...], as_json: bool
) -> None:
    """Listen on the local networks for managers of the fleet that this user belongs to.

    Managers are heard that have discovery.lan turned on. Only what is signed by this fleet counts.

    \b
    Examples:
      taskmessenger discover
      taskmessenger discover --kind hash --json
    """  # noqa: D301  \b keeps click from filling the examples
    import os

    from ..config import load
    from ..paths import find
    from .connect import run

    paths = find()
    flags = {"discovery.port": port, "discovery.interfaces": interface}
    settings = load("worker", flags, os.environ, paths).config.discovery
    finder = _finder(paths, settings.port, settings.interfaces)
    managers, offerings = run(_listen, finder, min(seconds, MAX_SECONDS), kind)
    if as_json:
        block(_as_json(finder, managers, offerings, kind))
    else:
        _show(managers, offerings, kind)
    if not managers:
        raise NotFound(
            f"no manager of fleet {finder.registry.fleet_id} was heard in {span(seconds)}: is discovery.lan"
            " on there, and this machine on the same network?"
        )


def _finder(paths: Paths, port: int, interfaces: tuple[str, ...]) -> Finder:
    """A finder for the fleet whose manager, or member, this user is here.

    Raises:
        Refused: there is neither.
    """
    from ..net.discovery.finder import Finder
    from ..net.discovery.lan import Lan
    from ..net.discovery.registry import Registry
    from ..net.discovery.sealed import Signer, Verifier
    from ..net.discovery.voice import Voice
    from ..net.security.authority import AUTHORITY_FILE, MANAGER_FILE, Authority
    from ..net.security.identity import is_joined, load

    if (paths.authority / AUTHORITY_FILE).exists():
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
    voice = Voice(lambda: Signer.load(key, ca_der))
    return Finder(Registry(Verifier(ca_der)), [Lan(port, interfaces)], voice)


async def _listen(
    finder: Finder, seconds: float, kind: str | None
) -> tuple[list[ManagerHeard], list[Offering]]:
    import anyio

    offerings: list[Offering] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(finder.run)
        if kind:
            offerings = await finder.resolve(kind, seconds)
        else:
            await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    return finder.registry.managers(anyio.current_time()), offerings


def _show(managers: list[ManagerHeard], offerings: list[Offering], kind: str | None) -> None:
    if managers:
        rows = [(one.name, " ".join(one.endpoints), " ".join(one.wanted), one.source) for one in managers]
        Table(("MANAGER", "ENDPOINTS", "WANTS", "HEARD FROM")).add(rows)
    if kind and managers:
        who = [(one.manager, worker) for one in offerings for worker in one.workers]
        if who:
            Table(("MANAGER", "WORKER")).add(who)
        for one in offerings:
            if one.total > len(one.workers):
                note(f"{one.manager} has {one.total - len(one.workers)} more workers that offer {kind}")
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
