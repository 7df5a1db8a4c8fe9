"""The worker: keeps a session with its manager, runs what it is leased, and loses nothing when the link goes.

The link may come and go; slots and spool stay. One task group holds it all: the slots, the flusher that sends
news in batches, a steward that looks after limits and load once a second, and the loop that keeps a session.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from time import time
from typing import Final

import anyio
from anyio.abc import TaskStatus

from ..config.model import WorkerConfig
from ..core.errors import ConfigError, Conflict, NotApproved, PeerError, Refused, TaskMessengerError
from ..core.text import printable
from ..net import messages as m
from ..net.address import Address
from ..net.client import Connected, connect
from ..net.security.certificates import Certificate, renewal_due
from ..net.security.identity import Identity, load_key, make_csr, save
from ..net.session import Ended
from ..runtimes.base import Runtime
from ..runtimes.registry import KindInfo
from .approval import Awaiting
from .controls import Controls
from .load import Load
from .outbox import Outbox
from .past import Past
from .slots import Slots, shut, stuck_in
from .spool import Spool
from .telling import tell

log = logging.getLogger(__name__)

STEWARD_SECONDS: Final = 1.0
"""Between two looks at the worker's own state, at most."""
FENCE_SHARE: Final = 0.8
"""Part of a lease after which a worker that is cut off stops using it."""
ACK_SECONDS: Final = 5.0
"""How long a worker that leaves waits for its last outcomes to be acknowledged."""
FINAL: Final = frozenset({"replaced", "refused"})
"""Goodbyes after which this process must not come back by itself."""
RENEW_SECONDS: Final = 3600.0
"""How long an answer to a request for the next certificate is waited for, at most, before asking again."""
_OFFER_CHANGE: Final = 0.2
Dial = Callable[[bool], Awaitable[Connected]]
STEADY_SECONDS: Final = 5.0
"""A session that lasted so long was a good one; after a shorter one the next try waits longer each time."""
MAX_PROGRESS_WAITING: Final = 1024 * 1024
"""Bytes that may wait to be sent before word of progress is left out."""
MAX_BROKEN: Final = 64
"""Kinds that are not offered of which the manager is told."""
MAX_DRAIN: Final = 7 * 86400.0
"""Seconds that a manager may let a worker take to leave."""


