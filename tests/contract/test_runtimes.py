"""What every runtime promises, on the event loop, in a thread and in a process, for both sorts of handler."""

import math

import anyio
import msgpack
import pytest
from taskmessenger.runtimes.base import CANCELLED, FAILED, STUCK, SUCCEEDED, TIMED_OUT, Job
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.registry import Registry
from taskmessenger.runtimes.reports import Reports
from taskmessenger.runtimes.runner import Runtimes
from taskmessenger.runtimes.thread import ThreadRuntime

from tests.support.runtimes import PATIENCE, SAMPLES, a_bench, result

FLAVOURS = [
    ("async", "async"),
    ("thread", "async"),
    ("thread", "sync"),
    ("process", "async"),
    ("process", "sync"),
]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=FLAVOURS, ids="-".join)
def flavour(request):
    return request.param


@pytest.fixture
async def bench(flavour, tmp_path):
    async with a_bench(tmp_path, flavour[0]) as bench:
        yield bench


@pytest.fixture
def kind(flavour):
    """The name of a sample kind in this flavour."""
    return lambda name: f"{name}_{flavour[1]}"


async def test_a_result_comes_back(bench, kind):
    ended = await bench.run(kind("give"), {"a": [1, 2.5, b"x"], 7: None})
    assert (ended.status, result(ended), ended.error) == (SUCCEEDED, {"a": [1, 2.5, b"x"], 7: None}, None)
    assert 0 <= ended.seconds < PATIENCE


async def test_a_falsy_result_is_a_success(bench, kind):
    for value in (0, "", [], {}, False, None, b"", 0.0):
        ended = await bench.run(kind("give"), value)
        assert ended.status == SUCCEEDED, value
        assert msgpack.unpackb(ended.result) == value
        assert type(msgpack.unpackb(ended.result)) is type(value)


async def test_a_nan_survives(bench, kind):
    assert math.isnan(result(await bench.run(kind("give"), math.nan)))


async def test_a_failure_carries_its_message_and_the_handlers_own_stack(bench, kind):
    ended = await bench.run(kind("fail"), "ValueError")
    assert (ended.status, ended.result) == (FAILED, None)
    assert (ended.error.code, ended.error.message) == ("failed", "ValueError: what it says")
    assert "_deeper" in ended.error.stack
    assert f"{kind('fail')}.py" in ended.error.stack
    assert "app/runtimes" not in ended.error.stack
    assert "taskmessenger/runtimes" not in ended.error.stack


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt"])
async def test_a_handler_that_wants_to_end_the_program_only_fails(bench, kind, name):
    ended = await bench.run(kind("fail"), name)
    assert (ended.status, ended.error.code) == (FAILED, "failed")
    assert ended.error.message == f"{name}: what it says"
    assert result(await bench.run(kind("give"), 1)) == 1


NOT_SENT = {
    "set": "returned a set at ['deep'][0], and msgpack holds only",
    "int": "returned an int of 71 bits",
    "nested": "returned a value nested deeper than 64",
    "object": "returned an object",
}


async def test_a_result_that_cannot_be_sent_is_a_failure_that_names_it(bench, kind):
    for which, says in NOT_SENT.items():
        ended = await bench.run(kind("odd"), which)
        assert (ended.status, ended.error.code) == (FAILED, "bad_result"), which
        assert f"kind `{kind('odd')}` {says}" in ended.error.message


HELPS = {
    "permanent": "permanent",
    "below permanent": "permanent",
    "below a class": "permanent",
    "by name": "permanent",
    "in a group": "permanent",
    "another": "failed",
}


async def test_an_exception_says_whether_another_attempt_can_help(bench, kind):
    for which, code in HELPS.items():
        ended = await bench.run(kind("final"), which)
        assert (ended.status, ended.error.code) == (FAILED, code), which
        assert "it is over" in ended.error.message + ended.error.stack


