"""Two nodes with one address: the newcomer takes another identity, and joins with that."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from taskmessenger.config.model import ManagerConfig, Transport
from taskmessenger.core.errors import AddressTaken
from taskmessenger.net import messages as m
from taskmessenger.net.carriers import Listening
from taskmessenger.paths import under
from taskmessenger.roles.manager import Manager
from taskmessenger.store.sqlite import SqliteStore

from tests.support.processes import READY_SECONDS, Process

pytestmark = pytest.mark.zerotier


class Crowded(Listening):
    """As if another node had the address of whoever comes first: to make two that collide takes too long."""

    def __init__(self, config: ManagerConfig, home: Path) -> None:
        super().__init__(config, under(home))
        self.unlucky = ""
        self.seen: list[str] = []

    def check(self, address: str, carrier: str) -> None:
        super().check(address, carrier)
        self.unlucky = self.unlucky or carrier
        self.seen.append(carrier)
        if carrier == self.unlucky:
            raise AddressTaken("taken")


async def test_a_worker_whose_address_is_taken_joins_as_another_node(tmp_path: Path) -> None:
    home = tmp_path / "manager"
    paths = under(home)
    config = ManagerConfig(name="lab", transport=Transport(listen=("zt://:7711",)))
    for folder in (paths.database.parent, paths.socket.parent):
        folder.mkdir(mode=0o700, parents=True)
    carriers = Crowded(config, home)
    manager = Manager(config, paths, SqliteStore(paths.database, ballast=0, low_water=0), carriers)
    async with carriers, anyio.create_task_group() as tasks:
        await tasks.start(manager.run)
        text, _ = await manager.make_invite(m.MakeInvite(0, 1, 900.0, "worker", []))
        worker = Process("worker", tmp_path / "w", ["--name", "w", "--join", "-"], tmp_path / "w.log", text)
        try:
            await anyio.to_thread.run_sync(
                lambda: worker.expect(
                    lambda: "connected to lab" in worker.said(), "connected", within=2 * READY_SECONDS
                )
            )
        finally:
            worker.kill()
        tasks.cancel_scope.cancel()
    now = (under(tmp_path / "w").node("worker") / "identity.public").read_text()
    assert carriers.seen[0] == carriers.unlucky != now
    assert set(carriers.seen[1:]) == {now}
    assert "identity of this node was renewed" in worker.said()
