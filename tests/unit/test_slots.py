"""Where leases wait and run: one attempt of a task at a time, nothing that is paused, nothing twice."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import pytest
from taskmessenger.core.errors import PeerError
from taskmessenger.core.stimuli import How
from taskmessenger.handle import ErrorInfo
from taskmessenger.net import messages as m
from taskmessenger.roles import slots as slot_module
from taskmessenger.roles.outbox import Outbox
from taskmessenger.roles.slots import Slots
from taskmessenger.roles.spool import Spool
from taskmessenger.runtimes.base import FAILED, SUCCEEDED, Ended

from tests.support.fleet import Puppet
from tests.support.runtimes import until


class Bench:
    def __init__(self, slots: Slots, outbox: Outbox, puppet: Puppet) -> None:
        self.slots, self.outbox, self.puppet = slots, outbox, puppet
        self.said: list[m.Message] = []
        outbox.send = self.said.append

    def lease(self, *tasks: int, kind: str = "hold", attempt: int = 1) -> None:
        self.slots.assign(kind, [(task, attempt, None, b"\xc0") for task in tasks])

    async def running(self, *tasks: int) -> None:
        await until(lambda: set(self.puppet.running) == set(tasks))

    def ends(self) -> list[tuple[int, int, int]]:
        """Task, attempt and how, of all that was given back or went wrong."""
        self.outbox.flush()
        found = [end[:3] for one in self.said if isinstance(one, m.Broke) for end in one.ends]
        self.said.clear()
        return found


@asynccontextmanager
async def a_bench(tmp_path, capacity: int = 2, prefetch: int = 0, **options):
    outbox, puppet = Outbox(Spool(tmp_path / "spool", 1 << 30)), Puppet()
    slots = Slots(puppet, outbox, capacity, prefetch, **options)
    async with anyio.create_task_group() as group:
        group.start_soon(slots.run)
        yield Bench(slots, outbox, puppet)
        group.cancel_scope.cancel()


async def test_leases_run_in_the_order_they_came_as_slots_allow(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1, 2, 3)
        await bench.running(1, 2)
        assert bench.slots.leases == [(1, 1), (2, 1), (3, 1)]
        assert bench.slots.waiting == 1
        bench.puppet.finish(1)
        await bench.running(2, 3)
        assert bench.puppet.begun == [(1, 1), (2, 1), (3, 1)]


async def test_an_end_that_overtakes_its_lease_holds(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.slots.end([(1, 1)])
        assert bench.ends() == [(1, 1, How.CANCELLED)]
        bench.lease(1)
        bench.lease(1, attempt=2)
        await until(lambda: bench.puppet.begun)
        assert bench.puppet.begun == [(1, 2)], "only the attempt that was ended does not run"


async def test_ends_that_no_lease_follows_are_forgotten_in_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(slot_module, "MAX_REMEMBERED", 10)
    async with a_bench(tmp_path) as bench:
        bench.slots.end([(n, 1) for n in range(1, 101)])
        assert len(bench.slots._ended) == 10


async def test_an_end_reaches_what_runs_what_waits_and_what_is_blocked(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=2) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(1, attempt=2)
        await until(lambda: 1 in bench.slots._blocked)
        bench.lease(2, 3)
        await bench.running(1, 2)
        bench.slots.end([(1, 2), (3, 1)])
        assert sorted(bench.ends()) == [(1, 2, How.CANCELLED), (3, 1, How.CANCELLED)]
        bench.slots.end([(2, 1)])
        await bench.running(1)
        assert bench.ends() == [(2, 1, How.CANCELLED)]
        bench.puppet.finish(1)
        await until(lambda: not bench.slots.leases)
        assert bench.puppet.begun == [(1, 1), (2, 1)]


async def test_the_end_of_another_attempt_ends_nothing(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1, attempt=2)
        await bench.running(1)
        bench.slots.end([(1, 1)])
        assert bench.ends() == [(1, 1, How.CANCELLED)]
        assert bench.puppet.cancelled == []


async def test_the_next_attempt_of_a_task_waits_for_the_one_before(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(1, attempt=2)
        bench.lease(5)
        await bench.running(1, 5)
        assert (1, 2) in bench.slots.leases
        bench.puppet.finish(1)
        await until(lambda: (1, 2) in bench.puppet.begun)
        assert bench.puppet.begun == [(1, 1), (5, 1), (1, 2)]


@pytest.mark.parametrize("scope", ["all", "kind:hold", "worker:me"])
async def test_a_pause_gives_back_what_waits_and_what_comes_later(tmp_path, scope) -> None:
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(1, attempt=2)
        bench.lease(2, 3)
        await until(lambda: bench.slots.waiting == 3)
        bench.slots.pause(scope)
        assert sorted(bench.ends()) == [(1, 2, How.RELEASED), (2, 1, How.RELEASED), (3, 1, How.RELEASED)]
        bench.lease(4)
        assert bench.ends() == [(4, 1, How.RELEASED)], "a large lease may come after the pause"
        bench.puppet.finish(1)
        await bench.running()
        bench.slots.resume(scope)
        bench.lease(5)
        await bench.running(5)
        assert bench.puppet.begun == [(1, 1), (5, 1)]


async def test_a_worker_that_its_operator_paused_gives_back_what_was_under_way(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.slots.closed = True
        bench.lease(1, 2)
        assert bench.ends() == [(1, 1, How.RELEASED), (2, 1, How.RELEASED)]
        bench.slots.closed = False
        bench.lease(3)
        await bench.running(3)
        assert bench.puppet.begun == [(3, 1)]


async def test_a_pause_of_one_kind_leaves_the_others_alone(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.slots.pause("kind:deaf")
        bench.lease(1)
        bench.lease(2, kind="deaf")
        await bench.running(1)
        assert bench.ends() == [(2, 1, How.RELEASED)]


async def test_pauses_are_bounded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(slot_module, "MAX_SCOPES", 3)
    async with a_bench(tmp_path) as bench:
        for n in range(3):
            bench.slots.pause(f"kind:k{n}")
        bench.slots.pause("kind:k0")
        with pytest.raises(PeerError):
            bench.slots.pause("kind:k3")


async def test_who_leaves_begins_nothing_more(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(1, attempt=2)
        bench.lease(2)
        await until(lambda: bench.slots.waiting == 2)
        bench.slots.leaving = True
        bench.slots.give_back()
        bench.lease(3)
        assert sorted(bench.ends()) == [(1, 2, How.RELEASED), (2, 1, How.RELEASED), (3, 1, How.RELEASED)]
        assert bench.slots.limit == 0
        bench.puppet.finish(1)
        await until(lambda: not bench.slots.leases)
        assert bench.puppet.begun == [(1, 1)]


async def test_what_is_given_back_while_it_runs_blames_nobody(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1)
        bench.lease(2, kind="deaf")
        await bench.running(1, 2)
        bench.slots.give_back(running=True)
        await until(lambda: not bench.slots.running)
        assert sorted(bench.ends()) == [(1, 1, How.RELEASED), (2, 1, How.RELEASED)]
        assert bench.outbox.unacknowledged == 0


async def test_what_ends_well_while_it_is_given_back_is_a_result(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.puppet.results[1] = b"\x07"
        bench.slots.give_back(running=True)
        await until(lambda: not bench.slots.running)
        bench.outbox.flush()
        assert m.Finished([1], [1], [b"\x07"], [0.01]) in bench.said


async def test_a_stuck_one_keeps_its_slot_and_says_so(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=2) as bench:
        bench.lease(1, kind="deaf")
        await bench.running(1)
        bench.slots.end([(1, 1)])
        await until(lambda: len(bench.slots.stuck) == 1)
        assert bench.ends() == [(1, 1, How.STUCK)]
        assert (bench.slots.usable, bench.slots.limit) == (1, 1)
        bench.lease(2, 3)
        await bench.running(2)
        bench.puppet.lingers[1].set()
        await bench.running(2, 3)
        assert bench.slots.usable == 2


async def test_a_stuck_one_gives_its_slot_back_where_that_is_wished(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=1, free_stuck=True) as bench:
        bench.lease(1, kind="deaf")
        await bench.running(1)
        bench.slots.end([(1, 1)])
        bench.lease(2)
        await bench.running(2)
        assert not bench.slots.stuck


async def test_with_all_slots_stuck_nothing_is_asked_for_and_what_waits_goes_back(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(slot_module, "STALE_SECONDS", 0.0)
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1, kind="deaf")
        await bench.running(1)
        bench.slots.end([(1, 1)])
        await until(lambda: len(bench.slots.stuck) == 1)
        bench.ends()
        bench.lease(2)
        assert (bench.slots.usable, bench.slots.limit) == (0, 0)
        assert bench.slots.release_stale()
        assert bench.ends() == [(2, 1, How.RELEASED)]


async def test_what_this_worker_cannot_run_goes_back_and_the_slot_rests(
    tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(slot_module, "COOL_SECONDS", 0.05)
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1, 2, kind="broken")
        await until(lambda: bench.slots.resting == 1)
        assert bench.ends() == [(1, 1, How.RELEASED)]
        assert bench.slots.limit == 0
        await until(lambda: len(bench.puppet.begun) == 2)
        await until(lambda: bench.slots.resting == 0)
        assert bench.slots.limit > 0
        assert bench.outbox.failed == 0
    assert "no process can be started" in caplog.text


async def test_what_waits_long_behind_others_goes_back(tmp_path, monkeypatch) -> None:
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(2, 3)
        assert not bench.slots.release_stale(), "it has not waited long"
        monkeypatch.setattr(slot_module, "STALE_SECONDS", 0.0)
        assert bench.slots.release_stale()
        assert bench.ends() == [(2, 1, How.RELEASED), (3, 1, How.RELEASED)]
        assert not bench.slots.release_stale()
        assert bench.slots.leases == [(1, 1)]


async def test_with_no_room_for_results_nothing_begins(tmp_path, monkeypatch) -> None:
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(2)
        monkeypatch.setattr(type(bench.outbox), "full", property(lambda self: True))
        assert bench.slots.limit == 0
        assert bench.slots.release_stale()
        bench.lease(3)
        assert bench.ends() == [(2, 1, How.RELEASED), (3, 1, How.RELEASED)]


async def test_more_leases_than_were_ever_asked_for_go_back(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=1, prefetch=9) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(*range(2, 86))
        assert bench.slots.waiting == 84
        bench.lease(150, 151)
        assert bench.ends() == [(150, 1, How.RELEASED), (151, 1, How.RELEASED)]
        assert bench.slots.waiting == 84


async def test_short_tasks_are_fetched_ahead_and_long_ones_are_not(tmp_path, monkeypatch) -> None:
    async with a_bench(tmp_path, capacity=4, prefetch=100) as bench:
        assert bench.slots.limit == 4, "nothing is known yet"
        bench.lease(*range(1, 33), kind="echo")
        await until(lambda: len(bench.puppet.begun) == 32)
        assert bench.slots.limit == 104, "bounded by what the operator allows"

        async def long(job) -> Ended:
            return Ended(SUCCEEDED, 30.0, b"\xc0")

        monkeypatch.setattr(bench.puppet, "run", long)
        bench.lease(*range(100, 200), kind="echo")
        await until(lambda: not bench.slots.leases)
        assert bench.slots.limit == 4


async def test_one_task_that_turns_out_long_lowers_the_prefetch_before_it_ends(tmp_path, monkeypatch) -> None:
    async with a_bench(tmp_path, capacity=2, prefetch=100) as bench:
        bench.lease(1, 2, 3, kind="echo")
        await until(lambda: not bench.slots.leases)
        assert bench.slots.limit > 10
        bench.lease(4)
        await bench.running(4)
        attempt, kind, began = bench.slots.running[4]
        bench.slots.running[4] = (attempt, kind, began - 60.0)
        assert bench.slots.limit == 2


async def test_trivial_tasks_in_a_row_let_the_event_loop_run(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=1, prefetch=20_000) as bench:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while len(bench.puppet.begun) < 20_000:
                await anyio.lowlevel.checkpoint()
                turns += 1

        bench.lease(*range(1, 20_001), kind="echo")
        with anyio.fail_after(30):
            await count()
        assert turns > 3


async def test_an_attempt_that_fails_is_the_tasks_own_affair(tmp_path) -> None:
    async with a_bench(tmp_path) as bench:
        bench.lease(1, kind="raise")
        await until(lambda: bench.puppet.begun and not bench.slots.leases)
        assert bench.ends() == [(1, 1, How.FAILED)]
        assert bench.slots.resting == 0
        assert Ended(FAILED, 0.0, None, ErrorInfo("failed", "x")).result is None


async def test_what_belongs_to_a_life_that_is_over_ends_without_a_word(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=2) as bench:
        bench.lease(1)
        await bench.running(1)
        bench.lease(1, attempt=2)
        bench.lease(2, 3)
        await bench.running(1, 2)
        assert bench.slots.forget() == 4, "what runs, what waits for that, and what waits for a slot"
        await until(lambda: not bench.slots.leases)
        assert bench.ends() == []
        assert not bench.slots.history
        bench.lease(1, attempt=5)
        await bench.running(1)
        bench.puppet.finish(1)
        await until(lambda: bench.slots.history)
        assert bench.slots.history[0][:2] == (1, 5)


async def test_what_does_not_stop_keeps_its_slot_though_its_life_is_over(tmp_path) -> None:
    async with a_bench(tmp_path, capacity=1) as bench:
        bench.lease(1, kind="deaf")
        await bench.running(1)
        assert bench.slots.forget() == 1
        await until(lambda: len(bench.slots.stuck) == 1)
        assert bench.slots.usable == 0
        assert bench.ends() == []
        bench.puppet.lingers[1].set()
        await until(lambda: bench.slots.usable == 1)
