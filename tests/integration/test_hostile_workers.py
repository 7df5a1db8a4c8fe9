"""Workers that lie, forge, flood and garble: cut off, counted, and nothing changes for anybody else."""

from __future__ import annotations

import logging
import math

import anyio
import msgspec
import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.core.stimuli import How
from taskmessenger.handle import ErrorInfo, TaskQuery
from taskmessenger.net import messages as m

from tests.support.fleet import a_fleet, results, running, submit, unpacked
from tests.support.hostile import LONG, a_bad_worker, a_guest, a_peer, hello, lease, leases, offer
from tests.support.runtimes import until

GOOD = b"\xc0"
ERROR = msgspec.msgpack.encode(ErrorInfo("failed", "no"))
HUGE = 2**63
SHARED = 60_000
"""Bytes that results may have which travel together; a larger one travels alone."""


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


FORGED = {
    "a result of a task that there is not": [m.Finished([99], [1], [GOOD], [0.1])],
    "a result of an attempt that there is not": [m.Finished([1], [7], [GOOD], [0.1])],
    "a task of number 0": [m.Finished([0], [1], [GOOD], [0.1])],
    "a negative task": [m.Finished([-5], [1], [GOOD], [0.1])],
    "a task above every number": [m.Finished([HUGE], [1], [GOOD], [0.1])],
    "an attempt above every number": [m.Finished([1], [HUGE], [GOOD], [0.1])],
    "columns of unequal length": [m.Finished([1, 2], [1], [GOOD], [0.1])],
    "more results than tasks": [m.Finished([1], [1], [GOOD, GOOD], [0.1])],
    "unequal columns of beginnings": [m.Started([1, 2], [1])],
    "unequal columns of holdings": [m.Holding([1], [])],
    "time that never ends": [m.Finished([1], [1], [GOOD], [math.inf])],
    "time that is no number": [m.Finished([1], [1], [GOOD], [math.nan])],
    "time that runs backwards": [m.Finished([1], [1], [GOOD], [-1.0])],
    "an end of a sort that there is not": [m.Broke([(1, 1, 99, 0.1, ERROR)])],
    "a success among the failures": [m.Broke([(1, 1, 0, 0.1, ERROR)])],
    "an error that is no error": [m.Broke([(1, 1, 1, 0.1, b"\xff\xff")])],
    "an error that is nested deeply": [m.Broke([(1, 1, 1, 0.1, nested(50_000))])],
    "an error of a task that there is not": [m.Broke([(99, 1, 1, 0.1, ERROR)])],
    "a thousand and one kinds": [offer(kinds=[f"k{n}" for n in range(1_001)])],
    "a kind without a name": [offer(kinds=[""])],
    "a kind with an endless name": [offer(kinds=["k" * 65])],
    "more slots than anybody has": [offer(capacity=10**9)],
    "a negative number of slots": [offer(capacity=-1)],
    "a negative credit": [offer(limit=-4)],
    "a submission": [m.Submit(1, [])],
    "a command": [m.Command(1, "cancel", [1])],
    "a question": [m.Ask(1, "status")],
    "an invite": [m.MakeInvite(1, 1, 60.0)],
    "to read a task": [m.GetTask(1, 1)],
    "to search among tasks": [m.FindTasks(1, TaskQuery())],
    "to read results": [m.GetOutcomes(1, [1])],
    "to be told of results": [m.Watch(1, [1])],
    "to read events": [m.GetEvents(1, 0, 10)],
    "to take back an invite": [m.RevokeInvite(1, "nothing")],
    "what only a manager says": [m.Ack([1], [1])],
    "a second hello": [hello()],
    "a beat with a thousand numbers": [m.Beat(1, 0, {f"n{n}": 1.0 for n in range(1_000)})],
    "one renewal after the other": [m.RenewMe(b"x"), m.RenewMe(b"x")],
    "a request for a certificate that is none": [m.RenewMe(b"garbage")],
}