async def test_numbers_of_numpy_are_numbers(bench, kind):
    ended = await bench.run(kind("numbers"), "scalars")
    assert result(ended) == [3, {"deep": 1.5, 7: True}, 4, 2.0]


CURES = {
    "array": (
        "returned a ndarray at ['x'][1], and msgpack holds only",
        ": return `.tolist()` or `.tobytes()`",
    ),
    "point": (": return `str` of it",),
    "huge": ("returned an int of 71 bits",),
}


async def test_what_numpy_has_besides_is_answered_with_the_cure(bench, kind):
    for which, says in CURES.items():
        ended = await bench.run(kind("numbers"), which)
        assert (ended.status, ended.error.code) == (FAILED, "bad_result"), which
        assert all(part in ended.error.message for part in says)


NO_VALUES = (b"", b"\xc1", b"\x01\x02", b"\xdd\xff\xff\xff\xff", b"\x91" * 500 + b"\x01", b"\xa1\xff")


async def test_a_payload_that_is_no_value_never_reaches_the_handler(bench, kind):
    for number, payload in enumerate(NO_VALUES, 1):
        ended = await bench.runtimes.run(Job(number, 1, kind("give"), payload))
        assert (ended.status, ended.error.code) == (FAILED, "bad_payload"), payload
        assert ended.error.message.startswith(f"payload of `{kind('give')}`: ")


async def test_a_timeout_ends_it(bench, kind):
    ended = await bench.run(kind("linger"), timeout=0.3)
    assert (ended.status, ended.error.code) == (TIMED_OUT, "timed_out")
    assert "longer than its limit of 0.3 s" in ended.error.message
    assert result(await bench.run(kind("give"), "next")) == "next"


async def test_a_cancel_ends_it(bench, kind):
    async with anyio.create_task_group() as group:

        async def cancel():
            await bench.heard.wait_for_note(7)
            bench.runtimes.cancel(7)

        group.start_soon(cancel)
        ended = await bench.run(kind("linger"), task=7)
    assert (ended.status, ended.error.code) == (CANCELLED, "cancelled")
    assert result(await bench.run(kind("give"), "next")) == "next"


async def test_cancelling_what_does_not_run_does_nothing(bench, kind):
    bench.runtimes.cancel(12345)
    assert bench.runtimes.lingering(12345) is None
    assert result(await bench.run(kind("give"), 1)) == 1


async def test_progress_and_output_arrive_while_it_runs(bench, kind, tmp_path):
    ended = []
    async with anyio.create_task_group() as group:

        async def run():
            ended.append(await bench.run(kind("tell"), str(tmp_path / "go"), task=9, attempt=3))

        group.start_soon(run)
        await bench.heard.wait_for_note(9)
        assert not ended
        (tmp_path / "go").touch()
    assert bench.heard.notes(9) == [(0.5, "half")]
    assert bench.heard.output(9) == b"hello\n"
    assert result(ended[0]) == [9, 3, kind("tell")]


async def test_output_that_was_not_delivered_yet_comes_before_the_end(bench, kind, tmp_path):
    (tmp_path / "go").touch()
    await bench.run(kind("tell"), str(tmp_path / "go"), task=9)
    assert bench.heard.output(9) == b"hello\n"


async def test_jobs_run_at_the_same_time(bench, kind, tmp_path):
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    results = []

    async def run():
        results.append(result(await bench.run(kind("meet"), [str(meeting), 2])))

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(run)
    assert sorted(results) == [1, 2]


async def test_more_jobs_than_slots_all_get_their_turn(bench, kind):
    results = []

    async def run(number):
        results.append(result(await bench.run(kind("give"), number)))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(run, number)
    assert sorted(results) == list(range(50))


async def test_an_unknown_kind_is_a_failure(bench):
    ended = await bench.run("nonsense")
    assert (ended.status, ended.error.code) == (FAILED, "unknown_kind")
    assert "`nonsense`" in ended.error.message


