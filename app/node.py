"""Composition root: from a configuration to a running role. The one place where everything meets."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from . import __version__, descriptors, loops
from .config.model import JobLimits, Kinds, ManagerConfig, WorkerConfig
from .core.errors import ConfigError, NotApproved, Refused, Unreachable, UsageError
from .core.text import count
from .locks import OneWorker
from .paths import Paths, expanded, private_directory

if TYPE_CHECKING:
    from .feed import Feed
    from .handle import NodeHandle
    from .net.address import Address
    from .net.approach import Approach
    from .net.client import Connected
    from .net.discovery.finder import Finder
    from .net.security.identity import Identity
    from .net.security.invites import Invite
    from .roles.worker import Dial, Worker
    from .roles.worker_handle import WorkerHandle
    from .runtimes.base import Report
    from .runtimes.limits import Limits
    from .runtimes.registry import Registry
    from .runtimes.runner import Runtimes
    from .runtimes.spawn import Given
    from .store.sqlite import SqliteStore

log = logging.getLogger(__name__)

Began = Callable[["NodeHandle"], None]
"""Told the handle of a role that runs."""

MIB: Final = 1024 * 1024
SWITCH_SECONDS: Final = 0.0005


def run(main: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
    """Run a role to its end, on uvloop where there is one."""
    # The store's thread gives up the interpreter at every statement; waiting 5 ms to get it back each time
    # would make a commit beside a busy event loop ten times slower.
    sys.setswitchinterval(SWITCH_SECONDS)
    from .roles.vitals import enough_memory

    with enough_memory():
        loops.run(main, *arguments)


async def manager(
    config: ManagerConfig,
    paths: Paths,
    began: Began | None = None,
    origins: Mapping[str, str] | None = None,
    accept_loss: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """A manager. A headless one is ended by a signal; any other by the handle that `began` is given.

    `origins`: where settings came from, by key. `accept_loss`: it starts although something that was stored
    is gone. `ready`: called when it can be reached.
    """
    from .net import unix_folder

    private_directory(paths.database.parent)
    with unix_folder.kept(paths.socket):
        private_directory(paths.socket.parent)
        await _serve(config, paths, began, origins or {}, accept_loss, ready)


async def _serve(
    config: ManagerConfig,
    paths: Paths,
    began: Began | None,
    origins: Mapping[str, str],
    accept_loss: bool,
    ready: Callable[[], None],
) -> None:
    """The manager, in directories of its own."""
    from .net.carriers import Listening
    from .roles.checkup import Checkup
    from .roles.copies import check_founder, note_kept
    from .roles.manager import Manager
    from .roles.manager_handle import ManagerHandle
    from .roles.nearby import beacon_for, carriers_for
    from .roles.signals import stop_on_signals
    from .roles.vitals import Watchdog

    store = _store(config, paths, accept_loss=accept_loss)
    check_founder(paths, accept_loss=accept_loss)
    underneath = Listening(config, paths)
    role = Manager(config, paths, store, underneath)
    carriers = carriers_for(config.discovery, config.transport.listen)
    checkup = Checkup(paths, underneath.look)
    role.view.origins, role.view.network_rows = origins, checkup.rows
    role.view.standing.path = checkup.path
    async with underneath, anyio.create_task_group() as tasks:
        if began is None:
            tasks.start_soon(stop_on_signals, role.stop)
        async with anyio.create_task_group() as serving:
            listening = await serving.start(role.run)
            note_kept(paths)
            ready()
            tasks.start_soon(Watchdog(paths.socket).run)
            log.info(
                "manager %s of fleet %s is ready at %s; version %s",
                config.name, role.authority.fleet_id, ", ".join(listening), __version__,
            )  # fmt: skip
            _warn_of_root("manager")
            tasks.start_soon(underneath.report)
            if began is not None:
                await role.view.telemetry.refresh()
                began(ManagerHandle(role))
            if carriers:
                tasks.start_soon(beacon_for(role, carriers).run)
        tasks.cancel_scope.cancel()


def _store(config: ManagerConfig, paths: Paths, *, accept_loss: bool) -> SqliteStore:
    from .store.outputs import OutputBounds
    from .store.sqlite import Bounds, SqliteStore

    low_water = config.store.low_water_mb * MIB
    outputs = OutputBounds(config.tasks.max_output, config.retention.output_mb * MIB)
    store = SqliteStore(
        paths.database, ballast=config.store.ballast, low_water=low_water, bounds=Bounds(outputs=outputs)
    )
    store.accept_loss(accept_loss)
    return store


async def worker(
    config: WorkerConfig,
    paths: Paths,
    invite: str | None,
    began: Began | None = None,
    origins: Mapping[str, str] | None = None,
    feed: Feed | None = None,
) -> None:
    """A worker, until its manager ends it, or a signal, or the handle that `began` is given.

    With an invite it joins first. `feed`: what its handle gives out goes on there.
    """
    from .net.carriers import approach_of
    from .net.security.identity import load
    from .roles.signals import stop_on_signals
    from .roles.spool import Spool
    from .roles.worker import Worker

    descriptors.raise_limit(descriptors.WORKER)
    with OneWorker(private_directory(paths.identity("worker").parent) / "worker.lock"):
        kinds = await _loaded_kinds(config, paths)
        run_dir = await _cleared(private_directory(paths.runtime / "tm-worker"))
        approach = approach_of("worker", config.zerotier, paths)
        if invite is not None:
            await _join(invite, config, paths, approach)
        role: list[Worker] = []

        def report(task: int, attempt: int, fraction: float | None, note: str, output: bytes) -> None:
            role[0].report(task, attempt, fraction, note, output)

        runtimes = _runtimes(config, kinds, report, run_dir)
        spool = Spool(paths.spool, config.spool.max_mb * MIB)
        identity = load(paths.identity("worker"), "worker")
        finder = _finder(config, identity)
        dial = _dialling(role, approach, finder)
        role.append(Worker(config, identity, kinds.announce(), runtimes, spool, dial=dial))
        _warn_of_root("worker")
        runtimes.tell(lambda _: role[0].change_kinds(kinds.announce(), kinds.broken))
        async with approach, anyio.create_task_group() as tasks:
            if began is None:
                tasks.start_soon(stop_on_signals, role[0].stop)
            else:
                tasks.start_soon(_handle(role[0], origins or {}, paths, approach, feed, began).keep)
            tasks.start_soon(approach.tend)
            tasks.start_soon(runtimes.watch)
            if finder is not None:
                tasks.start_soon(finder.run)
            await role[0].run()
            tasks.cancel_scope.cancel()
        spool.close()


def _warn_of_root(role: str) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        more = ", and so does every task" if role == "worker" else ""
        log.warning("this %s runs as root%s: a user of its own who has this home is enough", role, more)


def _handle(
    role: Worker,
    origins: Mapping[str, str],
    paths: Paths,
    approach: Approach,
    feed: Feed | None,
    began: Began,
) -> WorkerHandle:
    """The handle of a worker, which is told."""
    from .roles.checkup import Checkup
    from .roles.worker_handle import WorkerHandle

    handle = WorkerHandle(role, origins, Checkup(paths, approach.look, "worker"), feed)
    began(handle)
    return handle


def found_kinds(config: WorkerConfig, paths: Paths) -> Registry:
    """The kinds that a worker with these settings offers, not loaded yet."""
    from .runtimes.registry import Registry

    dropped_in = [paths.kinds] if paths.kinds.is_dir() else []
    folders = [*dropped_in, *map(Path, config.kinds.paths)]
    limits, given = limits_of(config.limits), given_of(config.kinds)
    return Registry.find(config.kinds.allow, folders, config.kinds.runtimes, limits, given)


async def _loaded_kinds(config: WorkerConfig, paths: Paths) -> Registry:
    """The same, loaded as far as they are to run in this process."""
    loops.runs_foreign_code("a worker's kinds")
    kinds = await anyio.to_thread.run_sync(found_kinds, config, paths)
    looks = await anyio.to_thread.run_sync(kinds.look, kinds.names_known())
    kinds.install(looks)
    for name, why in kinds.broken.items():
        log.warning("kind %s is disabled: %s", name, why)
    return kinds


def _runtimes(config: WorkerConfig, kinds: Registry, report: Report, run_dir: Path) -> Runtimes:
    """All that run the tasks of a worker."""
    from .runtimes.runner import Runtimes

    limits, given = limits_of(config.limits), given_of(config.kinds)
    return Runtimes(kinds, config.slots, report, limits, run_dir, given=given)


async def _cleared(run_dir: Path) -> Path:
    """The same directory, when what an earlier run left behind is ended."""
    from .runtimes.leftovers import kill_leftovers
    from .runtimes.runner import CHILDREN

    killed = await anyio.to_thread.run_sync(kill_leftovers, run_dir / CHILDREN)
    if killed:
        log.warning("left over from an earlier run and ended: %s", count(killed, "process", "processes"))
    return run_dir


def _finder(config: WorkerConfig, identity: Identity) -> Finder | None:
    """Looks for managers besides the known addresses, if this worker's operator wants that."""
    if not config.discovery.enabled:
        return None
    from .roles.nearby import carriers_for, finder_for

    return finder_for(identity, carriers_for(config.discovery, identity.endpoints))


