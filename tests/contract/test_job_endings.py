"""Each way in which a job can end, or not begin, in every runtime; and that its slot is free afterwards."""

import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint
from taskmessenger.runtimes import watch
from taskmessenger.runtimes.base import CANCELLED, FAILED, STUCK, SUCCEEDED, TIMED_OUT

from tests.support.runtimes import PATIENCE, a_bench, result, until

FLAVOURS = [
    ("async", "async"),
    ("thread", "async"),
    ("thread", "sync"),
    ("process", "async"),
    ("process", "sync"),
]
WITH_SLOTS = [one for one in FLAVOURS if one[0] != "async"]
"""On the event loop as many run as are given; whoever gives them counts."""
LISTENING = [one for one in FLAVOURS if one[0] != "process"]
"""They are asked to stop; a process is not."""
all_of_them = pytest.mark.parametrize("flavour", FLAVOURS, ids="-".join)
with_slots = pytest.mark.parametrize("flavour", WITH_SLOTS, ids="-".join)
listening = pytest.mark.parametrize("flavour", LISTENING, ids="-".join)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def bench(flavour, tmp_path):
    """With one slot: one that is lost is missed at once."""
    async with a_bench(tmp_path, flavour[0], capacity=1) as bench:
        yield bench
        assert result(await bench.run(f"give_{flavour[1]}", "its slot is free")) == "its slot is free"


@pytest.fixture
def kind(flavour):
    return lambda name: f"{name}_{flavour[1]}"


class Running:
    """Jobs that run beside the test."""

    def __init__(self, bench, group):
        self._bench, self._group = bench, group
        self.ended = {}

    def start(self, kind, payload=None, *, task, **more):
        async def run():
            self.ended[task] = await self._bench.run(kind, payload, task=task, **more)

        self._group.start_soon(run)

    async def end(self, task):
        await until(lambda: task in self.ended)
        return self.ended[task]


@pytest.fixture
async def jobs(bench):
    async with anyio.create_task_group() as group:
        yield Running(bench, group)


async def note(bench, task, text):
    await until(lambda: text in [said for _, said in bench.heard.notes(task)])


# ---- the caller goes away


@all_of_them
async def test_a_job_whose_caller_goes_away_gives_its_slot_back(bench, kind):
    for task in (1, 2, 3):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda n=task: bench.run(kind("linger"), task=n))
            await bench.heard.wait_for_note(task)
            group.cancel_scope.cancel()


@with_slots
async def test_a_caller_that_goes_away_while_it_waits_takes_no_slot(bench, kind, jobs):
    jobs.start(kind("linger"), task=1)
    await bench.heard.wait_for_note(1)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: bench.run(kind("give"), 2, task=2))
        for _ in range(3):
            await checkpoint()
        group.cancel_scope.cancel()
    jobs.start(kind("give"), 3, task=3)
    bench.runtimes.cancel(1)
    assert result(await jobs.end(3)) == 3


# ---- asked to end


@all_of_them
async def test_a_cancel_that_is_swallowed_is_no_success(bench, kind, jobs):
    jobs.start(kind("swallow"), "return", task=1)
    await bench.heard.wait_for_note(1)
    bench.runtimes.cancel(1)
    ended = await jobs.end(1)
    assert (ended.status, ended.result) == (CANCELLED, None)


@all_of_them
async def test_a_time_limit_that_is_swallowed_is_no_success(bench, kind):
    ended = await bench.run(kind("swallow"), "return", timeout=0.1)
    assert (ended.status, ended.result) == (TIMED_OUT, None)


@listening
async def test_a_cancel_in_the_grace_of_a_timeout_changes_nothing(bench, kind, jobs, tmp_path):
    jobs.start(kind("late"), str(tmp_path / "go"), task=1, timeout=0.05)
    await note(bench, 1, "asked")
    bench.runtimes.cancel(1)
    (tmp_path / "go").touch()
    assert (await jobs.end(1)).status == TIMED_OUT


@listening
async def test_cancels_one_after_the_other_do_not_begin_the_grace_anew(bench, kind, jobs, tmp_path):
    jobs.start(kind("late"), str(tmp_path / "go"), task=1, timeout=0.05)
    await note(bench, 1, "asked")
    with anyio.fail_after(PATIENCE):
        while 1 not in jobs.ended:
            bench.runtimes.cancel(1)
            await anyio.sleep(0.01)
    assert (jobs.ended[1].status, jobs.ended[1].error.evidence["asked"]) == (STUCK, "timed_out")
    lingering = bench.runtimes.lingering(1)
    (tmp_path / "go").touch()
    with anyio.fail_after(PATIENCE):
        await lingering.wait()
    assert bench.runtimes.lingering(1) is None


@listening
async def test_a_cancel_while_the_result_is_packed_ends_it(bench, kind, jobs, tmp_path, flavour):
    if flavour[0] == "async":
        (tmp_path / "go").touch()  # it would wait on the event loop, where the cancel comes from
        assert result(await bench.run(kind("slow_to_pack"), str(tmp_path / "go"))) == "packed"
        return
    jobs.start(kind("slow_to_pack"), str(tmp_path / "go"), task=1)
    await note(bench, 1, "packing")
    bench.runtimes.cancel(1)
    (tmp_path / "go").touch()
    assert (await jobs.end(1)).status == CANCELLED


