"""The dialling end: reach a manager, recognise it, be recognised, or join its fleet.

Several endpoints are tried side by side, each a moment after the one before. They may all lead to the same
manager, so only one attempt at a time says who it is: a second session would take the place of the first, and
a second join would use the invite up. What is said once a session stands is the business of whoever asked.
"""

from __future__ import annotations

import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from anyio.abc import SocketAttribute

from .. import __version__
from ..core.errors import (
    ConfigError,
    InviteError,
    NotApproved,
    PeerError,
    Refused,
    TaskMessengerError,
    TimedOut,
    Unreachable,
    by_code,
)
from ..core.text import printable
from .address import Address
from .messages import (
    OLDEST,
    PROTOCOL,
    AuthorityIs,
    Hello,
    Join,
    Joined,
    Message,
    Refusal,
    WantAuthority,
    Welcome,
)
from .protocol import Wire
from .session import Ended, Session
from .transport import Prepare, nothing_to_prepare, transport_for

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from .security.enrol import EnrolGranted
    from .security.identity import Identity
    from .security.invites import Invite
    from .security.tls import SecureStream

log = logging.getLogger(__name__)

STAGGER_SECONDS: Final = 0.25
"""Head start of one endpoint over the next."""
MAX_TTL: Final = 10 * 365 * 86400.0
"""Seconds of a lease that a worker believes in."""
MAX_REASON: Final = 1_000
"""Characters of a refusal that are shown."""
INSTANCE: Final = secrets.token_bytes(16)
"""Tells this process from any other with the same identity."""
_local_marks: Final[dict[Path, bytes]] = {}
"""By socket: the mark of the last welcome there, for as long as this process lasts."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Connected:
    """A session that stands."""

    session: Session
    welcome: Welcome
    address: Address


class _Gate:
    """Lets one attempt at a time through, and none after one has succeeded."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._won = False

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """For the part of an attempt that must not happen twice. A block that ends well is the last one."""
        async with self._lock:
            if self._won:
                await anyio.sleep_forever()  # the winner is about to cancel us
            yield
            self._won = True


async def connect(
    identity: Identity,
    addresses: Sequence[Address],
    *,
    fresh: bool = True,
    prepare: Prepare = nothing_to_prepare,
) -> Connected:
    """A session with the manager of this member's fleet.

    Args:
        identity: who we are.
        addresses: where the manager may be; all are tried, each a moment after the one before.
        fresh: whether this process has never had a session.
        prepare: starts what an address needs before it can be dialled.

    Raises:
        Unreachable: nobody answers at any address. Refused: the manager does not want us, or is not ours.
        NotApproved: an operator has to approve us first; says our fingerprint, as this machine knows it.
        ConfigError: the files of this member cannot be used.
    """
    from .security import marks
    from .security.tls import client_context

    try:
        context = client_context(identity)
    except OSError as error:
        raise ConfigError(
            f"{identity.key_path}: cannot be used ({error.strerror or error}): join again with a new invite"
        ) from error
    gate = _Gate()

    async def attempt(address: Address) -> Connected:
        session, _, carrier = await _open(address, context, prepare)
        mark = marks.read(identity.folder)
        hello = Hello(OLDEST, PROTOCOL, identity.role, __version__, INSTANCE, fresh, carrier, mark)
        try:
            async with gate.alone():
                return await _introduce(session, hello, address)
        except BaseException:
            await _drop(session)
            raise

    try:
        connected = await _first(attempt, addresses)
    except NotApproved as error:
        raise NotApproved(identity.waits) from error
    if identity.role != "worker":  # a worker has to forget first what it keeps of another epoch
        marks.keep(identity.folder, connected.welcome.mark)
    return connected


async def connect_locally(path: Path) -> Connected:
    """A session as operator, with the manager of this user on this machine.

    Raises:
        Unreachable: none runs here. Refused: somebody else's answers; nothing was said.
    """
    address = Address("unix", path=str(path))
    stream = await _dial_locally(address, path)
    session = Session(stream, Wire("greeter", anyio.current_time()))
    hello = Hello(OLDEST, PROTOCOL, "operator", __version__, INSTANCE, mark=_local_marks.get(path, b""))
    try:
        connected = await _introduce(session, hello, address)
    except BaseException:
        await _drop(session)
        raise
    _local_marks[path] = connected.welcome.mark
    return connected


async def _dial_locally(address: Address, path: Path) -> ByteStream:
    from .security.local import check_answering, check_place, peer_uid

    with suppress(FileNotFoundError):  # nobody listens either
        check_place(path)
    stream = await transport_for(address).dial(address)
    try:
        uid = peer_uid(stream.extra(SocketAttribute.raw_socket))  # noqa: S610  no Django
        check_answering(uid, path)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise
    return stream