def _dialling(role: Sequence[Worker], approach: Approach, finder: Finder | None) -> Dial:
    """Dials what the worker knows, and what the finder finds; the worker is there when it is called."""

    def known() -> list[Address]:
        return role[0].identity.addresses

    async def reach(addresses: Sequence[Address], fresh: bool) -> Connected:
        return await approach.connect(role[0].identity, addresses, fresh=fresh)

    async def dial(fresh: bool) -> Connected:
        return await reach(known(), fresh)

    if finder is None:
        return dial
    from .roles.nearby import searching

    return searching(known, reach, finder)


async def _join(text: str, config: WorkerConfig, paths: Paths, approach: Approach) -> None:
    """Become a member, unless this machine is a welcome one of that fleet already.

    So a service that is always started with the same invite joins once. One that was revoked joins anew.
    """
    from .net.security.invites import decode

    invite = decode(text, 0.0)  # a member that starts again may well come with an invite that has expired
    if invite.role != "worker":
        raise UsageError(
            f"this invite is for a {invite.role}, not for a worker: make one with `taskmessenger invite`"
        )
    if await _is_member(invite, paths, approach):
        log.info("this machine is a member of that fleet already: the invite is not used")
        return
    invite = decode(text, time())
    size = count(os.cpu_count() or 1, "processor")
    inventory = f"{platform.system()} {platform.machine()}, {size}, version {__version__}"
    identity = await approach.join(invite, config.name, paths.identity(invite.role), inventory)
    log.info("joined %s as %s", identity.manager_name, identity.peer_id)


