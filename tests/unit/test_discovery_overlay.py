"""Discovery on a ZeroTier network, over what stands for a node: when there is a socket, and who is told."""

from ctypes import addressof, memmove
from ipaddress import IPv4Address
from types import SimpleNamespace

import anyio
import pytest
from taskmessenger.net.discovery import overlay
from taskmessenger.net.discovery.overlay import BATCH, MAX_PEERS, OverlayCarrier, broadcast_of, manager_of
from taskmessenger.net.discovery.sealed import MAX_DATAGRAM
from taskmessenger.net.zerotier.binding import SOCKADDR_LENGTH, endpoint_of, sockaddr
from taskmessenger.net.zerotier.network import PRIVATE_RANGE, address_of

from tests.support.runtimes import until

PORT = 9993
EVERYBODY = (str(PRIVATE_RANGE.broadcast_address), PORT)


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Stack:
    """Stands for libzt."""

    def __init__(self):
        self.socket, self.bound, self.full = 3, 0, False
        self.opened, self.closed, self.sent, self.arrived = [], [], [], []

    def zts_bsd_socket(self, *_):
        self.opened.append(self.socket)
        return self.socket

    def zts_bsd_fcntl(self, *_):
        return 0

    def zts_bsd_setsockopt(self, *_):
        return 0

    def zts_bsd_bind(self, fd, at, _length):
        self.place = endpoint_of(at._obj)
        return self.bound

    def zts_bsd_close(self, fd):
        self.closed.append(fd)

    def zts_bsd_sendto(self, _fd, data, size, _flags, at, _length):
        self.sent.append((data, tuple(map(str, endpoint_of(at._obj)))))
        return size - 1 if self.full else size

    def zts_bsd_recvfrom(self, _fd, buffer, size, _flags, source, _length):
        if not self.arrived:
            return -1
        data = self.arrived.pop(0)[:size]
        memmove(buffer, data, len(data))
        memmove(addressof(source._obj), bytes(sockaddr(IPv4Address("240.0.0.9"), 77)), SOCKADDR_LENGTH)
        return len(data)


class Node:
    """Stands for the node of this process."""

    def __init__(self):
        self.running, self.generation, self.ready = True, 1, True
        self.library, self.hooks = Stack(), []
        self.address = IPv4Address("240.0.0.1")
        network = SimpleNamespace(private=True, controller="89e92ceee5")
        self.settings = SimpleNamespace(network=network)

    def join(self):
        return SimpleNamespace(ready=self.ready)

    def on_stop(self, hook):
        self.hooks.append(hook)
        return lambda: self.hooks.remove(hook)


@pytest.fixture
def node():
    return Node()


def places(node):
    return [place for _, place in node.library.sent]


@pytest.mark.parametrize("lack", ["node", "running", "ready"])
async def test_without_a_node_that_is_in_its_network_nothing_is_sent(node, lack):
    if lack != "node":
        setattr(node, lack, False)
    carrier = OverlayCarrier(PORT, lambda: None if lack == "node" else node)
    assert not await carrier.send(b"x")
    assert node.library.opened == []
    assert carrier._taken() == []
    carrier.close()


async def test_everybody_is_told_and_by_name_those_who_matter_but_not_this_node_itself(node):
    others = [IPv4Address(f"240.0.1.{number}") for number in range(MAX_PEERS + 3)]
    carrier = OverlayCarrier(PORT, lambda: node, lambda _: [node.address, *others])
    assert await carrier.send(b"word")
    told = [(str(ip), str(PORT)) for ip in others[:MAX_PEERS]]
    assert places(node) == [(EVERYBODY[0], str(PORT)), *told]
    assert node.library.place == (IPv4Address(0), PORT)


async def test_an_answer_goes_to_one_place(node):
    carrier = OverlayCarrier(PORT, lambda: node)
    assert await carrier.send(b"word", ("240.0.0.7", 1234))
    assert node.library.sent == [(b"word", ("240.0.0.7", "1234"))]


async def test_what_did_not_go_out_whole_was_not_sent(node):
    node.library.full = True
    assert not await OverlayCarrier(PORT, lambda: node).send(b"word")


async def test_there_is_one_socket_for_each_life_of_the_node(node):
    carrier = OverlayCarrier(PORT, lambda: node)
    for _ in range(3):
        assert await carrier.send(b"x")
    assert node.library.opened == [3]
    for stop in list(node.hooks):
        stop()
    assert node.library.closed == [3]
    assert not await carrier.send(b"x"), "it is being stopped: no new socket in the same life"
    assert node.library.opened == [3]
    node.generation, node.library.socket = 2, 4
    assert await carrier.send(b"x")
    assert node.library.opened == [3, 4]
    assert len(node.hooks) == 1
    carrier.close()
    assert node.library.closed == [3, 4]
    assert node.hooks == []
    carrier.close()
    assert node.library.closed == [3, 4]


@pytest.mark.parametrize(("socket", "bound", "closed"), [(-1, 0, []), (3, -1, [3])])
async def test_without_a_socket_nothing_is_sent_and_one_warning_says_so(node, caplog, socket, bound, closed):
    node.library.socket, node.library.bound = socket, bound
    carrier = OverlayCarrier(PORT, lambda: node)
    for _ in range(2):
        assert not await carrier.send(b"x")
    assert node.library.closed == closed
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_what_arrives_is_handed_on_with_its_place_and_cut_where_it_is_too_long(node, monkeypatch):
    monkeypatch.setattr(overlay, "LIVELY_POLL_SECONDS", 0.001)
    node.library.arrived = [b"one", b"x" * (MAX_DATAGRAM + 50), *[b"more"] * BATCH]
    carrier, heard = OverlayCarrier(PORT, lambda: node), []

    async def hear(data, place, by):
        heard.append((data, place, by))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carrier.listen, hear)
        await until(lambda: len(heard) == BATCH + 2)
        tasks.cancel_scope.cancel()
    assert heard[0] == (b"one", ("240.0.0.9", 77), carrier)
    assert len(heard[1][0]) == MAX_DATAGRAM + 1


async def test_one_look_takes_a_bounded_number(node):
    node.library.arrived = [b"x"] * (BATCH + 1)
    carrier = OverlayCarrier(PORT, lambda: node)
    assert [len(carrier._taken()) for _ in range(3)] == [BATCH, 1, 0]


def test_the_manager_of_a_private_network_has_a_known_address_and_others_have_none(node, tmp_path):
    assert manager_of(node) == [address_of("89e92ceee5")]
    node.settings = SimpleNamespace(
        network=SimpleNamespace(private=False, controller="89e92ceee5", file_name="x.conf"), home=tmp_path
    )
    assert manager_of(node) == []
    assert broadcast_of(node) == PRIVATE_RANGE.broadcast_address
    (tmp_path / "networks.d").mkdir()
    (tmp_path / "networks.d" / "x.conf").write_bytes(b"n=1\n")
    assert broadcast_of(node) == PRIVATE_RANGE.broadcast_address
