"""Effects reach the sessions they are for, in messages of a sensible size; no buffer grows for ever."""

from __future__ import annotations

import anyio
import pytest
from taskmessenger.core import effects as e
from taskmessenger.core.errors import StoreError, StoreFailed
from taskmessenger.core.stimuli import Options
from taskmessenger.handle import Outcome
from taskmessenger.net import messages as m
from taskmessenger.net.framing import FRAGMENT
from taskmessenger.roles.deliver import Delivery, in_parts, read_error, send_leases

ECHO = Options(kind="echo", timeout=4.5)
HASH = Options(kind="hash")
BOUND = 10.0


class Line:
    """A session as delivery sees it."""

    def __init__(self) -> None:
        self.said: list[m.Message] = []
        self.pending = 0
        self.most: int | None = None
        self.ended: tuple[str, str] | None = None
        self.changed = anyio.Event()

    def send(self, message: m.Message, *, urgent: bool = False) -> None:
        self.said.append(message)
        self.pending += len(m.pack(message))

    def close(self, code: str, message: str = "") -> None:
        self.ended = (code, message)

    def cut(self, code: str, message: str = "") -> None:
        self.ended = (code, message)
        self.read()

    def read(self) -> None:
        """The other side has taken everything."""
        self.pending = 0
        self.changed.set()
        self.changed = anyio.Event()

    async def room(self, most: int) -> bool:
        self.most = most
        while self.pending > most and self.ended is None:
            await self.changed.wait()
        return self.ended is None


class Post:
    """A delivery with one line, and a store that is asked for payloads."""

    def __init__(self, group, outbox: int = 1_000_000) -> None:
        self.asked: list[list[int]] = []
        self.payloads: dict[int, bytes] = {}
        self.error: Exception | None = None
        self.delivery = Delivery(self.fetch, group.start_soon, outbox)
        self.line = self.delivery.links[7] = Line()

    async def fetch(self, ids, most=None) -> dict[int, bytes]:
        self.asked.append(list(ids))
        if self.error is not None:
            raise self.error
        found = {i: self.payloads[i] for i in ids if i in self.payloads}
        return {i: payload for i, payload in found.items() if most is None or len(payload) <= most}


@pytest.fixture
async def post():
    async with anyio.create_task_group() as group:
        yield Post(group)
        group.cancel_scope.cancel()


async def test_an_answer_goes_to_who_asked_and_once(post) -> None:
    answers: list[object] = []
    number = post.delivery.expect(answers.append)
    other = post.delivery.expect(answers.append)
    assert number != other
    done = e.Done(number, [1])
    post.delivery.act([done, done, e.Rejected(999, "x", "y")])
    assert answers == [done]


async def test_what_is_for_nobody_here_is_dropped(post) -> None:
    post.delivery.act([
        e.Ack(8, [1], [1]), e.Tell(8, [(1, 4, 1, "w", b"\xc0", None, 0.1)]), e.Disconnect(8, "x", "y"),
        e.Assign(8, "w", [(1, 1, ECHO, b"\xc0")]), e.Steer(8, "pause", "all"),
    ])  # fmt: skip
    assert post.line.said == []


async def test_leases_travel_together_by_kind(post) -> None:
    rows = [(1, 1, ECHO, b"a"), (2, 1, HASH, b"b"), (3, 2, ECHO, b"c")]
    post.delivery.act([e.Assign(7, "w", rows)])
    assert post.line.said == [
        m.Assign([("echo", [(1, 1, 4.5, b"a"), (3, 2, 4.5, b"c")]), ("hash", [(2, 1, None, b"b")])])
    ]


def test_many_leases_are_cut_into_messages_of_about_a_frame() -> None:
    line = Line()
    rows = [(n, 1, ECHO, b"x" * 1_000) for n in range(200)] + [(500, 1, ECHO, b"y" * FRAGMENT)]
    send_leases(line, rows)
    got = [lease[0] for one in line.said for _, leases in one.leases for lease in leases]
    assert sorted(got) == [*range(200), 500]
    assert all(len(m.pack(one)) < FRAGMENT for one in line.said if one.leases[0][1][0][0] != 500)


async def test_large_payloads_come_from_the_store_one_at_a_time_as_the_link_takes_them(post) -> None:
    post.delivery.outbox = 100_000
    post.payloads = {n: bytes(80_000) for n in range(1, 6)}
    rows = [(n, 1, ECHO, None) for n in range(1, 6)]
    post.delivery.act([e.Assign(7, "w", [(9, 1, ECHO, b"small"), *rows])])
    with anyio.fail_after(BOUND):
        while len(post.asked) < 3:
            await anyio.lowlevel.checkpoint()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert len(post.asked) == 3, "no more is read than the link has room for"
        assert post.line.pending < 200_000
        while len(post.line.said) < 6:
            post.line.read()
            await anyio.lowlevel.checkpoint()
    assert post.asked == [[1, 2, 3, 4, 5], [1], [2], [3], [4], [5]]
    assert [one.leases[0][1][0][0] for one in post.line.said] == [9, 1, 2, 3, 4, 5]


async def test_small_payloads_come_from_the_store_together(post) -> None:
    post.payloads = {n: bytes(100) for n in range(1, 1_201)} | {7: bytes(80_000)}
    post.delivery.act([e.Assign(7, "w", [(n, 1, ECHO, None) for n in range(1, 1_201)])])
    sent: set[int] = set()
    with anyio.fail_after(BOUND):
        while len(sent) < 1_200:
            await anyio.lowlevel.checkpoint()
            sent = {row[0] for one in post.line.said for _, rows in one.leases for row in rows}
    assert list(map(len, post.asked)) == [500, 1, 500, 200]


