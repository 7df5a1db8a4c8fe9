"""What only child processes can promise: a crash, a flood or a family costs one job and nothing else."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import psutil
import pytest
from taskmessenger.runtimes.base import CANCELLED, CRASHED, FAILED, SUCCEEDED, TIMED_OUT, Job
from taskmessenger.runtimes.context import OUTPUT_CAP, OUTPUT_END
from taskmessenger.runtimes.leftovers import kill_leftovers, new_home, record
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.process import ProcessRuntime
from taskmessenger.runtimes.registry import Registry
from taskmessenger.runtimes.reports import Reports
from taskmessenger.runtimes.spawn import Given, environment
from taskmessenger.runtimes.warm import SPARE

from tests.support.runtimes import SAMPLES, a_bench, is_running, result, until

MIB = 1024**2
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a promise of Linux only")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def bench(tmp_path):
    async with a_bench(tmp_path, "process") as bench:
        yield bench


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGTERM])
async def test_a_crash_is_an_outcome_with_evidence(bench, number):
    ended = await bench.run("crash", int(number))
    assert (ended.status, ended.error.code) == (CRASHED, "crashed")
    assert ended.error.message.startswith(f"the process of `crash` died of {number.name}: last words")
    assert ended.error.evidence["signal"] == number.name
    assert "last words" in ended.error.evidence["stderr"]
    assert ended.error.evidence["max_rss_kb"] > 1000
    assert result(await bench.run("give_sync", "next")) == "next"


async def test_a_segfault_leaves_its_python_stack(bench):
    ended = await bench.run("crash", int(signal.SIGSEGV))
    assert "crash.py" in ended.error.evidence["stderr"]


@pytest.mark.parametrize("code", [0, 1, 42])
async def test_leaving_without_a_result_is_a_crash_whatever_the_exit_code(bench, code):
    ended = await bench.run("leave", code)
    assert (ended.status, ended.error.evidence["exit_code"]) == (CRASHED, code)
    assert result(await bench.run("give_sync", "next")) == "next"


async def test_many_crashes_use_up_no_slot_no_descriptor_and_no_disk(bench, tmp_path):
    await bench.run("give_sync", 1)
    before = psutil.Process().num_fds()
    for _ in range(10):
        assert (await bench.run("leave", 0)).status == CRASHED
    await bench.run("give_sync", 1)
    await until(lambda: psutil.Process().num_fds() <= before)
    children = tmp_path / "run" / "children"
    await until(lambda: len(list(children.iterdir())) == 1)


async def test_a_poison_task_can_be_seen_to_crash_and_then_to_succeed(bench, tmp_path):
    payload = [str(tmp_path / "runs"), 2]
    statuses = [(await bench.run("count", payload, task=1, attempt=n)).status for n in (1, 2, 3)]
    assert statuses == [CRASHED, CRASHED, SUCCEEDED]


async def test_a_warm_child_runs_one_job_after_the_other_in_fresh_directories(bench):
    first = result(await bench.run("surroundings", task=1))
    second = result(await bench.run("surroundings", task=2))
    assert first["pid"] == second["pid"] != os.getpid()
    assert first["directory"] != second["directory"]


async def test_a_handler_finds_clean_surroundings(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hidden")
    found = result(await bench.run("surroundings", task=11, attempt=4))
    environment = found["environment"]
    assert (environment["TM_TASK"], environment["TM_ATTEMPT"]) == ("11", "4")
    assert "MY_SECRET" not in environment
    assert environment["HOME"] != os.environ.get("HOME")
    assert found["directory"] == found["temporary"]
    assert Path(found["directory"]).is_relative_to(tmp_path / "run")
    assert found["files"] == []
    assert found["pid"] == found["group"] == found["session"]
    assert found["stdin"]
    assert (found["core"], found["open_files"]) == (0, 1024)
    assert found["path"] != found["directory"]
    assert len(found["inherited"]) == 4, "three streams, and what `ls` itself has opened"


def test_the_environment_of_a_child_is_an_allow_list(tmp_path):
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "LD_PRELOAD": "evil.so",
        "AWS_SECRET": "x",
        "PYTHONHOME": "/",
    }
    made = environment(given, tmp_path / "child-1", Given())
    assert {"PATH", "LC_ALL", "TZ"} <= made.keys()
    assert not {"LD_PRELOAD", "AWS_SECRET", "PYTHONHOME"} & made.keys()


async def test_homes_of_children_are_private(bench, tmp_path):
    await bench.run("give_sync", 1)
    (home,) = (tmp_path / "run" / "children").iterdir()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "process.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("end", ["timeout", "cancel"])
async def test_ending_a_job_reaches_its_grandchildren(bench, tmp_path, end):
    pids = tmp_path / "pids"
    async with anyio.create_task_group() as group:

        async def cancel():
            await until(pids.exists)
            bench.runtimes.cancel(1)

        if end == "cancel":
            group.start_soon(cancel)
        ended = await bench.run(
            "family", [str(pids), False], task=1, timeout=3.0 if end == "timeout" else None
        )
    assert ended.status == (TIMED_OUT if end == "timeout" else CANCELLED)
    child, grandchild = map(int, pids.read_text().split())
    await until(lambda: not is_running(child) and not is_running(grandchild))


async def test_a_crash_takes_its_grandchildren_along(bench, tmp_path):
    pids = tmp_path / "pids"
    async with anyio.create_task_group() as group:

        async def kill():
            await until(pids.exists)
            (home,) = (tmp_path / "run" / "children").iterdir()
            os.kill(json.loads((home / "process.json").read_text())["pid"], signal.SIGKILL)

        group.start_soon(kill)
        ended = await bench.run("family", [str(pids), False])
    assert (ended.status, ended.error.evidence["signal"]) == (CRASHED, "SIGKILL")
    for pid in map(int, pids.read_text().split()):
        await until(lambda pid=pid: not is_running(pid))


@linux
async def test_a_fork_bomb_ends_with_its_timeout(bench):
    def breeding():
        for process in psutil.process_iter():
            try:
                if process.environ().get("TM_KIND") == "breed" and is_running(process.pid):
                    return True
            except (psutil.Error, OSError):
                continue
        return False

    ended = await bench.run("breed", timeout=1.0)
    assert ended.status == TIMED_OUT
    await until(lambda: not breeding())
    assert result(await bench.run("give_sync", "next")) == "next"


async def test_a_handler_that_forks_answers_once(bench):
    assert result(await bench.run("twice")) == "original"
    assert result(await bench.run("give_sync", "next")) == "next"


@linux
async def test_memory_is_limited(tmp_path):
    async with a_bench(tmp_path, limits=Limits(memory=512 * MIB)) as bench:
        ended = await bench.run("allocate", 1024 * MIB)
        assert (ended.status, ended.error.message.split(";")[0]) == (FAILED, "MemoryError")
        assert "raise limits.memory_mb" in ended.error.message
        assert result(await bench.run("allocate", MIB)) == MIB


async def test_cpu_time_is_limited_for_each_job_and_not_for_the_child(tmp_path):
    async with a_bench(tmp_path, limits=Limits(cpu_seconds=1)) as bench:
        ended = await bench.run("spin")
        assert (ended.status, ended.error.evidence["signal"]) == (CRASHED, "SIGXCPU")
        assert result(await bench.run("spin", "no")) == "no"


async def test_a_flood_of_output_is_capped_and_does_not_hold_up_the_job(bench):
    ended = await bench.run("flood", OUTPUT_CAP + 2 * MIB, task=1)
    assert result(ended) == OUTPUT_CAP + 2 * MIB
    heard = bench.heard.output(1)
    assert heard.count(b"x" * 1023 + b"\n") == (OUTPUT_CAP + OUTPUT_END) // 1024
    assert heard.endswith(b"x\n")
    assert (await bench.run("flood", 1024, task=2)).status == SUCCEEDED
    assert len(bench.heard.output(2)) == 1024


async def test_an_endless_flood_ends_with_its_timeout(bench):
    ended = await bench.run("flood", None, task=1, timeout=1.0)
    assert ended.status == TIMED_OUT
    assert len(bench.heard.output(1)) <= OUTPUT_CAP + OUTPUT_END + 100


@pytest.mark.parametrize(
    "what", ["close", b"\x00\x00\x00\x01\xc1", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\x91\x01"]
)
async def test_a_handler_that_breaks_the_conversation_is_killed(bench, what):
    ended = await bench.run("hang_up", what)
    assert ended.status == CRASHED
    assert ended.error.evidence["fault"]
    assert result(await bench.run("give_sync", "next")) == "next"


async def test_large_payloads_and_results_pass(bench):
    big = b"x" * (20 * MIB)
    assert result(await bench.run("give_sync", big)) == big


async def test_a_worn_child_is_replaced(tmp_path):
    kinds = {kind.name: kind for kind in Registry.load(("surroundings",), [SAMPLES])}
    runtime = ProcessRuntime(kinds, 1, Reports(lambda *_: None), Limits(), tmp_path, max_jobs=2)
    try:
        pids = [result(await runtime.run(Job(n, 1, "surroundings", b"\xc0")))["pid"] for n in range(4)]
    finally:
        await runtime.aclose()
    assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_a_worker_that_cannot_start_processes_says_so(tmp_path):
    (tmp_path / "run").write_text("a file where the directory should be")
    async with a_bench(tmp_path) as bench:
        ended = await bench.run("crash", 9)
        assert (ended.status, ended.error.code) == (FAILED, "worker_fault")
        assert "cannot start a process for `crash`" in ended.error.message


async def test_a_process_that_cannot_be_recorded_is_not_used(tmp_path, monkeypatch):
    def full(home, pid, mark):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("taskmessenger.runtimes.leftovers.record", full)
    async with a_bench(tmp_path, "process") as bench:
        ended = await bench.run("give_sync", 1)
        assert (ended.status, ended.error.code) == (FAILED, "worker_fault")
        assert "No space left" in ended.error.message
        monkeypatch.undo()
        assert result(await bench.run("give_sync", 1)) == 1


async def test_a_process_that_does_not_get_ready_is_a_fault_of_the_worker(bench, monkeypatch):
    broken = [sys.executable, "-c", "import sys; sys.exit('several\\nlines of trouble')"]
    with monkeypatch.context() as patch:
        patch.setattr("taskmessenger.runtimes.spawn._argv", lambda *_: broken)
        ended = await bench.run("give_sync", 1)
        assert (ended.status, ended.error.code) == (FAILED, "worker_fault")
        assert ended.error.message.endswith("cannot start a process for `give_sync`: lines of trouble")
    assert result(await bench.run("give_sync", 1)) == 1


async def test_a_job_cancelled_while_its_child_starts_does_not_run(bench, tmp_path):
    ended = []
    async with anyio.create_task_group() as group:

        async def run():
            ended.append(await bench.run("count", [str(tmp_path / "runs"), 0], task=1))

        group.start_soon(run)
        await until((tmp_path / "run" / "children").exists)
        bench.runtimes.cancel(1)
    assert ended[0].status == CANCELLED
    assert not (tmp_path / "runs").exists()


DEEDS = (
    "alarm", "timer", "recursion", "stdout", "replaced", "descriptors", "environment", "variable", "open",
    "os", "umask", "handler", "mask", "path", "thread", "leak", "limit", "nice", "timeout", "trace", "chdir",
    "process", "locale",
)  # fmt: skip


@linux
@pytest.mark.parametrize("deed", DEEDS)
async def test_no_task_finds_what_another_did_to_its_process(tmp_path, deed):
    async with a_bench(tmp_path, capacity=1) as bench:
        before = result(await bench.run("damage"))
        ended = await bench.run("damage", deed)
        assert ended.status in {SUCCEEDED, CRASHED}, ended
        after = result(await bench.run("damage", task=99))
        assert before | {"pid": 0} == after | {"pid": 0}
        assert bench.heard.output(99) == b"still heard\n"
        await anyio.sleep(1.1 if deed == "alarm" else 0)
        assert result(await bench.run("damage"))["pid"] == after["pid"]


@linux
@pytest.mark.parametrize("deed", ["alarm", "variable", "umask", "handler", "replaced", "recursion", "chdir"])
async def test_what_can_be_put_back_costs_no_process(tmp_path, deed):
    async with a_bench(tmp_path, capacity=1) as bench:
        before = result(await bench.run("damage"))["pid"]
        await bench.run("damage", deed)
        assert result(await bench.run("damage"))["pid"] == before


async def test_a_process_runs_tasks_of_one_kind_only(bench):
    pids = {kind: result(await bench.run(kind))["pid"] for kind in ("surroundings", "damage")}
    assert pids["surroundings"] != pids["damage"]
    for kind, pid in pids.items():
        assert result(await bench.run(kind))["pid"] == pid


async def test_a_kind_can_ask_for_a_new_process_for_each_task(tmp_path):
    (tmp_path / "kinds").mkdir()
    text = "import os\nRUNTIME = 'process'\nFRESH = True\ndef handle(payload): return os.getpid()\n"
    (tmp_path / "kinds" / "new.py").write_text(text)
    async with a_bench(tmp_path, folders=[tmp_path / "kinds"]) as bench:
        pids = [result(await bench.run("new")) for _ in range(3)]
    assert len(set(pids)) == 3


async def test_processes_of_many_kinds_are_bounded_in_number(tmp_path):
    (tmp_path / "kinds").mkdir()
    for n in range(8):
        text = "RUNTIME = 'process'\ndef handle(payload): return payload\n"
        (tmp_path / "kinds" / f"k{n}.py").write_text(text)
    async with a_bench(tmp_path, capacity=1, folders=[tmp_path / "kinds"]) as bench:
        for n in range(8):
            assert result(await bench.run(f"k{n}", n)) == n
        await until(lambda: len(list((tmp_path / "run" / "children").iterdir())) <= 1 + SPARE)


async def test_files_left_in_the_working_directory_do_not_go_without_a_word(bench, caplog):
    ended = await bench.run("leave_files", {"out.txt": 8, "deep/more.bin": 3}, task=5)
    assert result(ended) == "written"
    said = bench.heard.output(5).decode()
    assert "out.txt (8 bytes)" in said
    assert "deep/more.bin (3 bytes)" in said
    assert "it was removed" in said
    assert "out.txt (8 bytes)" in caplog.text


async def test_loading_a_kind_is_not_charged_to_its_first_task(tmp_path):
    (tmp_path / "kinds").mkdir()
    text = (
        "import time\ntime.sleep(1.5)\nRUNTIME = 'process'\nTIMEOUT = 1\nhandle = lambda payload: payload\n"
    )
    (tmp_path / "kinds" / "slow.py").write_text(text)
    async with a_bench(tmp_path, folders=[tmp_path / "kinds"]) as bench:
        ended = await bench.run("slow", 1)
        assert (result(ended), ended.seconds < 1.0) == (1, True)


async def test_the_last_words_of_a_process_and_the_limit_behind_them_stand_in_the_message(tmp_path):
    async with a_bench(tmp_path, limits=Limits(memory=512 * MIB)) as bench:
        ended = await bench.run("last_words", ["OpenBLAS error: Memory allocation still failed\n\n", 1])
        assert ended.error.message == (
            "the process of `last_words` exited with code 1 before there was a result:"
            " OpenBLAS error: Memory allocation still failed; it probably met its limit, 512 MiB of address"
            " space; raise limits.memory_mb of this worker, or set it to null"
        )
        ended = await bench.run("last_words", ["something else\n", 3])
        assert ended.error.message == (
            "the process of `last_words` exited with code 3 before there was a result: something else"
        )


@linux
async def test_no_limit_means_none(tmp_path):
    async with a_bench(tmp_path, limits=Limits()) as bench:
        found = result(await bench.run("limits_seen"))
    import resource

    ours = [resource.getrlimit(which) for which in range(10) if which != resource.RLIMIT_CORE]
    assert found == list(map(list, ours))


def test_a_process_that_only_has_the_number_of_an_old_child_is_left_alone(tmp_path):
    bystander = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        home = new_home(tmp_path)
        record(home, bystander.pid)
        facts = json.loads((home / "process.json").read_text())
        (home / "process.json").write_text(json.dumps({**facts, "started": facts["started"] - 3600}))
        assert kill_leftovers(tmp_path) == 0
        assert psutil.Process(bystander.pid).is_running()
        assert not home.exists()
    finally:
        bystander.kill()
        bystander.communicate()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "started": 0}'])
def test_a_damaged_record_harms_nobody(tmp_path, content):
    home = new_home(tmp_path)
    (home / "process.json").write_text(content)
    assert kill_leftovers(tmp_path) == 0
    assert not home.exists()