async def join(
    invite: Invite,
    name: str,
    folder: Path,
    inventory: str = "",
    *,
    prepare: Prepare = nothing_to_prepare,
) -> Identity:
    """Become a member with an invite; the new identity is kept in `folder`.

    The secret leaves this machine only after the other side has shown that it is the manager which made the
    invite, and to one endpoint at a time.

    Raises:
        Unreachable: nobody answers at any of the invite's endpoints.
        Refused: it is another manager. InviteError: it says no, and why; no other endpoint is asked then.
    """
    from .security.endpoints import address_of
    from .security.enrol import Joining
    from .security.identity import new_key
    from .security.tls import join_context, peer_certificate

    joining = Joining(invite=invite, key_pem=new_key(), name=name, inventory=inventory)
    gate = _Gate()

    async def attempt(address: Address) -> Joined:
        session, stream, carrier = await _open(address, join_context(), prepare)
        try:
            await session.say(WantAuthority(OLDEST, PROTOCOL, carrier))
            shown = _expect(await session.hear(), AuthorityIs)
            leaf = peer_certificate(stream)
            async with gate.alone():
                request = joining.request(leaf, shown.certificate, time())
                await session.say(
                    Join(request.invite_id, request.secret, request.csr, request.name, request.inventory)
                )
                return _expect(await session.hear(), Joined)
        finally:
            await _drop(session)

    granted = await _first(attempt, [address_of(endpoint) for endpoint in invite.endpoints])
    return joining.accept(_membership(granted), folder)


def _membership(granted: Joined) -> EnrolGranted:
    from .security.enrol import EnrolGranted

    return EnrolGranted(
        certificate=granted.certificate,
        ca=granted.authority,
        fleet_id=granted.fleet,
        peer_id=granted.peer,
        role=granted.role,
        manager_name=granted.manager,
    )


async def _introduce(session: Session, hello: Hello, address: Address) -> Connected:
    await session.say(hello)
    welcome = _expect(await session.hear(), Welcome)
    if not (0 < welcome.heartbeat < welcome.dead_after <= welcome.lease_ttl <= MAX_TTL):
        raise PeerError(f"the manager at {address} asks for times that make no sense")
    session.wire.establish(
        f"manager to {hello.role}",
        heartbeat=welcome.heartbeat,
        dead_after=welcome.dead_after,
        now=anyio.current_time(),
    )
    return Connected(session, welcome, address)


async def _open(
    address: Address, context: ssl.SSLContext, prepare: Prepare
) -> tuple[Session, SecureStream, str]:
    """A session in which nothing was said, the stream under it, and who we are to what carries it."""
    from .security.tls import wrap_client

    prepared = await prepare(address)
    for left in reversed(range(prepared.dials)):
        try:
            stream = await _dial(address, prepared.dial_seconds)
            break
        except Unreachable:
            if not left:
                raise
    secure = await wrap_client(stream, context, str(address))
    return Session(secure, Wire("greeter", anyio.current_time())), secure, prepared.carrier


async def _dial(address: Address, seconds: float) -> ByteStream:
    try:
        with anyio.fail_after(seconds):
            return await transport_for(address).dial(address)
    except TimeoutError as error:
        raise Unreachable(f"{address} does not answer within {seconds:g} s") from error


def _expect(message: Message, wanted: type[_T]) -> _T:
    """The answer that was hoped for; or the other side's reason, raised again.

    Raises:
        Refused, Conflict, Overloaded ...: what the other side says.
    """
    if isinstance(message, wanted):
        return message
    if isinstance(message, Refusal):
        raise by_code(message.code)(printable(message.message, MAX_REASON))
    raise PeerError(f"the manager answered `{type(message).__name__}` instead of `{wanted.__name__}`")


async def _first(attempt: Callable[[Address], Coroutine[Any, Any, _T]], addresses: Sequence[Address]) -> _T:
    """The first success; when all fail, the error that says most: a refusal before silence."""
    if not addresses:
        raise Unreachable("no address of the manager is known that this machine could dial")
    found: list[_T] = []
    errors: list[TaskMessengerError] = []

    async def try_one(address: Address, place: int, scope: anyio.CancelScope) -> None:
        await anyio.sleep(place * STAGGER_SECONDS)
        try:
            result = await attempt(address)
        except Ended as error:
            errors.append(Unreachable(f"{address} closed the conversation: {printable(str(error))}"))
        except InviteError as error:
            errors.append(error)
            scope.cancel()  # it is the right manager, and it has decided
        except TaskMessengerError as error:
            errors.append(error)
        else:
            if found:
                await _discard(result)
            else:
                found.append(result)
                scope.cancel()

    async with anyio.create_task_group() as tasks:
        for place, address in enumerate(addresses):
            tasks.start_soon(try_one, address, place, tasks.cancel_scope)
    if found:
        return found[0]
    raise min(errors, key=_says_least)


async def _discard(result: object) -> None:
    if isinstance(result, Connected):
        await _drop(result.session)


async def _drop(session: Session) -> None:
    """Close it, even while this attempt is being cancelled."""
    with anyio.CancelScope(shield=True):
        await session.aclose()


def _says_least(error: TaskMessengerError) -> int:
    if isinstance(error, Refused):
        return 0
    return 2 if isinstance(error, Unreachable | TimedOut) else 1