async def test_closing_ends_what_runs(tmp_path, flavour, kind):
    ended = []
    async with anyio.create_task_group() as group, a_bench(tmp_path, flavour[0]) as bench:

        async def run():
            ended.append(await bench.run(kind("linger"), task=1))

        group.start_soon(run)
        await bench.heard.wait_for_note(1)
    assert [e.status for e in ended] == [CANCELLED]


# what only one of them can or cannot do


async def test_the_kinds_own_time_limit_counts_when_the_task_has_none(tmp_path):
    samples = tmp_path / "kinds"
    samples.mkdir()
    (samples / "slow.py").write_text(
        "import asyncio\nTIMEOUT = 0.1\nasync def handle(p): await asyncio.sleep(60)"
    )
    runtimes = Runtimes(Registry.load(("slow",), [samples]), 1, lambda *_: None, Limits(), tmp_path)
    with anyio.fail_after(PATIENCE):
        assert (await runtimes.run(Job(1, 1, "slow", b"\xc0"))).status == TIMED_OUT


async def test_an_async_handler_that_cancels_itself_has_failed(tmp_path):
    samples = tmp_path / "kinds"
    samples.mkdir()
    (samples / "selfish.py").write_text("import asyncio\nasync def handle(p): raise asyncio.CancelledError")
    runtimes = Runtimes(Registry.load(("selfish",), [samples]), 1, lambda *_: None, Limits(), tmp_path)
    ended = await runtimes.run(Job(1, 1, "selfish", b"\xc0"))
    assert (ended.status, ended.error.message) == (FAILED, "CancelledError")


async def test_a_thread_that_does_not_stop_is_reported_and_replaced(tmp_path):
    release = tmp_path / "release"
    async with a_bench(tmp_path, "thread", capacity=1) as bench:
        ended = await bench.run("deaf", str(release), task=5, timeout=0.1)
        assert (ended.status, ended.error.code) == (STUCK, "stuck")
        assert "did not stop after its time limit" in ended.error.message
        assert "deaf.py" in ended.error.stack
        assert ended.error.evidence == {"asked": "timed_out"}

        lingering = bench.runtimes.lingering(5)
        assert lingering is not None
        assert not lingering.is_set()
        assert result(await bench.run("give_sync", "still serving")) == "still serving"

        release.touch()
        with anyio.fail_after(PATIENCE):
            await lingering.wait()
        assert bench.runtimes.lingering(5) is None
        assert result(await bench.run("give_sync", 1)) == 1


async def test_too_many_stuck_threads_make_the_worker_say_so(tmp_path):
    kinds = {kind.name: kind for kind in Registry.load(("deaf",), [SAMPLES], {"deaf": "thread"})}
    runtime = ThreadRuntime(kinds, 1, Reports(lambda *_: None), grace=0.05, max_stuck=2)
    payload = msgpack.packb(str(tmp_path / "release"))
    try:
        for task in (1, 2):
            assert (await runtime.run(Job(task, 1, "deaf", payload, 0.05))).status == STUCK
        refused = await runtime.run(Job(3, 1, "deaf", payload))
        assert (refused.status, refused.error.code) == (FAILED, "stuck")
        assert "2 threads of this worker cannot be ended" in refused.error.message
    finally:
        (tmp_path / "release").touch()
        await runtime.aclose()


async def test_a_waiting_job_can_be_cancelled_before_its_turn(tmp_path):
    async with a_bench(tmp_path, "thread", capacity=1) as bench, anyio.create_task_group() as group:
        ended = {}

        async def run(task):
            ended[task] = await bench.run("linger_sync", task=task)

        group.start_soon(run, 1)
        await bench.heard.wait_for_note(1)
        group.start_soon(run, 2)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        bench.runtimes.cancel(2)
        bench.runtimes.cancel(1)
        while len(ended) < 2:
            await anyio.sleep(0.01)
        assert {task: e.status for task, e in ended.items()} == {1: CANCELLED, 2: CANCELLED}
        assert bench.heard.notes(2) == []
