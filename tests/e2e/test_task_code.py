"""What task code does to the process it runs in: it keeps no worker from ending, nor from starting again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from taskmessenger.core.errors import Conflict
from taskmessenger.locks import OneWorker
from taskmessenger.paths import under

from tests.support.processes import COMMAND, Fleet, environment, fleet, until
from tests.support.runtimes import is_running
from tests.support.terminal import Terminal

SWALLOWS = """
import asyncio
async def handle(payload, ctx):
    ctx.progress(0.5, "begun")
    while True:
        try:
            await asyncio.sleep(0.01)
        except BaseException:
            pass
"""
LEAVES_A_THREAD = """
import asyncio, atexit, threading, time
RUNTIME = "thread"
def handle(payload, ctx):
    threading.Thread(target=time.sleep, args=(600,)).start()
    atexit.register(time.sleep, 600)
    return "left it"
"""
BLOCKS_A_HELPER = """
import asyncio, time
async def handle(payload, ctx):
    ctx.progress(0.5, "begun")
    await asyncio.to_thread(time.sleep, 600)
"""
DEAF = """
import time
RUNTIME = "thread"
def handle(payload, ctx):
    ctx.progress(0.5, "begun")
    time.sleep(600)
"""
FORKS = """
import os, time
RUNTIME = "thread"
def handle(payload):
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    return child
"""
POOL = """
import multiprocessing
RUNTIME = "thread"
def handle(payload):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, range(-10, 0)))
"""


PRINTS = """
import os, subprocess, sys
RUNTIME = "thread"
def handle(payload, ctx):
    print("PRINTED by the handler")
    os.write(1, b"WRITTEN to a descriptor" + bytes([10]))
    subprocess.run("echo WRITTEN by a program; echo WRITTEN as an error >&2", shell=True)
    keys = subprocess.run(["head", "-c", "2"], stdout=subprocess.PIPE).stdout
    ctx.progress(1.0, "done")
    return [sys.stdout.isatty(), sys.stdout.encoding, len(keys)]
"""
SILENCES = """
import logging, logging.config
RUNTIME = "thread"
def handle(payload):
    logging.config.dictConfig({"version": 1})
    logging.disable(logging.CRITICAL)
    logging.basicConfig(force=True)
    logging.shutdown()
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("fleet")) as one:
        one.manager()
        yield one


def kinds(here: Fleet, worker: str, **code: str) -> None:
    """Give a worker these kinds, before it starts."""
    folder = under(here.worker_home(worker)).kinds
    folder.mkdir(parents=True, mode=0o700)
    for name, text in code.items():
        (folder / f"{name}.py").write_text(text)


def running(here: Fleet, number: int) -> bool:
    return here.ask(lambda remote: remote.status()).totals.get("running") == number


def test_a_worker_ends_whatever_its_tasks_still_do(here: Fleet) -> None:
    kinds(here, "ash", swallows=SWALLOWS, leaves=LEAVES_A_THREAD, helper=BLOCKS_A_HELPER, deaf=DEAF)
    worker = here.worker("ash", "--capacity", "4")
    assert here.run("submit", "leaves", "x", "--wait").stdout == "left it\n"
    for kind in ("swallows", "helper", "deaf"):
        here.run("submit", kind, "x", "--max-attempts", "1")
    worker.expect(lambda: running(here, 3), "running all three")
    worker.popen.send_signal(signal.SIGTERM)
    worker.expect(lambda: "SIGTERM" in worker.said(), "told")
    assert worker.stop() == 0, worker.said()
    assert "Traceback" not in worker.said()
    here.run("task", "cancel", "--filter", "state:queued", "--yes")


def test_what_a_task_forked_holds_nothing_of_the_worker(here: Fleet) -> None:
    kinds(here, "elm", forks=FORKS, pool=POOL)
    worker = here.worker("elm", "--capacity", "2")
    child = int(here.run("submit", "forks", "x", "--wait").stdout)
    try:
        assert here.run("submit", "pool", "x", "--wait").stdout == "55\n"
        held = [str(entry.readlink()) for entry in Path(f"/proc/{child}/fd").iterdir()]
        assert not [one for one in held if one.endswith((".lock", ".spool"))]
        inodes = {one[8:-1] for one in held if one.startswith("socket:")}
        table = Path(f"/proc/{child}/net/tcp").read_text().splitlines()[1:]
        assert not [line for line in table if line.split()[9] in inodes]
        os.kill(child, signal.SIGTERM)
        until(lambda: not is_running(child))
        assert worker.running
        assert "SIGTERM" not in worker.said()
        again = int(here.run("submit", "forks", "x", "--wait").stdout)
        worker.kill()
        here.worker("elm").stop()
        until(lambda: not is_running(again))
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_what_a_task_writes_reaches_neither_the_console_nor_its_keys(here: Fleet) -> None:
    kinds(here, "yew", prints=PRINTS)
    home = here.worker_home("yew")
    join = ["--name", "yew", "--join", here.invite()]
    with Terminal([*COMMAND, "--role", "worker", *join], environment(home)) as terminal:
        terminal.until("connected")
        for _ in range(2):
            done = here.run("submit", "prints", "x", "--wait", "--json")
            (outcome,) = json.loads(done.stdout)
            assert outcome["result"] == [False, "utf-8", 0]
        log = under(home).log_file("worker")
        terminal.until(lambda: log.read_text().count("WRITTEN as an error") == 2)
        assert log.read_text().count("WRITTEN to a descriptor") == 2
        assert log.read_text().count("WRITTEN by a program") == 2
        terminal.read(0.2)
        assert not re.search(rb"(?<!task: )WRITTEN", terminal.raw)
        terminal.press("q")
        terminal.until("goes on here")
        terminal.press("\r")
        terminal.until("goes on without its console")
        assert terminal.is_restored()
        start = len(terminal.raw)
        assert here.run("submit", "prints", "x", "--wait").returncode == 0
        terminal.until("WRITTEN by a program", since=start)
        terminal.signal(signal.SIGTERM)
        assert terminal.ended() == 0


def test_a_worker_goes_on_when_the_reader_of_its_output_has_gone_and_its_log_was_shut(here: Fleet) -> None:
    kinds(here, "fig", prints=PRINTS, silences=SILENCES)
    worker = here.worker("fig")
    log = under(here.worker_home("fig")).log_file("worker")
    assert here.run("submit", "silences", "x", "--wait").returncode == 0
    assert here.run("submit", "prints", "x", "--wait").returncode == 0
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    for text in (log.read_text(), worker.said()):
        assert "SIGTERM: stopping" in text
        assert "draining" in text


def test_a_second_worker_of_one_home_is_told_who_has_it(here: Fleet) -> None:
    worker = here.worker("oak")
    try:
        refused = here._start("worker", here.worker_home("oak"), ["--name", "oak"])
        assert refused.wait() == 7
        assert f"another worker (process {worker.pid}) runs from" in refused.said()
    finally:
        worker.stop()


def test_who_holds_the_lock_of_a_dead_worker_is_named(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    path.write_text(str(gone.pid))
    # As one that a library in C has forked: no hook of ours was called, so it has kept the lock.
    holds = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Conflict) as caught, OneWorker(path):
            pass
        assert f"process {other.pid}, which a task of it started, still holds its lock" in str(caught.value)
        other.kill()
    with OneWorker(path):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(Conflict, match="another worker \\(this process\\) runs from"), OneWorker(path):
            pass
