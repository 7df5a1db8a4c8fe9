"""Many worker sessions in one process, as light as can be: what sessions cost a manager, not workers.

Started by `taskmessenger bench`; reads an invite on standard input, joins so many times, and answers every
lease at once with its payload as the result.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from ..config.model import WorkerZeroTier
from ..core.errors import TaskMessengerError
from ..net import messages as m
from ..net.carriers import approach_of
from ..net.client import Connected, connect, join
from ..net.security.invites import Invite, decode
from ..net.transport import Prepare
from ..paths import under

KIND: Final = "echo"
CAPACITY: Final = 4
LIMIT: Final = 1_024
"""Leases of one session: what a worker asks for that sees trivial tasks."""
SIDE_BY_SIDE: Final = 8
"""Sessions that are made at a time."""


async def swarm(text: str, sessions: int, folder: Path) -> None:
    """Join, connect and serve until cancelled."""
    invite = decode(text, time.time())
    approach = approach_of("worker", WorkerZeroTier(), under(folder))
    slots = anyio.Semaphore(SIDE_BY_SIDE)
    async with approach, anyio.create_task_group() as tasks:
        for number in range(sessions):
            await slots.acquire()
            tasks.start_soon(_one, invite, folder / str(number), slots, approach.prepare)


async def _one(invite: Invite, folder: Path, slots: anyio.Semaphore, prepare: Prepare) -> None:
    try:
        identity = await join(invite, f"swarm-{folder.name}", folder, prepare=prepare)
        connected = await connect(identity, identity.addresses, fresh=True, prepare=prepare)
    finally:
        slots.release()
    session = connected.session
    session.send(m.Offer([KIND], [], CAPACITY, LIMIT))
    session.send(m.Holding([], []))
    try:
        await session.run(partial(_answer, connected))
    except TaskMessengerError:
        return
    finally:
        await session.aclose()


async def _answer(connected: Connected, messages: list[m.Message]) -> None:
    for message in messages:
        if isinstance(message, m.Assign):
            leases = [lease for _, group in message.leases for lease in group]
            connected.session.send(
                m.Finished(
                    [task for task, _, _, _ in leases],
                    [attempt for _, attempt, _, _ in leases],
                    [payload for _, _, _, payload in leases],
                    [0.0] * len(leases),
                )
            )
        elif isinstance(message, m.Steer):
            connected.session.send(m.Steered(message.sequence))


def main() -> None:
    """`python -m taskmessenger.cli.bench_swarm SESSIONS`, the invite on standard input."""
    from .. import node

    with tempfile.TemporaryDirectory() as folder:
        node.run(swarm, sys.stdin.readline().strip(), int(sys.argv[1]), Path(folder))


if __name__ == "__main__":
    main()