@all_of_them
async def test_a_cancel_just_after_the_end_changes_nothing(bench, kind):
    for task in range(1, 20):
        ended = await bench.run(kind("give"), task, task=task)
        bench.runtimes.cancel(task)
        assert (ended.status, result(ended)) == (SUCCEEDED, task)
        assert bench.runtimes.lingering(task) is None


@all_of_them
async def test_a_cancel_at_once_ends_it(bench, kind, jobs):
    for task in range(1, 6):
        jobs.start(kind("linger"), task=task)
        for _ in range(task):
            await checkpoint()
        with anyio.fail_after(PATIENCE):
            while task not in jobs.ended:
                bench.runtimes.cancel(task)
                await anyio.sleep(0.001)
        assert jobs.ended[task].status == CANCELLED


# ---- one that does not end


async def test_an_async_handler_that_does_not_end_is_reported_and_replaced(tmp_path):
    release = tmp_path / "release"
    async with a_bench(tmp_path, "async", capacity=1) as bench:
        ended = await bench.run("swallow_async", str(release), task=5, timeout=0.1)
        assert (ended.status, ended.error.code) == (STUCK, "stuck")
        assert "did not stop after its time limit" in ended.error.message
        assert "swallow_async.py" in ended.error.stack
        assert "app/runtimes" not in ended.error.stack
        assert ended.error.evidence == {"asked": "timed_out"}
        lingering = bench.runtimes.lingering(5)
        assert not lingering.is_set()
        assert result(await bench.run("give_async", "still serving")) == "still serving"
        release.touch()
        with anyio.fail_after(PATIENCE):
            await lingering.wait()
        assert bench.runtimes.lingering(5) is None


async def test_too_many_async_handlers_that_do_not_end_make_the_worker_say_so(tmp_path):
    async with a_bench(tmp_path, "async") as bench:
        bench.runtimes._by_name["async"]._max_stuck = 2
        for task in (1, 2):
            ended = await bench.run("swallow_async", str(tmp_path / "go"), task=task, timeout=0.02)
            assert ended.status == STUCK
        refused = await bench.run("give_async", 3, task=3)
        assert (refused.status, refused.error.code) == (FAILED, "stuck")
        assert "2 async tasks of this worker do not stop" in refused.error.message
        (tmp_path / "go").touch()
        await until(lambda: bench.runtimes.lingering(1) is None and bench.runtimes.lingering(2) is None)
        assert result(await bench.run("give_async", 3)) == 3


@pytest.mark.parametrize("waits", [False, True])
async def test_an_async_handler_that_blocks_is_named(tmp_path, waits, monkeypatch, caplog):
    monkeypatch.setattr(watch, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(watch, "BLOCKED_SECONDS", 0.2)
    async with a_bench(tmp_path, "async") as bench:
        assert (await bench.run("give_async", 1)).status == SUCCEEDED
        assert (await bench.run("block_async", [2.0, waits], task=7)).status == SUCCEEDED
    said = [record.getMessage() for record in caplog.records if record.name.endswith(".watch")]
    assert len([line for line in said if "`block_async` (task 7) has kept the event loop" in line]) == 1
    assert "block_async.py" in said[-1]


# ---- the end of the worker


@all_of_them
async def test_closing_ends_what_runs_and_what_waits(tmp_path, flavour, kind):
    async with anyio.create_task_group() as group:
        async with a_bench(tmp_path, flavour[0], capacity=1) as bench:
            jobs = Running(bench, group)
            for task in range(1, 5):
                jobs.start(kind("linger"), task=task)
            await until(lambda: any(bench.heard.notes(task) for task in range(1, 5)))
        for task in range(1, 5):
            assert (await jobs.end(task)).status == CANCELLED
        assert (await bench.run(kind("give"), 1, task=9)).status == CANCELLED


@all_of_them
async def test_closing_while_a_job_begins_leaves_nothing(tmp_path, flavour, kind):
    async with anyio.create_task_group() as group:
        async with a_bench(tmp_path, flavour[0], capacity=2) as bench:
            jobs = Running(bench, group)
            for task in (1, 2):
                jobs.start(kind("linger"), task=task)
            await checkpoint()
        for task in (1, 2):
            assert (await jobs.end(task)).status == CANCELLED
        assert (await bench.run(kind("give"), 1, task=9)).status == CANCELLED


async def test_closing_does_not_wait_for_what_does_not_end(tmp_path):
    async with a_bench(tmp_path, "async") as bench, anyio.create_task_group() as group:
        jobs = Running(bench, group)
        jobs.start("swallow_async", str(tmp_path / "go"), task=1)
        await bench.heard.wait_for_note(1)
        with anyio.fail_after(PATIENCE):
            await bench.runtimes.aclose()
        assert (await jobs.end(1)).status == STUCK
        (tmp_path / "go").touch()


# ---- what cannot begin


async def test_a_thread_that_cannot_be_started_costs_no_slot(tmp_path):
    async with a_bench(tmp_path, "thread", capacity=1) as bench:
        before = threading.stack_size(2**46)  # more than there is
        try:
            for task in (1, 2, 3):
                ended = await bench.run("give_sync", 1, task=task)
                assert (ended.status, ended.error.code) == (FAILED, "overloaded")
                assert "this worker cannot start a thread" in ended.error.message
        finally:
            threading.stack_size(before)
        assert result(await bench.run("give_sync", 1)) == 1
