"""Clients that ask for too much, do not read, or garble: refused or cut off; the others notice nothing."""

from __future__ import annotations

import math

import anyio
import msgspec
import pytest
from taskmessenger.config.model import ManagerLimits
from taskmessenger.core import stimuli as s
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group, TaskQuery
from taskmessenger.net import messages as m
from taskmessenger.net import session
from taskmessenger.net.session import Session
from taskmessenger.roles import acts

from tests.support.fleet import a_fleet, results, submit
from tests.support.hostile import a_guest
from tests.support.runtimes import until

NIL = b"\xc0"
HUGE = 2**63 - 1
MIB = 1024 * 1024

SENSELESS = {
    "a kind without a name": m.Submit(1, [Group("", [NIL])]),
    "a kind with an endless name": m.Submit(1, [Group("k" * 65, [NIL])]),
    "a kind that steers a terminal": m.Submit(1, [Group("\x1b[2J", [NIL])]),
    "a priority beyond all": m.Submit(1, [Group("echo", [NIL], priority=10**9)]),
    "a timeout that is no number": m.Submit(1, [Group("echo", [NIL], timeout=math.nan)]),
    "a timeout below nothing": m.Submit(1, [Group("echo", [NIL], timeout=-1.0)]),
    "no attempts at all": m.Submit(1, [Group("echo", [NIL], max_attempts=0)]),
    "a delay without end": m.Submit(1, [Group("echo", [NIL], delay=math.inf)]),
    "fewer keys than tasks": m.Submit(1, [Group("echo", [NIL, NIL], ["k"])]),
    "an empty key": m.Submit(1, [Group("echo", [NIL], [""])]),
    "an endless key": m.Submit(1, [Group("echo", [NIL], ["k" * 257])]),
    "a batch that steers a terminal": m.Submit(1, [Group("echo", [NIL], batch="\x1b[2J")]),
    "a worker that steers a terminal": m.Submit(1, [Group("echo", [NIL], worker="a\nb")]),
    "a payload over the limit": m.Submit(1, [Group("echo", [b"x" * (2 * MIB)])]),
    "too many tasks": m.Submit(1, [Group("echo", [NIL] * 100_001)]),
    "too many groups of nothing": m.Submit(1, [Group("echo", [])] * 100_001),
    "a task of number 0": m.GetTask(1, 0),
    "a task that there is not": m.GetTask(1, 99),
    "a task above every number": m.GetTask(1, 2**64 - 1),
    "a negative task": m.Watch(1, [-1]),
    "to watch what there is not": m.Watch(1, [99]),
    "outcomes of no task": m.GetOutcomes(1, [0]),
    "to cancel what no number names": m.Command(1, "cancel", [2**64 - 1]),
    "to retry what there is not": m.Command(1, "retry", [99]),
    "to pause a colour": m.Command(1, "pause", scope="green"),
    "to pause what steers a terminal": m.Command(1, "pause", scope="kind:\x1b[2J"),
    "to drain nobody": m.Command(1, "drain", scope="w-nobody", deadline=math.nan),
    "to revoke nobody": m.Command(1, "revoke", scope="w-nobody"),
    "a command that there is not": m.Command(1, "explode"),
    "a question that there is not": m.Ask(1, "why"),
    "an invite for ever": m.MakeInvite(1, 1, math.inf),
    "an invite for no time": m.MakeInvite(1, 1, math.nan),
    "an invite for a king": m.MakeInvite(1, 1, 60.0, "king"),
    "an invite for nobody": m.MakeInvite(1, -1, 60.0),
    "an invite to nowhere": m.MakeInvite(1, 1, 60.0, endpoints=["gopher://x"]),
    "to revoke no invite": m.RevokeInvite(1, "nothing"),
    "a page in two directions": m.FindTasks(1, TaskQuery(before=3, after=3)),
    "states that there are not": m.FindTasks(1, TaskQuery(states=(99, -1))),
}


