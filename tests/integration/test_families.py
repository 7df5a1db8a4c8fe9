"""What a task started ends with it, wherever it went: with its job, its process, its guard and its worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import psutil
import pytest
from taskmessenger.runtimes.base import CANCELLED, CRASHED, FAILED, SUCCEEDED, TIMED_OUT
from taskmessenger.runtimes.leftovers import kill_leftovers

from tests.support.runtimes import a_bench, is_running, result, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a promise of Linux only")
ROOT = Path(__file__).parents[2]
WAYS = ("child", "session", "daemon", "clean")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def bench(tmp_path):
    async with a_bench(tmp_path) as bench:
        yield bench


def started(path: Path) -> int:
    return int(path.read_text())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("then", "status"), [("return", SUCCEEDED), ("fail", FAILED), ("crash", CRASHED), ("guard", CRASHED)]
)
async def test_when_the_end_of_a_task_is_told_nothing_that_it_started_runs(
    bench, tmp_path, way, then, status
):
    ended = await bench.run("escape", [str(tmp_path / "pid"), way, then], task=1)
    assert ended.status == status
    assert not is_running(started(tmp_path / "pid"))
    if then == "return":
        assert b"it left 1 process" in bench.heard.output(1)
    assert result(await bench.run("give_sync", "next")) == "next"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["wait", "freeze"])
@pytest.mark.parametrize("end", ["timeout", "cancel"])
async def test_ending_a_task_reaches_whatever_it_started(bench, tmp_path, way, then, end):
    pid = tmp_path / "pid"
    async with anyio.create_task_group() as group:

        async def cancel():
            await until(pid.exists)
            bench.runtimes.cancel(1)

        if end == "cancel":
            group.start_soon(cancel)
        limit = 4.0 if end == "timeout" else None
        ended = await bench.run("escape", [str(pid), way, then], task=1, timeout=limit)
    assert ended.status == (TIMED_OUT if end == "timeout" else CANCELLED)
    assert not is_running(started(pid))


async def test_a_task_that_leaves_nothing_keeps_its_process(bench):
    pids = {result(await bench.run("surroundings"))["pid"] for _ in range(3)}
    assert len(pids) == 1


WORKER = """
import asyncio, sys
from pathlib import Path
from tests.support.runtimes import a_bench

async def main():
    async with a_bench(Path(sys.argv[1])) as bench:
        await bench.run("escape", [sys.argv[2], sys.argv[3], "wait"])

asyncio.run(main())
"""


def a_worker(tmp_path: Path, way: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WORKER, tmp_path, tmp_path / "pid", way], cwd=ROOT)


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_outlives_a_worker_that_is_killed(tmp_path, way):
    worker = a_worker(tmp_path, way)
    await until((tmp_path / "pid").exists)
    below = [*psutil.Process(worker.pid).children(recursive=True)]
    worker.kill()
    worker.wait()
    await until(lambda: not is_running(started(tmp_path / "pid")))
    await until(lambda: not any(is_running(process.pid) for process in below))
    kill_leftovers(tmp_path / "run" / "children")


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_left_when_guard_and_worker_are_killed_is_ended_at_the_next_start(tmp_path, way):
    worker = a_worker(tmp_path, way)
    await until((tmp_path / "pid").exists)
    guards = psutil.Process(worker.pid).children()
    os.kill(worker.pid, signal.SIGSTOP)  # so that it sees nothing of what comes
    for guard in guards:
        guard.kill()
    worker.kill()
    worker.wait()
    assert is_running(started(tmp_path / "pid"))
    children = tmp_path / "run" / "children"
    assert await anyio.to_thread.run_sync(kill_leftovers, children) > 0
    await until(lambda: not is_running(started(tmp_path / "pid")))
    assert list(children.iterdir()) == []
    assert kill_leftovers(children) == 0
