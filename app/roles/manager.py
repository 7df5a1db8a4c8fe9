"""The manager: takes tasks, keeps them safe, hands them to workers. Joins the core to store and network."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from time import time
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup, TaskStatus
from msgspec.structs import replace

from .. import __version__
from ..config.model import ManagerConfig
from ..core import stimuli as s
from ..core.blob import error_blob
from ..core.errors import (
    NotFound,
    NothingTaken,
    Overloaded,
    StoreBusy,
    StoreFull,
    TaskMessengerError,
    TimedOut,
    no_task,
)
from ..core.pool import Patience, Pool
from ..core.ports import TaskStore
from ..core.retry import Backoff
from ..core.text import count
from ..handle import InviteRow, Outcome, Roster, TaskReader, WorkerRow
from ..net import messages as m
from ..net.address import Address
from ..net.security.authority import Authority
from ..net.security.enrol import Registrar, Terms, create_invite
from ..net.security.invites import encode
from ..net.security.tls import server_context
from ..net.transport import Carriers, Listener, NoCarriers, transport_for
from ..paths import Paths
from .acts import in_slices, operate
from .audit import ITSELF, Audit, AuditStore
from .care import Care, Looked
from .copies import Archive, Copies
from .deliver import Delivery
from .desk import Desk
from .door import Door
from .endpoints import advertised, endpoints_for
from .entrances import Entrances
from .lifetime import Lifetime
from .membership import Membership
from .places import Places, allowed
from .sessions import Sessions
from .settings_past import record_changes
from .view import ManagerView
from .writer import Writer

log = logging.getLogger(__name__)

PRUNE_BATCH: Final = 1_000
"""Ended tasks forgotten in one transaction, so that commits in between never wait long."""
FAREWELL_SECONDS: Final = 2.0
"""For the last words to leave when the manager stops."""
RENEW_SECONDS: Final = 6 * 3600.0
"""How often the manager's own certificate is looked at."""
DAY: Final = 86_400.0
DAMAGED: Final = error_blob("damaged", "its payload on the manager's disk is damaged: submit it again")


class Store(TaskStore, TaskReader, Roster, Archive, AuditStore, Looked, Protocol):
    """All that a manager keeps on disk."""

    def low_space(self) -> bool: ...