async def test_what_makes_no_sense_is_refused_in_words_and_the_session_goes_on(tmp_path, caplog) -> None:
    async with a_fleet(tmp_path, max_payload=MIB) as fleet:
        boss = await fleet.member("operator", "o-fern-0001")
        async with a_guest(fleet, boss) as peer:
            for what, message in SENSELESS.items():
                await peer.say(message, m.Beat(0))
                answer = await peer.hear((m.Failure, m.Submitted, m.Done, m.Page, m.Goodbye, m.Outcomes))
                assert isinstance(answer, m.Failure), (what, answer)
                assert answer.message.isprintable(), what
                assert answer.code not in {"internal", "peer_error"}, what
            await peer.say(m.Ask(2, "status"))
            status = (await peer.hear(m.Status)).status
        assert status.accepted == 0
    assert not [r for r in caplog.records if r.exc_info]


ODD = {
    "pages of nobody knows what": m.FindTasks(1, TaskQuery(kinds=("'; DROP TABLE task;--",))),
    "a page after the last number": m.FindTasks(1, TaskQuery(after=HUGE, limit=10**9)),
    "a page before the first": m.FindTasks(1, TaskQuery(before=-(2**63), limit=-5)),
    "all ids there can be": m.FindTasks(1, TaskQuery(ids=(2**64 - 1, -(2**63), 0))),
    "text of wildcards": m.FindTasks(1, TaskQuery(text="%_\\'\"")),
    "nothing at all to submit": m.Submit(1, []),
    "a group of nothing": m.Submit(1, [Group("echo", [])]),
    "no ids at all to cancel": m.Command(1, "cancel", []),
    "events from before the first": m.GetEvents(1, -(2**63), -1),
    "events from after the last": m.GetEvents(1, HUGE, 2**62),
}


async def test_what_is_only_odd_is_answered(tmp_path, caplog) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await submit(remote, "nobody", 1, 2, 3)
        boss = await fleet.member("operator", "o-fern-0001")
        async with a_guest(fleet, boss) as peer:
            for what, message in ODD.items():
                await peer.say(message)
                answer = await peer.hear((m.Failure, m.Submitted, m.Done, m.Page, m.Events, m.Goodbye))
                assert not isinstance(answer, m.Failure | m.Goodbye), (what, answer)
    assert not [r for r in caplog.records if r.exc_info]


@pytest.mark.parametrize(
    "crime", [m.Finished([1], [1], [NIL], [0.1]), m.Steered(1), m.Status, m.Assign([])], ids=str
)
async def test_a_client_that_plays_somebody_else_is_cut_off(tmp_path, crime) -> None:
    if crime is m.Status:
        crime = m.Done(1)
    async with a_fleet(tmp_path) as fleet:
        customer = await fleet.member("client", "c-fern-0001")
        async with a_guest(fleet, customer) as peer:
            await peer.say(crime)
            assert (await peer.goodbye(5)).code == "peer_error"


