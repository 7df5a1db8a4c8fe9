"""A libzt that nobody started: answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskmessenger.net.zerotier import binding
from taskmessenger.net.zerotier.identity import Identity
from taskmessenger.net.zerotier.library import Found, Loaded

AN_IDENTITY = Identity(public=f"8056c2e21c:0:{'ab' * 64}", secret="cd" * 64)
ANOTHER = Identity(public=f"5ff51883d8:0:{'12' * 64}", secret="34" * 64)


class FakeLibzt:
    """Stands where the loaded library stands."""

    def __init__(self, node_id: str = AN_IDENTITY.node_id) -> None:
        self.node_id = int(node_id, 16)
        self.calls: list[str] = []
        self.status = binding.NETWORK_OK
        self.address = "10.147.20.5"
        self.online = 1
        self.answers: dict[str, int] = {}
        """Function to what it returns, where that is not 0."""
        self.up = False
        self.at_start: Callable[[], object] = lambda: None

    def zts_node_start(self) -> int:
        self.calls.append("zts_node_start")
        self.at_start()
        self.up = True
        return 0

    def zts_node_stop(self) -> int:
        self.calls.append("zts_node_stop")
        self.up = False
        return 0

    def zts_node_get_id(self) -> int:
        return self.node_id if self.up else 2**64 - 2

    def zts_node_is_online(self) -> int:
        return self.online if self.up else binding.ERR_SERVICE

    def zts_node_get_port(self) -> int:
        return 9993 if self.up else binding.ERR_SERVICE

    def zts_net_get_status(self, network: int) -> int:
        return self.status if self.up else binding.ERR_SERVICE

    def zts_addr_get_str(self, network: int, family: int, text: Any, length: int) -> int:
        if not self.up or self.status != binding.NETWORK_OK or not self.address:
            return binding.ERR_NO_RESULT
        text.value = self.address.encode()
        return 0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("zts_"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            return self.answers.get(name, 0)

        return call


def loaded(fake: FakeLibzt) -> Loaded:
    """As if it had been found and loaded."""
    return Loaded(library=fake, found=Found(path=Path("/fake/libzt.so"), origin="configured"), version="0")