async def _is_member(invite: Invite, paths: Paths, approach: Approach) -> bool:
    """Whether the manager that made the invite knows us; when it cannot be asked, what our files say."""
    from .net.security.certificates import key_hash, parse
    from .net.security.identity import is_joined, load

    folder = paths.identity(invite.role)
    if not is_joined(folder):
        return False
    try:
        identity = load(folder, invite.role)
        if key_hash(parse(identity.ca_der)) != invite.ca_hash:
            return False
        connected = await approach.connect(identity, identity.addresses)
    except (Unreachable, NotApproved):
        return True
    except (Refused, ConfigError):
        return False
    await connected.session.aclose()
    return True


def given_of(kinds: Kinds) -> Given:
    """What tasks in processes of their own are given of the worker's surroundings.

    Raises:
        ConfigError: the directory is not there.
    """
    from .runtimes.spawn import Given

    directory = str(expanded(kinds.directory)) if kinds.directory else ""
    if directory and not Path(directory).is_dir():
        raise ConfigError(f"kinds.directory: {directory} is no directory: make it, or leave it empty")
    return Given(kinds.environment, kinds.home == "worker", directory)


def limits_of(given: JobLimits) -> Limits:
    """What a child process may use, in the units of the system."""
    from .runtimes.limits import Limits

    def in_bytes(mib: int | None) -> int | None:
        return None if mib is None else mib * MIB

    return Limits(
        memory=in_bytes(given.memory_mb),
        cpu_seconds=given.cpu_seconds,
        open_files=given.files,
        processes=given.processes,
        file_bytes=in_bytes(given.file_size_mb),
        niceness=given.niceness,
        import_seconds=given.import_seconds,
    )