class Worker:
    """One worker role. `run` serves until `stop`, or until the manager does not want it any more."""

    def __init__(
        self,
        config: WorkerConfig,
        identity: Identity,
        kinds: Sequence[KindInfo],
        runtime: Runtime,
        spool: Spool,
        *,
        dial: Dial | None = None,
        rng: Random | None = None,
    ) -> None:
        """`dial` reaches the manager, told whether this process is new; else the identity's endpoints do."""
        self.config, self.identity, self.kinds = config, identity, kinds
        self.broken: Mapping[str, str] = {}
        self.outbox = Outbox(spool, config.spool.max_output)
        self.slots = Slots(
            runtime,
            self.outbox,
            config.slots,
            config.prefetch,
            free_stuck=config.kinds.free_stuck_slots,
        )
        self._past = Past(identity.folder, self.outbox, self.slots)
        self.connected: Connected | None = None
        self.paused = False
        """By this worker's own operator."""
        self.controls = Controls()
        self._runtime = runtime
        self._load = Load()
        self.fresh = True
        """It has never had a session."""
        self._offered: tuple[int, ...] = (-1, False, 0)
        self._stopping = anyio.Event()
        self._stop_now = anyio.Event()
        self._deadline = config.drain.deadline
        self._rng = rng or Random()  # noqa: S311 - spreads reconnects, guards nothing
        self._dial = dial or self._dial_endpoints
        self._renewal_key: bytes | None = None
        self._ask_again = 0.0  # wall clock: no request for a certificate before that
        self._last_known: tuple[float, float] | None = None
        """When the manager last knew us alive, for sure, and how long a lease lasts from then."""
        self._fenced: float | None = None
        """The moment of that kind whose leases were given up."""
        self._gone = False
        """It has said goodbye, and does not come back."""

    def stop(self, deadline: float | None = None) -> None:
        """Leave in good order, giving running tasks until the deadline. A second call: leave now."""
        if self._stopping.is_set():
            self._stop_now.set()
        if deadline is not None:
            self._deadline = deadline
        self._stopping.set()

    def pause(self) -> None:
        """Begin nothing new, and ask for nothing; what waits goes back, what runs goes on."""
        self.paused = shut(self.slots, by_operator=True)
        self.slots.give_back()
        self._offer()

    def resume(self) -> None:
        """The end of `pause`."""
        self.paused = shut(self.slots, by_operator=False)
        self._offer()

    def change_kinds(self, kinds: Sequence[KindInfo], broken: Mapping[str, str]) -> None:
        """Offer these from now on, and say why not the others; what waits for those goes back."""
        self.kinds, self.broken = kinds, broken
        self.slots.keep_kinds({kind.name for kind in kinds})
        self._offer(force=True)

    def disconnect(self) -> None:
        """No session until it is wanted again; what runs goes on while its leases last."""
        self.controls.part()
        if self.connected is not None:
            self.connected.session.close("disconnected", "disconnected by its operator")

    def report(self, task: int, attempt: int, fraction: float | None, note: str, output: bytes) -> None:
        """Progress of a running task, as the runtimes report it; left out where the link is behind."""
        self.controls.hear(task, attempt, fraction, note, output)
        start, connected = self.outbox.outputs.hear(task, attempt, output) if output else 0, self.connected
        if connected is not None and connected.session.wire.pending <= MAX_PROGRESS_WAITING:
            connected.session.send(m.Progress(task, attempt, fraction, note, output, start))

    async def run(self, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve. Reports the manager's name once connected for the first time.

        Raises:
            Refused: the manager does not want this worker. Conflict: another process is this worker.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.slots.run)
                tasks.start_soon(tell, self.outbox, self.slots, self._offer)
                tasks.start_soon(self._steward)
                tasks.start_soon(self._keep_session, task_status)
                await self._stopping.wait()
                await self._drain()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            known, rest = group.split(TaskMessengerError)
            if rest is not None or known is None:
                raise
            raise _one_of(known) from None
        finally:
            with anyio.CancelScope(shield=True):
                await self._runtime.aclose()

    # ---- the session ------------------------------------------------------------------------------------

    async def _keep_session(self, task_status: TaskStatus[str]) -> None:
        """Connect, serve, and again, for as long as it takes. Refusals that cannot pass end the worker."""
        failures, told, awaiting = 0, False, Awaiting(self._rng)
        while True:
            await self.controls.wanted()
            try:
                connected = await self._dial(self.fresh)
            except NotApproved:
                await awaiting.again(self.identity, self.controls)
                continue
            except Refused:
                raise
            except TaskMessengerError as error:
                failures += 1
                wait = self._pause(failures)
                self.controls.reason = str(error)
                log.warning("no session: %s; next try in %.1f s", error, wait)
                await anyio.sleep(wait)
                continue
            if not told:
                told = True
                task_status.started(connected.welcome.manager)
            since = anyio.current_time()
            await self._serve(connected)
            if self._gone:
                await anyio.sleep_forever()
            steady = anyio.current_time() - since >= STEADY_SECONDS
            failures = 1 if steady else failures + 1
            await anyio.sleep(self._rng.random() * self._pause(failures))

    async def _dial_endpoints(self, fresh: bool) -> Connected:
        addresses = [Address.parse(text) for text in self.identity.endpoints]
        return await connect(self.identity, addresses, fresh=fresh)

    def _pause(self, failures: int) -> float:
        config = self.config.reconnect
        wait = min(config.ceiling, config.first * 2.0 ** min(failures - 1, 16))
        return wait * (1 + config.jitter * (2 * self._rng.random() - 1))

    async def _serve(self, connected: Connected) -> None:
        """One session, from its first word to its end."""
        session, welcome = connected.session, connected.welcome
        log.info("connected to %s at %s as %s", welcome.manager, connected.address, welcome.peer)
        self.fresh = False
        self.connected = connected
        self._renewal_key, self._ask_again = None, 0.0  # this link does not answer what the last was asked
        self.slots.paused.clear()
        self._past.compare(welcome)
        self.outbox.flush()
        self.outbox.send = session.send
        self._offer(force=True)
        self.outbox.resume(self.slots.leases, self.slots.begun)
        try:
            await session.run(self._handle)
        except Ended as error:
            text = self.controls.lost(printable(str(error)))
            log.warning("the session with %s ended: %s", printable(welcome.manager), text)
            if error.reason in FINAL:
                raise (Conflict if error.reason == "replaced" else Refused)(text) from error
        except TaskMessengerError as error:
            text = self.controls.lost(printable(str(error)))
            log.warning("the link to %s is lost: %s", printable(welcome.manager), text)
        except Exception:  # the border of a session: a bug must not take down what runs, nor the results kept
            log.exception("serving %s failed", printable(welcome.manager))
        finally:
            self._last_known = (session.wire.acknowledged, welcome.lease_ttl)
            self.outbox.send = None
            self.connected = None
            self.controls.carried(session.wire)
            await session.aclose()

    async def _handle(self, messages: list[m.Message]) -> None:
        for message in messages:
            match message:
                case m.Assign():
                    for kind, leases in message.leases:
                        self.slots.assign(kind, leases)
                case m.Ack():
                    _same_length(message.tasks, message.attempts)
                    self.outbox.acknowledged(message.tasks, message.attempts)
                case m.EndLeases():
                    _same_length(message.tasks, message.attempts)
                    leases_to_end = list(zip(message.tasks, message.attempts, strict=True))
                    self.outbox.acknowledged(message.tasks, message.attempts)
                    self.slots.end(leases_to_end)
                case m.Steer():
                    self._steer(message)
                case m.Renewed():
                    self._renewed(message.certificate)
                case _:
                    pass

    def _steer(self, message: m.Steer) -> None:
        match message.verb:
            case "pause":
                self.slots.pause(message.scope)
            case "resume":
                self.slots.resume(message.scope)
            case "drain" if not self._stopping.is_set():
                self.stop(min(max(0.0, message.deadline), MAX_DRAIN))
            case "drain":
                pass  # twice would mean: at once
            case _:
                log.warning(
                    "the manager asks for `%s`, which this version does not know", printable(message.verb)
                )
        self.outbox.flush()
        if self.outbox.send is not None:
            self.outbox.send(m.Steered(message.sequence))

    def _offer(self, *, force: bool = False) -> None:
        """Say what we can do, when it has changed enough to be worth a message."""
        limit, (before, *also) = self.slots.limit, self._offered
        now = [self.paused, len(self.slots.stuck)]
        changed = abs(limit - before) > _OFFER_CHANGE * max(before, 1) or (limit == 0) != (before == 0)
        if self.outbox.send is None or not (force or changed or also != now):
            return
        self._offered = (limit, *now)
        self.outbox.send(
            m.Offer(
                [kind.name for kind in self.kinds],
                [kind.name for kind in self.kinds if kind.isolated],
                self.slots.usable,
                limit,
                self.paused,
                dict(self.config.labels),
                [(kind.name, kind.description, kind.example) for kind in self.kinds] if force else [],
                list(self.broken.items())[:MAX_BROKEN],
                stuck_in(self.slots),
            )
        )

    # ---- duties -----------------------------------------------------------------------------------------

    async def _steward(self) -> None:
        """Now and then: load, limits, leases that went stale, and whether we are cut off."""
        while True:
            ttl = self._last_known[1] if self._last_known is not None else STEWARD_SECONDS
            await anyio.sleep(min(STEWARD_SECONDS, ttl * (1 - FENCE_SHARE) / 2))
            self._offer(force=self.slots.release_stale())
            connected = self.connected
            if connected is not None:
                connected.session.wire.load = self._load.sample()
                self._ask_for_renewal(connected)
                self._last_known = (connected.session.wire.acknowledged, connected.welcome.lease_ttl)
            self._fence()

    def _fence(self) -> None:
        if self._last_known is None or not (self.slots.running or self.slots.waiting):
            return
        since, ttl = self._last_known
        away = anyio.current_time() - since
        if away > FENCE_SHARE * ttl and since != self._fenced:
            self._fenced = since
            log.warning("cut off for %.0f s: the leases are about to run out, so their tasks are ended", away)
            self.slots.give_back(running=True)

    def _ask_for_renewal(self, connected: Connected) -> None:
        """When two thirds of this certificate's life are over; once on each link, and in a while again."""
        now = time()
        if now < self._ask_again or not renewal_due(self.identity.certificate, now):
            return
        life = self.identity.certificate.not_after - self.identity.certificate.not_before
        self._ask_again = now + min(RENEW_SECONDS, life / 12)
        try:
            self._renewal_key = load_key(self.identity)
        except ConfigError as error:
            log.warning("the certificate cannot be renewed: %s", error)
        else:
            connected.session.send(m.RenewMe(make_csr(self._renewal_key)))

    def _renewed(self, der: bytes) -> None:
        if self._renewal_key is None:
            return
        renewed = replace(self.identity, certificate=Certificate.of(der))
        try:
            save(renewed, self._renewal_key)
        except ConfigError as error:
            log.warning("the renewed certificate cannot be kept: %s", error)
            return
        finally:
            self._renewal_key = None
        self.identity, self._ask_again = renewed, 0.0
        log.info("the certificate was renewed")

    async def _drain(self) -> None:
        """Give back what waits, let what runs end, wait until the manager has it all, say goodbye."""
        log.info("draining: %d running, deadline %.0f s", len(self.slots.running), self._deadline)
        self.slots.leaving = True
        self.controls.leaves(len(self.slots.leases), self._deadline)
        self._offer(force=True)
        self.slots.give_back()
        with anyio.move_on_after(self._deadline):
            while self.slots.running and not self._stop_now.is_set():
                await anyio.sleep(0.02)
        if self.slots.running:
            log.warning("given back, for it did not end in time: %d", len(self.slots.running))
            self.slots.give_back(running=True)
            with anyio.move_on_after(ACK_SECONDS):
                while self.slots.running:
                    await anyio.sleep(0.02)
        self.outbox.flush()
        with anyio.move_on_after(ACK_SECONDS):
            while self.connected is not None and self.outbox.unacknowledged:
                await anyio.sleep(0.02)
        self._gone = True
        if self.connected is not None:
            self.connected.session.close("left")
            with anyio.move_on_after(ACK_SECONDS):
                while self.connected is not None:
                    await anyio.sleep(0.01)


def _same_length(tasks: list[int], attempts: list[int]) -> None:
    if len(tasks) != len(attempts):
        raise PeerError("columns of unequal length")


def _one_of(group: BaseExceptionGroup[BaseException]) -> TaskMessengerError:
    for error in group.exceptions:
        if isinstance(error, TaskMessengerError):
            return error
        if isinstance(error, BaseExceptionGroup):
            return _one_of(error)
    raise group
