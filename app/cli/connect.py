"""How a command reaches the manager: by the local socket, or as a member from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .. import loops
from ..core.errors import Unreachable
from ..locks import is_starting
from ..paths import Paths, find

if TYPE_CHECKING:
    from ..net.approach import Approach
    from ..net.client import Connected
    from ..remote import Remote

MEMBERS: Final = ("operator", "client")
"""Identities that a command may use where no manager runs, strongest first."""
GRACE: Final = 1.0
"""Seconds for a manager that was started in the line before, with `&`, to say that it is on its way."""
START_SECONDS: Final = 60.0
"""For a manager that has said so. One that has many open tasks reads them before it answers."""
POLL_SECONDS: Final = 0.05
_T = TypeVar("_T")


def dialler(paths: Paths, grace: float = 0.0) -> Callable[[], Awaitable[Connected]]:
    """Dials the manager of this user on this machine; else the one whose fleet this user has joined.

    One that is just starting is waited for; `grace`: seconds within which that has to show, the first time.

    Raises:
        Unreachable: neither is there.
    """
    approaches: dict[str, Approach] = {}
    graces = [grace]

    async def dial() -> Connected:
        if not (paths.socket.exists() or is_starting(paths.starting)):
            for role in MEMBERS:
                # Asked first like this: whoever reaches the local socket needs no cryptography to be loaded.
                if paths.identity(role).is_dir():
                    member = await _as_member(paths, role, approaches)
                    if member is not None:
                        return member
        try:
            return await _connect_here(paths, graces.pop() if graces else 0.0)
        except Unreachable as error:
            raise Unreachable(
                "no manager of yours runs here: start one with `taskmessenger --role manager --no-ui`,"
                " or join one elsewhere with `taskmessenger join`"
            ) from error

    return dial


async def _connect_here(paths: Paths, grace: float) -> Connected:
    """A session with the manager that runs here, or is just starting."""
    import anyio

    from ..net.client import connect_locally

    begun = anyio.current_time()
    while True:
        on_its_way = is_starting(paths.starting)  # asked first: it says so until it can be reached
        try:
            return await connect_locally(paths.socket)
        except Unreachable:
            if anyio.current_time() - begun >= (START_SECONDS if on_its_way else grace):
                raise
        await anyio.sleep(POLL_SECONDS)


async def _as_member(paths: Paths, role: str, approaches: dict[str, Approach]) -> Connected | None:
    """A session with the manager whose fleet this user has joined in this role, if it has."""
    from ..net.carriers import approach_for_a_command
    from ..net.security.identity import is_joined, load

    if not is_joined(paths.identity(role)):
        return None
    identity = load(paths.identity(role), role)
    if role not in approaches:
        approaches[role] = approach_for_a_command(role, paths)
    return await approaches[role].connect(identity, identity.addresses)


@asynccontextmanager
async def manager(patience: float = 0.0, grace: float | None = None) -> AsyncIterator[Remote]:
    """The manager, for as long as the block lasts."""
    from ..remote import attach

    async with attach(dialler(find(), GRACE if grace is None else grace), patience=patience) as remote:
        yield remote


def run(main: Callable[..., Coroutine[Any, Any, _T]], *arguments: object) -> _T:
    """Run one asynchronous command to its end.

    Raises:
        Told: a signal ended it.
    """
    from .told import interruptible

    async def to_its_end() -> _T:
        with interruptible():
            return await main(*arguments)

    return loops.run(to_its_end)
