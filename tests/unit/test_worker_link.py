"""What a worker says becomes stimuli, after a close look; what would hurt ends the session."""

from __future__ import annotations

import math

import anyio
import msgspec
import pytest
from taskmessenger.core import stimuli as s
from taskmessenger.core.errors import PeerError, Refused
from taskmessenger.core.stimuli import How
from taskmessenger.handle import ErrorInfo
from taskmessenger.net import messages as m
from taskmessenger.roles import worker_link
from taskmessenger.roles.deliver import Delivery
from taskmessenger.roles.inbox import UNIT_BYTES, Inbox
from taskmessenger.roles.worker_link import WorkerLink

ERROR = msgspec.msgpack.encode(ErrorInfo("failed", "no"))


class Line:
    """A session as a link sees it."""

    def __init__(self) -> None:
        self.said: list[m.Message] = []
        self.ended: tuple[str, str] | None = None

    def send(self, message: m.Message, *, urgent: bool = False) -> None:
        self.said.append(message)

    def cut(self, code: str, message: str = "") -> None:
        self.ended = (code, message)


class Desk:
    """A link with everything around it."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.line = Line()
        self.delivery = Delivery(None, None, 1_000)  # type: ignore[arg-type]
        self.renewals: list[bytes] = []
        self.refuse = False
        self.link = WorkerLink(7, "w-1", self.line, self.inbox, self.delivery, self.renew)  # type: ignore[arg-type]

    async def renew(self, request: bytes) -> bytes:
        if self.refuse:
            raise Refused("no longer a member")
        self.renewals.append(request)
        return b"next"

    async def say(self, *messages: m.Message) -> list[s.Stimulus]:
        await self.link.handle(list(messages))
        return self.inbox.take()


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_a_worker_says_becomes_stimuli_in_order(desk) -> None:
    got = await desk.say(
        m.Offer(["a", "b"], ["b"], 2, 4, False, {"k": "v"}),
        m.Holding([1], [2]),
        m.Started([3], [1]),
        m.Finished([3], [1], [b"\xc0"], [0.5]),
        m.Broke([(4, 1, int(How.CRASHED), 0.5, ERROR), (5, 1, int(How.RELEASED), 0.0, None)]),
        m.Goodbye("left"),
    )
    assert got == [
        s.Offered(7, frozenset("ab"), frozenset("b"), 2, 4),
        s.Holding(7, [(1, 2)]),
        s.Started(7, [3], [1]),
        s.Finished(7, [3], [1], [b"\xc0"], [0.5]),
        s.Broke(7, [(4, 1, How.CRASHED, 0.5, ERROR), (5, 1, How.RELEASED, 0.0, None)]),
        s.WorkerLeft(7),
    ]
    assert desk.link.labels == {"k": "v"}


async def test_beats_are_one_sign_of_life_however_many(desk) -> None:
    assert await desk.say(*(m.Beat(n) for n in range(100))) == [s.Beat(7)]


async def test_a_goodbye_of_another_sort_is_only_the_end_of_the_link(desk) -> None:
    assert await desk.say(m.Goodbye("whatever")) == []


WRONG = {
    "unequal": m.Finished([1, 2], [1], [b"", b""], [0.1, 0.1]),
    "too few results": m.Finished([1], [1], [], [0.1]),
    "too few seconds": m.Finished([1], [1], [b""], []),
    "a task of number 0": m.Started([0], [1]),
    "an attempt of number 0": m.Started([1], [0]),
    "a negative task": m.Holding([-1], [1]),
    "a huge task": m.Holding([2**63], [1]),
    "a huge attempt": m.Broke([(1, 2**64 - 1, 1, 0.1, None)]),
    "no such end": m.Broke([(1, 1, 8, 0.1, None)]),
    "a negative end": m.Broke([(1, 1, -1, 0.1, None)]),
    "a success that broke": m.Broke([(1, 1, 0, 0.1, None)]),
    "no number of seconds": m.Broke([(1, 1, 1, math.nan, None)]),
    "endless": m.Finished([1, 2], [1, 1], [b"", b""], [0.1, math.inf]),
    "not a number": m.Finished([1, 2], [1, 1], [b"", b""], [math.nan, 0.1]),
    "before it began": m.Finished([1], [1], [b""], [-0.001]),
    "an age": m.Finished([1], [1], [b""], [1e11]),
    "no error": m.Broke([(1, 1, 1, 0.1, b"\xc1")]),
    "an error of another shape": m.Broke([(1, 1, 1, 0.1, b"\x90")]),
    "a nested error": m.Broke([(1, 1, 1, 0.1, b"\x91" * 50_000)]),
    "too many kinds": m.Offer([str(n) for n in range(1_001)], [], 1, 1),
    "a kind of nothing": m.Offer([""], [], 1, 1),
    "an endless kind": m.Offer(["k" * 65], [], 1, 1),
    "negative slots": m.Offer([], [], -1, 1),
    "incredible slots": m.Offer([], [], 65_537, 1),
    "negative credit": m.Offer([], [], 1, -1),
    "incredible credit": m.Offer([], [], 1, 10**9),
}


@pytest.mark.parametrize("message", WRONG.values(), ids=WRONG.keys())
async def test_what_cannot_be_is_a_crime_and_reaches_nobody(desk, message) -> None:
    with pytest.raises(PeerError):
        await desk.say(message)
    assert desk.inbox.take() == []


async def test_empty_columns_are_nothing_bad(desk) -> None:
    got = await desk.say(m.Holding([], []), m.Started([], []), m.Finished([], [], [], []), m.Broke([]))
    assert len(got) == 4


async def test_names_of_a_worker_are_made_safe_and_few(desk) -> None:
    labels = {f"n{n}\x1b": "v" * 10_000 for n in range(200)}
    (offered,) = await desk.say(m.Offer(["ok", "\x1b[2J"], ["ok", "unknown", "\x1b"], 1, 1, False, labels))
    assert all(kind.isprintable() for kind in offered.kinds)
    assert offered.isolated == {"ok"}
    assert len(desk.link.labels) == 64
    assert all(k.isprintable() and len(v) <= 256 for k, v in desk.link.labels.items())


async def test_long_errors_are_shortened_and_short_ones_kept_as_they_are(desk) -> None:
    info = ErrorInfo(
        "c" * 500, "m" * 5_000, "s" * 50_000, {f"e{n}": "v" * 100_000 for n in range(100)} | {"n": 7}
    )
    (broke,) = await desk.say(m.Broke([(1, 1, 1, 0.1, msgspec.msgpack.encode(info)), (2, 1, 1, 0.1, ERROR)]))
    kept = msgspec.msgpack.decode(broke.ends[0][4], type=ErrorInfo)
    assert (len(kept.code), len(kept.message), len(kept.stack)) == (64, 2_048, 16_384)
    assert len(kept.evidence) == 64
    assert max(len(str(value)) for value in kept.evidence.values()) <= 65_536
    assert broke.ends[1][4] == ERROR


async def test_progress_is_kept_safe_short_and_for_running_tasks_only(desk, monkeypatch) -> None:
    monkeypatch.setattr(worker_link, "MAX_TOLD", 3)
    progress = desk.link.progress
    await desk.say(m.Progress(1, 1, 2.5, "n\x1b" * 1_000, b"a" * 20_000))
    await desk.say(m.Progress(1, 1, math.nan, "", b"b" * 10, 20_000))
    attempt, fraction, note, output, written = progress[1]
    assert (attempt, fraction, note, written) == (1, None, "", 20_010)
    assert len(output) == 16_384
    assert output.endswith(b"a" + b"b" * 10)
    await desk.say(m.Progress(1, 1, 0.5, "n"))
    assert progress[1] == (1, 0.5, "n", output, written), "what it wrote before stays"
    await desk.say(m.Progress(1, 1, 0.5, "", b"c", 30_000))
    assert progress[1][3:] == (b"c", 30_001), "no gap is hidden"
    await desk.say(m.Progress(1, 1, 0.5, "", b"d", -(2**63)), m.Progress(1, 1, 0.5, "", b"e", 2**64 - 1))
    assert progress[1][3] == b"e"
    await desk.say(m.Progress(1, 2, -1.0, "", b"c"))
    assert progress[1] == (2, 0.0, "", b"c", 1), "another attempt begins anew"
    await desk.say(*(m.Progress(n, 1) for n in (2, 3)), m.Progress(1, 2), m.Progress(4, 1))
    assert set(progress) == {3, 1, 4}, "the oldest word is forgotten"
    await desk.say(m.Finished([3], [1], [b"\xc0"], [0.1]), m.Broke([(4, 1, 1, 0.1, None)]))
    assert set(progress) == {1}


@pytest.mark.parametrize(
    "piece", [(0, 1, 0, b"x"), (1, 0, 0, b""), (1, 1, -1, b"x"), (1, 1, 2**63 - 1, b"x"), (2**63, 1, 0, b"x")]
)
async def test_output_at_a_place_where_none_can_be_is_a_crime(desk, piece) -> None:
    with pytest.raises(PeerError):
        await desk.say(m.Output([(1, 1, 0, b"fine"), piece]))


async def test_a_certificate_is_renewed_now_and_then_but_not_all_the_time(desk) -> None:
    await desk.say(m.RenewMe(b"csr"))
    assert desk.line.said == [m.Renewed(b"next")]
    with pytest.raises(PeerError):
        await desk.say(m.RenewMe(b"csr"))
    assert desk.renewals == [b"csr"]


async def test_who_is_no_member_any_more_is_told_so_when_it_asks_for_a_certificate(desk) -> None:
    desk.refuse = True
    await desk.say(m.RenewMe(b"csr"))
    assert desk.line.ended == ("refused", "no longer a member")
    assert desk.line.said == []


async def test_results_weigh_what_they_hold_in_memory(desk) -> None:
    await desk.link.handle(
        [
            m.Finished(
                [1], [1], [b"\xc6" + (100 * UNIT_BYTES).to_bytes(4, "big") + bytes(100 * UNIT_BYTES)], [0.1]
            )
        ]
    )
    assert desk.inbox._weight == 101
    await desk.link.handle([m.Holding(list(range(1, 51)), [1] * 50)])
    assert desk.inbox._weight == 151


async def test_a_flood_waits_instead_of_filling_the_memory() -> None:
    desk = Desk()
    desk.inbox = desk.link._inbox = Inbox(max_weight=10)
    with anyio.move_on_after(0.05) as scope:
        for _ in range(1_000):
            await desk.link.handle([m.Offer(["a"], [], 1, 1)])
    assert scope.cancelled_caught
    assert desk.inbox._weight <= 50


async def test_orders_are_confirmed_by_who_got_them(desk) -> None:
    desk.delivery.unconfirmed = {1: 7, 2: 8}
    await desk.say(m.Steered(1), m.Steered(2), m.Steered(3))
    assert desk.delivery.unconfirmed == {2: 8}


async def test_what_a_worker_holds_is_told_in_parts_that_hold_up_nobody(desk, monkeypatch) -> None:
    monkeypatch.setattr(worker_link, "HELD_PART", 3)
    assert await desk.say(m.Holding([1, 2], [1, 1], more=True)) == [s.Holding(7, [(1, 1), (2, 1)], more=True)]
    assert await desk.say(m.Holding([4], [1])) == [s.Holding(7, [(4, 1)])]
    assert await desk.say(m.Holding([], [])) == [s.Holding(7, [])]
    first, last = await desk.say(m.Holding([1, 2, 3, 4], [1] * 4))
    assert (first, last) == (s.Holding(7, [(1, 1), (2, 1), (3, 1)], more=True), s.Holding(7, [(4, 1)]))


async def test_bad_results_end_their_attempts_for_good_and_the_others_succeed(desk) -> None:
    broke, finished = await desk.say(
        m.Finished([1, 2, 3], [1, 2, 1], [b"\xc0", b"\x91", b"\xa1x"], [0.1, 0.2, 0.3])
    )
    assert [end[:4] for end in broke.ends] == [(2, 2, How.REFUSED, 0.2)]
    assert finished == s.Finished(7, [1, 3], [1, 1], [b"\xc0", b"\xa1x"], [0.1, 0.3])


async def test_what_is_just_credible_is_believed(desk) -> None:
    names = [f"{n:064}" for n in range(1_000)]
    most = 2**63 - 1
    offered, started, finished, broke = await desk.say(
        m.Offer(names, [], 65_536, 131_072),
        m.Started([1, most], [most, 1]),
        m.Finished([1, 2], [1, 1], [b"\xc0", b"\xc0"], [0.0, 1e10]),
        m.Broke([(3, 1, 1, 0.0, None)]),
    )
    assert (len(offered.kinds), offered.capacity, offered.limit) == (1_000, 65_536, 131_072)
    assert started.tasks == [1, most]
    assert finished.seconds == [0.0, 1e10]
    assert broke.ends == [(3, 1, How(1), 0.0, None)]
    (idle,) = await desk.say(m.Offer([], [], 0, 0))
    assert (idle.capacity, idle.limit) == (0, 0)


async def test_a_worker_may_hold_as_much_as_any_can_each_time_and_no_more(desk, monkeypatch) -> None:
    monkeypatch.setattr(worker_link, "MAX_HELD", 3)
    for _ in range(2):
        assert len(await desk.say(m.Holding([1, 2], [1, 1], more=True), m.Holding([3], [1]))) == 2
    assert await desk.say(m.Holding([5], [1], more=True)) == [s.Holding(7, [(5, 1)], more=True)]
    with pytest.raises(PeerError):
        await desk.say(*(m.Holding([n], [1], more=True) for n in range(1, 4)))


async def test_of_its_kinds_a_worker_may_say_little_and_only_of_its_own(desk) -> None:
    about = [("a", "d" * 500, b"x" * 1_024), ("b", "\x1b[2J", b"x" * 1_025), ("another's", "d", b"")]
    await desk.say(m.Offer(["a", "b"], [], 1, 1, about=about))
    description, example = desk.link.about["a"]
    assert (len(description), example) == (200, b"x" * 1_024)
    assert desk.link.about["b"][0].isprintable()
    assert desk.link.about["b"][1] == b"", "an example that is too long is none"
    assert set(desk.link.about) == {"a", "b"}
    await desk.say(m.Offer(["a"], [], 2, 2))
    assert set(desk.link.about) == {"a", "b"}, "it need not say so again with each offer"
    await desk.say(m.Offer(["a"], [], 1, 1, broken=[(f"{n}.py", "w" * 2_000) for n in range(100)]))
    assert len(desk.link.broken) == 64
    assert {len(why) for why in desk.link.broken.values()} == {1_024}


async def test_a_certificate_is_renewed_again_when_its_time_has_come(desk, monkeypatch) -> None:
    monkeypatch.setattr(worker_link, "RENEW_SECONDS", 0.0)
    await desk.say(m.RenewMe(b"first"))
    await desk.say(m.RenewMe(b"second"))
    assert desk.renewals == [b"first", b"second"]


async def test_what_broke_and_began_weighs_what_it_holds_too(desk) -> None:
    evidence = {"log": "x" * (50 * UNIT_BYTES)}
    error = msgspec.msgpack.encode(
        ErrorInfo("failed", "no", "", {f"e{n}": evidence["log"] for n in range(9)})
    )
    await desk.link.handle([m.Broke([(1, 1, 1, 0.1, error)])])
    heavy = desk.inbox._weight
    assert heavy > 1
    await desk.link.handle([m.Started(list(range(1, 31)), [1] * 30)])
    assert desk.inbox._weight == heavy + 30