class Manager:
    """One manager role. `run` serves until `stop`, or until the disk fails."""

    def __init__(
        self, config: ManagerConfig, paths: Paths, store: Store, carriers: Carriers | None = None
    ) -> None:
        self.config, self.paths, self.store = config, paths, store
        self._carriers = carriers or NoCarriers()
        tasks, leases = config.tasks, config.leases
        pool = Pool(
            lease_ttl=leases.ttl,
            max_crashes=tasks.max_crashes,
            max_pending=tasks.max_pending,
            aging=tasks.aging,
            backoff=Backoff(
                first=tasks.backoff.first,
                factor=tasks.backoff.factor,
                ceiling=tasks.backoff.ceiling,
                jitter=tasks.backoff.jitter,
            ),
            rng=Random(),  # noqa: S311 - spreads retries, guards nothing
        )
        pool.patience = Patience(leases.start_within, leases.grace)
        self.delivery = Delivery(store.payloads, self._start, config.limits.outbox)
        self.writer = Writer(pool, store, self.delivery.act)
        self.delivery.on_damaged = self._end_damaged
        self.authority = Authority.load_or_create(paths.authority, config.name, time())
        self.registrar = Registrar(
            authority=self.authority, roster=store, days=config.security.certificate_days
        )
        self.desk = Desk(
            self.writer, store, store, self.delivery, name=config.name, fleet=self.authority.fleet_id
        )
        self.view = ManagerView(config, self.writer, self.desk, self.delivery)
        self.max_payload, self.max_attempts = tasks.max_payload, tasks.max_attempts
        self.buffers = config.limits.buffers
        self._tls = server_context(self.authority.ca_pem, self.authority.issue_manager(time()))
        self._tasks: TaskGroup | None = None
        self._listening: tuple[Address, ...] = ()
        self._sessions = Sessions(self.writer, self.delivery, self.desk, self.registrar, self)
        self.copies, self.audit = Copies(store, self.authority), Audit(store)
        self.care = Care(store)
        self.lifetime = Lifetime(store, self.writer, self.registrar, self.audit, self._sessions.part)
        self.view.telemetry.lookout.offenders = self._sessions.offenders
        self.view.telemetry.lookout.data = lambda: self.care.found or self.lifetime.put_back
        self.membership = Membership(store, self._sessions.here, self.view.telemetry.members_changed)
        self._stopping = anyio.Event()
        self._stop_now = False
        self._deadline = config.drain.deadline

    async def run(self, *, task_status: TaskStatus[tuple[str, ...]] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve. Reports the addresses it listens on once it is ready.

        Raises:
            StoreLocked, StoreTooNew, StoreFailed: the database. Conflict, UsageError: an address.
        """
        found = await self.store.open()
        try:
            self.writer.pool.recover(found, anyio.current_time(), time())
            self.lifetime.begin(found.life)
            await self.audit.record(ITSELF, "start", __version__)
            await record_changes(self.audit, self.store, found.settings, self.view.settings(), ITSELF)
            async with AsyncExitStack() as stack:
                wanted = [Address.parse(text) for text in self.config.transport.listen]
                entrances = await stack.enter_async_context(Entrances(self._carriers, self._listens_at))
                await entrances.open(wanted)
                socket = Address("unix", path=str(self.paths.socket))
                local = await transport_for(socket).listen(socket)
                stack.push_async_callback(local.aclose)
                async with anyio.create_task_group() as tasks:
                    self._tasks = tasks
                    self._serve(tasks, entrances, local)
                    self.desk.started_at = time()
                    task_status.started(self.desk.listening)
                    await self._stopping.wait()
                    await self._drain(entrances, local)
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self.audit.close()
                await self.store.close()

    def stop(self, deadline: float | None = None) -> None:
        """Leave in good order, giving running tasks until the deadline. A second call: leave now.

        `deadline`: seconds, instead of those that are set.
        """
        if deadline is not None:
            self._deadline = max(0.0, deadline)
        if self._stopping.is_set():
            self._stop_now = True
        self._stopping.set()

    def _serve(self, tasks: TaskGroup, entrances: Entrances, local: Listener) -> None:
        config = self.config
        door = Door(
            config=config,
            lifetime=self.lifetime,
            tls=self._tls,
            converse=self._sessions.converse,
            carriers=self._carriers,
            places=Places(allowed(config.limits)),
            conduct=self._sessions.conduct,
        )
        tasks.start_soon(self.writer.run)
        tasks.start_soon(self._prune)
        tasks.start_soon(self.audit.keep)
        tasks.start_soon(self.care.keep)
        tasks.start_soon(self._renew_certificate)
        tasks.start_soon(self._sessions.expire)
        tasks.start_soon(self.membership.keep)
        tasks.start_soon(self.view.telemetry.run)
        entrances.serve(tasks, door.come_in)
        tasks.start_soon(local.serve, door.come_in_locally, tasks)

    def _listens_at(self, addresses: Sequence[Address]) -> None:
        self._listening = tuple(addresses)
        self.desk.listening = tuple(map(str, addresses))

    def _start(self, function: object, *arguments: object) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(function, *arguments)  # type: ignore[arg-type]

    # ---- what sessions ask for besides tasks (client_link.Office) -----------------------------------------

    def accepting(self) -> None:
        """Raise the reason why nothing new is accepted now."""
        if self._stopping.is_set():
            raise Overloaded("the manager is stopping: submit again when it is back")
        if self.writer.degraded:
            raise NothingTaken(self.writer.degraded)
        if self.store.low_space():
            raise NothingTaken("the manager's disk is nearly full: free some space there, then submit again")

    async def make_invite(self, wish: m.MakeInvite) -> tuple[str, InviteRow]:
        """A new invite; its text is seen this once."""
        given = [Address.parse(text) for text in wish.endpoints or self.config.transport.advertise]
        addresses = given if wish.endpoints else advertised(self._listening, given)
        security = self.config.security
        uses, ttl = wish.uses or security.invite_uses, wish.ttl or security.invite_ttl
        invite, row = create_invite(
            self.authority.key_hash,
            endpoints_for(addresses),
            wish.role,
            uses,
            ttl,
            time(),
            Terms(approve=wish.approve, ephemeral=wish.ephemeral),
        )
        await self.store.add_invite(row)
        log.info("invite %s was made: %s, %s, %d s", row.id, row.role, count(uses, "use"), ttl)
        return encode(invite), replace(row, secret_hash=b"")

    async def revoke_invite(self, invite_id: str) -> None:
        """Nobody may use it any more."""
        if not await self.store.revoke_invite(invite_id, time()):
            raise NotFound(
                f"there is no invite {invite_id} that could be revoked: see `taskmessenger invite ls`"
            )
        log.info("invite %s was revoked", invite_id)

    async def invites(self) -> list[InviteRow]:
        """Without their hashes: nobody needs them."""
        return [replace(row, secret_hash=b"") for row in await self.store.invites()]

    async def approve(self, peer_id: str) -> None:
        """Let a member in that waits for it."""
        await self.membership.approve(peer_id)

    async def member_left(self, peer_id: str) -> None:
        """It said goodbye for good."""
        await self.membership.left(peer_id)

    async def revoke(self, peer_id: str) -> None:
        """Trust ends now: connections are closed, leases are given to others."""
        if not await self.store.revoke_peer(peer_id, time()):
            raise NotFound(f"{peer_id} is not a member, or was revoked before: see `taskmessenger worker ls`")
        log.warning("%s was revoked", peer_id)
        self.writer.inbox.put_nowait(s.WorkerRevoked(peer_id))
        self._sessions.revoked(peer_id)
        self.view.telemetry.members_changed()

    async def workers(self) -> list[WorkerRow]:
        """Everyone who may run tasks."""
        return await self.desk.workers()

    async def outcomes(self, ids: Sequence[int], most: int | None = None) -> list[Outcome]:
        """Of these tasks, those that have ended; up to about `most` bytes of results."""
        return await self.store.outcomes(ids, most)

    async def retry(self, ids: Sequence[int]) -> list[int]:
        """Tasks that failed for good get another life; answers with those that did."""
        self.accepting()
        for part in in_slices(ids):
            known = {row[0] for row in await self.store.task_rows(part)}
            unknown = next((task_id for task_id in part if task_id not in known), None)
            if unknown is not None:
                raise no_task(unknown)
        parts = [await operate(self.writer, self.delivery, s.Retry(ids=part)) for part in in_slices(ids)]
        return [task_id for done in parts for task_id in done.ids]

    def _end_damaged(self, session: int, task: int, attempt: int) -> None:
        """A task whose payload the disk has lost fails for good, with that as its error."""
        end = (task, attempt, s.How.REFUSED, 0.0, DAMAGED)
        self.writer.inbox.put_nowait(s.Broke(session, [end]))

    # ---- duties -----------------------------------------------------------------------------------------

    async def _prune(self) -> None:
        """Forget tasks that ended long ago, a few at a time."""
        retention = self.config.retention
        while True:
            forgotten = PRUNE_BATCH
            while forgotten == PRUNE_BATCH:
                try:
                    before = time() - retention.days * DAY
                    forgotten = await self.writer.between(partial(self.store.prune, before, PRUNE_BATCH))
                except (StoreBusy, StoreFull, TimedOut) as error:
                    log.warning("old tasks cannot be forgotten now: %s", error)
                    break
                await anyio.sleep(0.01)
            await anyio.sleep(retention.every)

    async def _renew_certificate(self) -> None:
        """A manager that runs for years must not wake up with an expired certificate."""
        while True:
            await anyio.sleep(RENEW_SECONDS)
            try:
                self._tls.load_cert_chain(self.authority.issue_manager(time()))
            except (TaskMessengerError, OSError) as error:
                log.warning("the manager's certificate cannot be renewed now: %s", error)

    async def _drain(self, entrances: Entrances, local: Listener) -> None:
        """No new members, no new leases; what runs may end. Workers keep what they have.

        Whoever runs this manager can ask how far it is until the end, and may not come back after that.
        """
        await entrances.aclose()
        pool = self.writer.pool
        pool.stopping = True
        deadline = anyio.current_time() + self._deadline
        while any(worker.held for worker in pool.by_session.values()):
            if self._stop_now or anyio.current_time() >= deadline:
                break
            await anyio.sleep(0.05)
        await local.aclose()
        for link in list(self.delivery.links.values()):
            link.close("stopping", "the manager stops; workers keep what they have")
        with anyio.move_on_after(FAREWELL_SECONDS):
            while self.delivery.links:
                await anyio.sleep(0.02)