async def test_payloads_are_not_read_for_a_link_that_has_ended(post) -> None:
    post.delivery.outbox = 10
    post.payloads = {1: bytes(1_000), 2: bytes(1_000)}
    post.line.pending = 100
    post.delivery.act([e.Assign(7, "w", [(1, 1, ECHO, None), (2, 1, ECHO, None)])])
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    post.line.cut("gone")
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert post.asked == []


async def test_a_payload_that_cannot_be_read_ends_the_link_and_not_the_manager(post) -> None:
    post.error = StoreFailed("the disk is gone")
    post.delivery.act([e.Assign(7, "w", [(1, 1, ECHO, None)])])
    with anyio.fail_after(BOUND):
        while post.line.ended is None:
            await anyio.lowlevel.checkpoint()
    assert post.line.ended[0] == "store"


async def test_a_payload_that_is_not_there_is_not_sent(post) -> None:
    post.payloads = {2: b"x"}
    post.delivery.act([e.Assign(7, "w", [(1, 1, ECHO, None), (2, 1, ECHO, None)])])
    with anyio.fail_after(BOUND):
        while not post.line.said:
            await anyio.lowlevel.checkpoint()
    assert post.line.said == [m.Assign([("echo", [(2, 1, 4.5, b"x")])])]


async def test_outcomes_come_with_their_results_and_a_slow_reader_is_told_only_that(post) -> None:
    row = (1, 4, 2, "w", b"\x07", None, 0.5)
    post.delivery.act([e.Tell(7, [row])])
    assert post.line.said == [m.Outcomes(0, [Outcome(1, 4, 2, "w", b"\x07", None, 0.5)])]
    post.line.said.clear()
    post.line.pending = post.delivery.outbox + 1
    post.delivery.act([e.Tell(7, [row])])
    assert post.line.said == [m.Outcomes(0, [], [1])]


def test_outcomes_are_cut_into_parts_of_about_a_frame() -> None:
    large = [Outcome(n, 4, 1, "w", bytes(FRAGMENT)) for n in (1, 2)]
    small = [Outcome(n, 4, 1, "w", bytes(500)) for n in range(3, 500)]
    parts = list(in_parts([large[0], *small, large[1]]))
    assert sorted(one.id for part in parts for one in part) == list(range(1, 500))
    assert [large[0]] in parts
    assert all(sum(len(one.result) for one in part) <= FRAGMENT for part in parts)
    assert list(in_parts([])) == []


def test_an_error_that_cannot_be_read_is_still_an_error() -> None:
    assert read_error(None) is None
    assert read_error(b"\xff").code == "unknown"


async def test_what_is_said_of_leases_names_tasks_and_their_attempts(post) -> None:
    post.delivery.act([
        e.Ack(7, [1, 2], [3, 4]), e.EndLeases(7, [(5, 6), (7, 8)]), e.Steer(7, "drain", deadline=9.0),
        e.Steer(7, "pause", "kind:x"),
    ])  # fmt: skip
    assert post.line.said == [
        m.Ack([1, 2], [3, 4]), m.EndLeases([5, 7], [6, 8]), m.Steer(1, "drain", "", 9.0),
        m.Steer(2, "pause", "kind:x", 0.0),
    ]  # fmt: skip


async def test_who_is_thrown_out_is_cut_off(post) -> None:
    post.delivery.act([e.Disconnect(7, "replaced", "another one")])
    assert post.line.ended == ("replaced", "another one")


async def test_orders_are_in_force_when_each_worker_has_said_so_or_is_gone(post) -> None:
    other = post.delivery.links[8] = Line()
    post.delivery.act([e.Steer(7, "pause", "all"), e.Steer(8, "pause", "all")])
    (first,), (second,) = post.line.said, other.said
    done = anyio.Event()

    async def wait() -> None:
        await post.delivery.confirmed()
        done.set()

    with anyio.fail_after(BOUND):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            post.delivery.confirm(8, first.sequence)  # not its own to confirm
            post.delivery.confirm(7, 999)
            post.delivery.confirm(7, first.sequence)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            assert not done.is_set()
            post.delivery.forget(8)
            await done.wait()
    assert post.delivery.unconfirmed == {}
    assert second.verb == "pause"
    with anyio.fail_after(BOUND):
        await post.delivery.confirmed()


async def test_an_order_to_nobody_is_waited_for_by_nobody(post) -> None:
    post.delivery.act([e.Steer(99, "pause", "all")])
    assert post.delivery.unconfirmed == {}


async def test_a_damaged_payload_ends_its_task_alone(post) -> None:
    post.payloads = {2: b"x"}
    damaged: list[tuple[int, int, int]] = []
    post.delivery.on_damaged = lambda *about: damaged.append(about)
    fetch = post.fetch

    async def broken(ids, most=None) -> dict[int, bytes]:
        if 1 in ids:
            raise StoreError("the payload of task 1 cannot be read")
        return await fetch(ids, most)

    post.delivery._fetch = broken
    post.delivery.act([e.Assign(7, "w", [(1, 4, ECHO, None), (2, 1, ECHO, None)])])
    with anyio.fail_after(BOUND):
        while not (damaged and post.line.said):
            await anyio.lowlevel.checkpoint()
    assert damaged == [(7, 1, 4)]
    assert post.line.ended is None
    assert [lease[0] for said in post.line.said for _, group in said.leases for lease in group] == [2]
