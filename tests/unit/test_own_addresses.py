"""Which addresses of a machine are named to others. The interfaces are made up."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
from taskmessenger.net.addresses import own_addresses

MACHINE = {
    "lo": ["127.0.0.1", "::1"],
    "eth0": ["192.168.7.20", "fe80::1%eth0", "2001:db8::7", "00:11:22:33:44:55"],
    "docker0": ["172.17.0.1"],
    "br-5a5a5a5a5a5a": ["172.18.0.1"],
    "br-lan": ["192.168.1.1"],
    "zt0": ["10.147.17.5"],
}


def having(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = {name: [SimpleNamespace(address=one) for one in MACHINE[name]] for name in names}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)


def test_they_are_those_that_lead_out_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, *MACHINE)
    assert own_addresses(6) == ["10.147.17.5", "192.168.1.1", "192.168.7.20", "2001:db8::7"]
    assert own_addresses(4) == ["10.147.17.5", "192.168.1.1", "192.168.7.20"]


def test_where_there_are_no_others_those_of_containers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, "lo", "docker0")
    assert own_addresses(4) == ["172.17.0.1"]