async def test_a_group_that_lies_about_its_columns_is_garbage(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        customer = await fleet.member("client", "c-fern-0001")
        async with a_guest(fleet, customer) as peer:
            await peer.say_bodies(msgspec.msgpack.encode([40, 1, [["echo", "not a list"]]]))
            assert (await peer.goodbye(5)).code == "peer_error"


@pytest.mark.parametrize(
    ("size", "bound"),
    [(MIB, 40 * MIB), (64 * 1024, 4 * MIB)],
    ids=["a few large results: one answer at most", "many small ones: not four MiB"],
)
async def test_who_asks_and_does_not_read_is_cut_off_with_a_bounded_buffer(
    tmp_path, monkeypatch, size: int, bound: int
) -> None:
    monkeypatch.setattr(session, "WRITE_SECONDS", 1.0)
    most = 0
    async with a_fleet(tmp_path, limits=ManagerLimits(outbox=MIB)) as fleet, fleet.operator() as remote:
        await fleet.worker(capacity=4)
        ids = await submit(remote, "echo", *(bytes(size) for _ in range(24)))
        await results(remote, ids)
        customer = await fleet.member("client", "c-fern-0001")
        before = set(fleet.manager.delivery.links)
        async with a_guest(fleet, customer) as peer:
            (number,) = set(fleet.manager.delivery.links) - before
            link = fleet.manager.delivery.links[number]
            await peer.say(*(m.GetOutcomes(n, ids) for n in range(1, 200)))

            def cut() -> bool:
                nonlocal most
                most = max(most, link.pending)
                return number not in fleet.manager.delivery.links

            await until(cut)
        assert most < bound, "about what the store gives at a time, not two hundred answers"
        more = await submit(remote, "echo", 1)
        assert len(await results(remote, more)) == 1


async def test_a_slow_watcher_is_told_less_and_fetches_the_rest(tmp_path) -> None:
    async with a_fleet(tmp_path, limits=ManagerLimits(outbox=64 * 1024)) as fleet, fleet.operator() as remote:
        await fleet.worker(capacity=4)
        got: dict[int, bytes] = {}
        remote.on_outcomes = lambda outcomes: got.update({one.id: one.result for one in outcomes})
        bodies = [bytes([n]) * MIB for n in range(12)]
        answer = await remote.submit(
            [Group("echo", [msgspec.msgpack.encode(body) for body in bodies])], watch=True
        )
        await until(lambda: len(got) == len(bodies))
        assert [msgspec.msgpack.decode(got[i]) for i in answer.ids] == bodies


async def test_somebody_who_waits_for_room_is_not_taken_for_dead(tmp_path, monkeypatch) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        store, commit = fleet.manager.store, fleet.manager.store.commit
        gate, asked = anyio.Event(), anyio.Event()

        async def slow(batch) -> None:
            asked.set()
            await gate.wait()
            await commit(batch)

        monkeypatch.setattr(store, "commit", slow)
        customer = await fleet.member("client", "c-fern-0001")
        async with a_guest(fleet, customer) as peer:
            dead_after = fleet.config.leases.dead_after
            await peer.say(m.Submit(1, [Group("nobody", [NIL])]), m.Ask(2, "status"))
            await peer.hear(m.Status)
            await peer.say(m.Command(3, "cancel", [1]))  # waits for the commit, and with it all that follows
            await asked.wait()
            link = next(k for k in fleet.manager.delivery.links.values() if k.role == "client")
            assert isinstance(link.session, Session)
            began, beats = anyio.current_time(), 0
            while anyio.current_time() - began < 2 * dead_after:
                await peer.hear(m.Beat)
                beats += 1
            gate.set()
            assert (await peer.hear(m.Submitted)).request == 1
            assert (await peer.hear(m.Done)).ids == [1]
        assert beats >= 5
        assert (await remote.status()).totals[TaskState.CANCELLED.word] == 1


async def test_of_endless_kinds_a_few_are_told_and_the_rest_is_counted(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        for start in range(0, 1_500, 500):
            await remote.submit([Group(f"k{n}", [NIL]) for n in range(start, start + 500)])
        status = await remote.status()
        assert len(status.waiting) == 100
        assert status.waiting_more == 1_400


async def test_a_command_about_many_tasks_is_decided_on_in_slices(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(acts, "SLICE", 100)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        ids = await submit(remote, "nobody", *range(950))
        most = 0
        handle = fleet.pool.handle

        def seen(stimuli, *moments):
            nonlocal most
            most = max([most, *(len(one.ids) for one in stimuli if isinstance(one, s.Cancel | s.Watch))])
            return handle(stimuli, *moments)

        monkeypatch.setattr(fleet.pool, "handle", seen)
        assert await remote.command("cancel", ids=ids) == ids
        assert len(await results(remote, ids)) == 950
        assert most == 100