@pytest.mark.parametrize("crime", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_message_ends_the_session_and_changes_nothing(tmp_path, crime, caplog) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            (task,) = await submit(remote, "hold", 1)
            assert await lease(peer) == (task, 1)
            await peer.say(*crime)
            assert (await peer.goodbye(5)).code == "peer_error"
        await until(lambda: fleet.manager.delivery.links and len(fleet.manager.delivery.links) == 1)
        assert list(fleet.pool.tasks) == [task], "none came, and this one has not ended"
        assert await remote.outcomes([task]) == []
        assert not (await remote.status()).late
        honest = await fleet.worker("w-good-0002")
        await until(lambda: task in honest.puppet.running)
        assert honest.puppet.begun == [(task, 2)], "only the attempt of the bad one is lost"
        honest.puppet.finish(task, "honest")
        assert unpacked((await results(remote, [task]))[task]) == "honest"
    assert not [record for record in caplog.records if record.exc_info], "no traceback for bad input"


GARBLED = {
    "not msgpack": b"\xc1\xc1\xc1",
    "an empty list": b"\x90",
    "a message of an unknown number": msgspec.msgpack.encode([999, 1]),
    "a map": b"\x80",
    "a number": b"\x01",
    "a list that claims four billion entries": b"\xdd\xff\xff\xff\xff",
    "a map that claims four billion entries": b"\xdf\xff\xff\xff\xff",
    "bytes that claim four gigabytes": b"\x93\x16\xc6\xff\xff\xff\xff",
    "columns that claim four billion entries": b"\x93\x16\xdd\xff\xff\xff\xff\xdd\xff\xff\xff\xff",
    "a hundred thousand lists in each other": nested(100_000),
    "lists in each other inside a message": b"\x93\x16" + nested(60_000),
    "a field of the wrong type": msgspec.msgpack.encode([22, "one", "two"]),
    "text that is none": m.pack(m.Goodbye("left", "bye")).replace(b"left", b"le\xfft"),
    "an error whose text is none": m.pack(
        m.Broke([(1, 1, 1, 0.5, msgspec.msgpack.encode(ErrorInfo("failed", "why?")).replace(b"?", b"\xff"))])
    ),
    "a message that stops in the middle": m.pack(m.Started([1, 2, 3], [1, 1, 1]))[:-2],
}


@pytest.mark.parametrize("body", GARBLED.values(), ids=GARBLED.keys())
async def test_a_garbled_message_ends_the_session(tmp_path, body, caplog) -> None:
    async with a_fleet(tmp_path) as fleet:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            await peer.say_bodies(body)
            goodbye = await peer.goodbye(5)
        assert goodbye.code in {"peer_error", "frame_too_large"}
        assert len(goodbye.message) < 500
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_frame_that_claims_too_much_is_cut_at_its_header(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            await peer.say_bytes((64 * 1024 + 1).to_bytes(4, "big") + b"\x01\0\0\0")
            assert (await peer.goodbye(5)).code == "frame_too_large"


async def test_a_result_of_somebody_elses_task_is_refused(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        honest = await fleet.worker("w-good-0002", capacity=1)
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            await peer.say(m.Finished([task], [1], [b"\xa6forged"], [0.1]))
            assert (await peer.goodbye(5)).code == "peer_error"
        honest.puppet.finish(task, "true")
        assert unpacked((await results(remote, [task]))[task]) == "true"
        assert (await remote.status()).refused == 1


async def test_a_result_that_comes_twice_counts_once(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        odd = await fleet.member("worker", "w-odd-0001")
        async with a_bad_worker(fleet, odd) as peer:
            (task,) = await submit(remote, "hold", 1)
            await lease(peer)
            for value in (b"\x01", b"\x02", b"\x03"):
                await peer.say(m.Finished([task], [1], [value], [0.1]))
                await peer.hear(m.Ack)
            assert unpacked((await remote.outcomes([task]))[0]) == 1
            assert (await remote.status()).late == 2


@pytest.mark.parametrize("size", [1, 700], ids=["each alone", "many in a message"])
async def test_endless_outcomes_of_what_has_ended_are_counted_and_change_nothing(tmp_path, size: int) -> None:
    async with a_fleet(tmp_path, leases=LONG) as fleet, fleet.operator() as remote:
        await fleet.worker("w-good-0002")
        (task,) = await submit(remote, "echo", "true")
        await results(remote, [task])
        bad = await fleet.member("worker", "w-bad-0001")
        said = 0
        async with a_bad_worker(fleet, bad) as peer:
            for _ in range(30):
                forged = m.Finished([task] * size, [1] * size, [b"\xa6forged"] * size, [0.1] * size)
                await peer.say(*[forged] * 20)
                said += 20 * size
            while (await remote.status()).late < said:
                await anyio.sleep(0.02)
            more = await submit(remote, "echo", 1, 2, 3)
            assert len(await results(remote, more)) == 3
        assert unpacked((await remote.outcomes([task]))[0]) == "true"
        detail = await remote.detail(task)
        assert len(detail.attempts) <= 2, "no row for each of them"


BAD_RESULTS = {
    "no msgpack": b"\xc1",
    "a value and more": b"\x01\x02",
    "half a list": b"\x93\x01\x02",
    "nothing at all": b"",
    "lists in each other": nested(20_000),
    "maps in each other": b"\x81\x00" * 20_000 + GOOD,
    "more than a task may return": b"\xc6" + (300_000).to_bytes(4, "big") + bytes(300_000),
}


@pytest.mark.parametrize("result", BAD_RESULTS.values(), ids=BAD_RESULTS.keys())
async def test_what_is_no_result_is_a_failure_for_good(tmp_path, result: bytes) -> None:
    async with a_fleet(tmp_path, max_payload=200_000) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            task, other = await submit(remote, "hold", 1, 2, max_attempts=5)
            await leases(peer, 2)
            if len(result) > SHARED:
                await peer.say(m.Finished([task], [1], [result], [0.1]))
                await peer.say(m.Finished([other], [1], [GOOD], [0.1]))
            else:
                await peer.say(m.Finished([task, other], [1, 1], [result, GOOD], [0.1, 0.1]))
            found = await results(remote, [task, other])
        assert found[task].state == TaskState.FAILED
        assert found[task].error is not None
        assert found[task].error.code == "bad_result"
        assert found[other].state == TaskState.SUCCEEDED


async def test_nothing_counts_that_is_said_after_the_goodbye(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        odd = await fleet.member("worker", "w-odd-0001")
        async with a_bad_worker(fleet, odd) as peer:
            (task,) = await submit(remote, "hold", 1)
            await lease(peer)
            await peer.say(m.Goodbye("left"), m.Finished([task], [1], [GOOD], [0.1]))
            await peer.closed(5)
        await until(lambda: fleet.pool.tasks[task].state is TaskState.QUEUED)
        status = await remote.status()
        assert (status.totals["succeeded"], status.refused) == (0, 0)


@pytest.mark.parametrize(
    "first",
    [m.Finished([1], [1], [GOOD], [0.1]), offer(), m.Beat(1), m.Submit(1, []), m.Join("x", b"", b"", "")],
)
async def test_nothing_counts_that_is_said_before_the_hello(tmp_path, first, caplog) -> None:
    async with a_fleet(tmp_path) as fleet:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_peer(fleet, bad) as peer:
            await peer.say(first)
            assert (await peer.goodbye(5)).code == "peer_error"
        assert not fleet.pool.workers
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_hello_of_more_than_four_kilobytes_is_not_read(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_peer(fleet, bad) as peer:
            await peer.say(hello(version="v" * 5_000))
            assert (await peer.goodbye(5)).code == "frame_too_large"


async def test_escape_sequences_of_a_worker_reach_no_terminal(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    evil = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\u202e"
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_peer(fleet, bad) as peer:
            await peer.say(hello(version=evil))
            await peer.hear(m.Welcome)
            await peer.say(
                offer(kinds=[evil, "hold"], isolated=[evil], labels={evil: evil}),
                m.Holding([], []),
                m.Beat(1, 0, {evil: 1.0}),
            )
            (task,) = await submit(remote, "hold", 1)
            await lease(peer)
            await peer.say(m.Started([task], [1]), m.Progress(task, 1, math.nan, evil, b""))
            await running(fleet, task)
            links = fleet.manager.delivery.links
            await until(lambda: any(getattr(link, "progress", None) for link in links.values()))
            (row,) = await remote.workers()
            detail = await remote.detail(task)
            await peer.say(m.Goodbye("left", evil))
            await peer.closed(5)
        shown = [row.version, *row.kinds, *row.labels, *row.labels.values(), *row.load, detail.note]
        assert all(text.isprintable() for text in shown), shown
        assert detail.progress is None
        assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_word_of_progress_is_kept_within_bounds(tmp_path) -> None:
    async with a_fleet(tmp_path, leases=LONG) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            (task,) = await submit(remote, "hold", 1)
            await lease(peer)
            for start in range(0, 20_000, 2_000):
                await peer.say(*(m.Progress(n, 1, 0.5, "x" * 1_000) for n in range(start + 1, start + 2_001)))
            await peer.say(*(m.Progress(task, 1, 7.5, "x", b"o" * 60_000) for _ in range(5)))
            (link,) = (k for k in fleet.manager.delivery.links.values() if hasattr(k, "progress"))
            await until(lambda: link.progress.get(task, (0, None))[1] == 1.0)
            assert len(link.progress) <= 4_096
            assert len(link.progress[task][3]) <= 16_384
            assert max(len(told.note) for told in link.progress.values()) <= 256


async def test_a_flood_of_beats_makes_no_buffer_grow(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            for _ in range(6):
                await peer.say(*(m.Beat(n) for n in range(1, 5_001)))
                (link,) = fleet.manager.delivery.links.values()
                assert link.session.wire.pending < 64 * 1024
                assert fleet.manager.writer.inbox._weight < 100
            # What comes last is answered when all before it was read.
            await peer.say(m.Offer(["echo"], [], 1, 1))
            await until(lambda: [one.limit for one in fleet.pool.workers.values()] == [1])
            assert link.session.wire.pending < 64 * 1024
            assert fleet.manager.writer.inbox._weight < 100


async def test_errors_of_any_length_are_kept_short(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        info = ErrorInfo("c" * 10**6, "m" * 10**6, "s" * 10**6, {f"e{n}": "v" * 10**5 for n in range(50)})
        async with a_bad_worker(fleet, bad) as peer:
            (task,) = await submit(remote, "hold", 1, max_attempts=1)
            await lease(peer)
            await peer.say(m.Broke([(task, 1, int(How.FAILED), 0.1, msgspec.msgpack.encode(info))]))
            await results(remote, [task])
        error = (await remote.outcomes([task]))[0].error
        assert error is not None
        assert len(error.code) <= 64
        assert len(error.message) <= 2_048
        assert len(error.stack) <= 16_384
        assert all(len(str(value)) <= 65_536 for value in error.evidence.values())


async def test_a_worker_that_hoards_and_never_ends_takes_no_more_than_it_offers(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        honest = await fleet.worker("w-good-0002", capacity=4)
        async with a_bad_worker(fleet, bad, capacity=2, limit=2) as peer:
            ids = await submit(remote, "echo", *range(100))
            await until(lambda: len(honest.puppet.begun) >= 98)
            assert len(set(await leases(peer, 2))) == 2
            await until(lambda: len(fleet.pool.tasks) == 2)
        found = await results(remote, ids)
        assert [unpacked(found[i]) for i in ids] == list(range(100))


async def test_an_unknown_end_of_the_goodbye_kind_only_ends_the_link(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        odd = await fleet.member("worker", "w-odd-0001")
        async with a_guest(fleet, odd) as peer:
            await peer.say(m.Goodbye("whatever", "x" * 60_000))
            await peer.closed(5)
        await until(lambda: not fleet.pool.workers)
