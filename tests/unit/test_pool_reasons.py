"""Why tasks wait is always known: whatever keeps them from running has a reason with words of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from taskmessenger.core import stimuli as s
from taskmessenger.core.pool.backlog import Depth
from taskmessenger.core.pool.reasons import MOST_LANES, Reason, Reasons, waits

from tests.support.pool import EPOCH, Fleet, Peer, suspects


def why(fleet: Fleet, kind: str = "echo", target: str | None = None) -> str:
    return Reasons(fleet.pool, {}).of(kind, target).text


@pytest.mark.parametrize(
    ("scope", "kind", "reason"),
    [
        ("all", "echo", "the fleet is paused"),
        ("kind:echo", "echo", "kind `echo` is paused"),
        ("worker:w1", "echo", "worker w1, the only one that offers `echo`, is paused"),
        ("kind:hash", "echo", "its turn"),
        ("kind:hash", "other", "no worker offers `other`"),
    ],
)
def test_a_pause_is_a_reason_where_it_holds(scope: str, kind: str, reason: str) -> None:
    fleet = Fleet()
    fleet.worker()
    fleet.do(s.Pause(scope))
    assert why(fleet, kind) == reason


def barred(peer: Peer) -> None:
    peer.here.share.barred_until = 1e9


def capped(peer: Peer) -> None:
    peer.fleet.do(s.Limit(peer.name, 0))


def ending(peer: Peer) -> None:
    """It keeps a lease that was cancelled."""
    (task,) = peer.fleet.submit()
    peer.start(task)
    peer.fleet.do(s.Cancel([task]))


def offers(**offer: object) -> Callable[[Peer], None]:
    return lambda peer: (peer.fleet.do(peer.offered(**offer)), None)[1]


STUCK = ((7, "spin", EPOCH),)
HELD_UP = {
    "is in quarantine": barred,
    "is leaving": lambda peer: (peer.fleet.do(s.Drain(peer.name, 5.0)), None)[1],
    "is paused": lambda peer: (peer.fleet.do(s.Pause("worker:" + peer.name)), None)[1],
    "is paused by its own operator": offers(paused=True),
    "may have no tasks, for its limit is 0": capped,
    "has all its slots taken by tasks that do not stop": offers(capacity=0, limit=0, stuck=STUCK),
    "has no slot that can run anything (see its log)": offers(capacity=0, limit=0),
    "takes no tasks just now (see its log)": offers(capacity=1, limit=0),
    "has not let go of tasks that were cancelled or taken back": ending,
}


@pytest.mark.parametrize(("words", "happens"), HELD_UP.items(), ids=HELD_UP)
def test_whatever_keeps_the_only_worker_from_taking_tasks_is_the_reason(
    words: str, happens: Callable[[Peer], None]
) -> None:
    fleet = Fleet()
    peer = fleet.worker()
    happens(peer)
    assert why(fleet) == f"worker w1, the only one that offers `echo`, {words}"
    assert why(fleet, target="w1") == f"worker w1, the only one that may, {words}"
    assert not Reasons(fleet.pool).of("echo").is_ordinary
    fleet.worker("w2", capacity=2)
    assert why(fleet) == "its turn"


def test_of_several_workers_all_reasons_are_told() -> None:
    fleet = Fleet()
    for name in ("w1", "w2", "w3"):
        fleet.worker(name)
    for name in ("w1", "w2"):
        fleet.do(s.Pause(f"worker:{name}"))
    assert why(fleet) == "its turn"
    fleet.do(s.Limit("w3", 0))
    assert why(fleet) == (
        "no worker that offers `echo` takes tasks: 2 are paused, 1 may have no tasks, for its limit is 0"
    )
    fleet.do(s.Limit("w3", None), s.Pause("worker:w3"))
    assert why(fleet) == "every worker that offers `echo` is paused"


def test_busy_slots_are_its_turn_and_nothing_to_be_told() -> None:
    fleet = Fleet()
    peer = fleet.worker()
    peer.start(*fleet.submit())
    reason = Reasons(fleet.pool).of("echo")
    assert (reason.text, reason.is_ordinary) == ("its turn: all slots that could run it are busy", True)


def test_nobody_there_and_nobody_who_can_are_two_reasons() -> None:
    fleet = Fleet()
    assert why(fleet) == "no worker offers `echo`: none is connected"
    peer = fleet.worker()
    assert why(fleet, "hash") == "no worker offers `hash`"
    peer.start(*fleet.submit())
    peer.drop()
    assert why(fleet) == "no worker offers `echo` now: w1, which did, is away"
    assert why(fleet, target="w1") == "worker w1, the only one that may, is away"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "does not exist: see `taskmessenger worker ls`"),
        ({"w9": "offline"}, "is offline"),
        ({"w9": "revoked"}, "was revoked"),
        ({"w9": "pending"}, "waits for approval"),
        (None, "is not connected"),
    ],
)
def test_a_worker_that_is_not_there_is_named_and_why(members: dict[str, str] | None, words: str) -> None:
    fleet = Fleet()
    fleet.worker()
    found = Reasons(fleet.pool, members).of("echo", "w9")
    assert found == Reason("no_target", f"worker w9, the only one that may, {words}")


def test_a_worker_that_does_not_offer_the_kind_is_no_worker_for_it() -> None:
    fleet = Fleet()
    fleet.worker()
    assert why(fleet, "hash", "w1") == "worker w1, the only one that may, does not offer `hash`"


def test_a_task_that_is_due_later_says_so_and_whether_it_has_run() -> None:
    fleet = Fleet()
    peer = fleet.worker()
    (delayed,) = fleet.submit(delay=60.0)
    (failed,) = fleet.submit()
    peer.fail(failed)
    reasons = Reasons(fleet.pool)
    assert reasons.of_task(delayed) == Reason("later", "it is due later: its delay is not over")
    again = reasons.of_task(failed)
    assert again is not None
    assert "its next attempt" in again.text
    assert again.is_ordinary


def test_what_runs_has_ended_or_never_was_waits_for_nothing() -> None:
    fleet = Fleet()
    peer = fleet.worker()
    (task,) = fleet.submit()
    assert Reasons(fleet.pool).of_task(task) is None
    peer.start(task)
    assert Reasons(fleet.pool).of_task(task) is None
    peer.succeed(task)
    assert Reasons(fleet.pool).of_task(task) is None
    assert Reasons(fleet.pool).of_task(99) is None


def test_the_stopping_of_the_manager_is_a_reason() -> None:
    fleet = Fleet()
    fleet.pool.stopping = True
    assert why(fleet) == "the manager is stopping"


def test_each_queue_waits_for_its_own_reason_since_its_oldest_task() -> None:
    fleet = Fleet()
    fleet.submit(2, kind="foo")
    fleet.wait(50.0)
    fleet.submit(1, kind="foo")
    fleet.submit(3, kind="foo", target="w9")
    found, more = waits(fleet.pool, {})
    assert more == 0
    assert [(one.kind, one.target, one.count, one.since - EPOCH) for one in found] == [
        ("foo", None, 3, 0.0),
        ("foo", "w9", 3, 50.0),
    ]
    assert found[0].text == "3 tasks wait: no worker offers `foo`: none is connected"


def test_a_cancelled_task_does_not_make_those_that_wait_look_older() -> None:
    fleet = Fleet()
    first = fleet.submit()
    fleet.wait(50.0)
    fleet.submit()
    fleet.do(s.Cancel(first))
    (found,), _ = waits(fleet.pool)
    assert (found.count, found.since - EPOCH) == (1, 50.0)


def test_a_long_queue_is_as_old_as_its_first_task() -> None:
    fleet = Fleet(depth=Depth(in_full=10, shallow=2, drawn=4))
    for _ in range(5):
        fleet.submit(20)
        fleet.wait(1.0)
    (found,), _ = waits(fleet.pool)
    assert (found.count, found.since) == (100, EPOCH)
    assert Reasons(fleet.pool).of_task(100) == found.reason


def test_a_suspect_that_nobody_could_run_waits_for_that_and_not_for_an_idle_worker() -> None:
    fleet = Fleet()
    ids = suspects(fleet, fleet.worker("w0"), 2)
    fleet.do(s.Pause("all"))
    (paused,), _ = waits(fleet.pool)
    assert (paused.count, paused.reason.text) == (2, "the fleet is paused")
    fleet.worker("w1", capacity=4)
    fleet.do(s.Resume("all"))
    (alone,), _ = waits(fleet.pool)
    assert (alone.count, alone.reason.code) == (1, "alone")
    assert "idle to run it alone" in (Reasons(fleet.pool).of_task(ids[1]) or alone.reason).text


def test_of_endless_queues_the_first_are_looked_at_and_the_rest_is_counted() -> None:
    fleet = Fleet()
    for number in range(MOST_LANES + 7):
        fleet.submit(kind=f"k{number}")
    found, more = waits(fleet.pool)
    assert (len(found), more) == (MOST_LANES, 7)
