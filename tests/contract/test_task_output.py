"""What task code prints is its output, in every runtime, and it cannot lose or spoil that of anybody else."""

import io
import logging
import logging.config
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import anyio
import pytest
from taskmessenger import logs, streams
from taskmessenger.config.model import Logging
from taskmessenger.paths import under
from taskmessenger.runtimes.base import SUCCEEDED
from taskmessenger.runtimes.context import OUTPUT_CAP, OUTPUT_END

from tests.support.runtimes import a_bench, result, until

FLAVOURS = [
    ("async", "async"),
    ("thread", "async"),
    ("thread", "sync"),
    ("process", "async"),
    ("process", "sync"),
]
all_of_them = pytest.mark.parametrize("flavour", FLAVOURS, ids="-".join)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def bench(flavour, tmp_path):
    async with a_bench(tmp_path, flavour[0]) as bench:
        yield bench


@pytest.fixture
def kind(flavour):
    return lambda name: f"{name}_{flavour[1]}"


@all_of_them
async def test_what_a_handler_prints_is_its_output(bench, kind):
    ended = await bench.run(kind("print"), "print", task=7)
    assert bench.heard.output(7).decode() == "printed é\\ud800\nbytes\nlines\nerror\n"
    terminal, encoding, number, *read = result(ended)
    assert (terminal, encoding.lower(), number, read) == (False, "utf-8", 1, ["", []])


@all_of_them
async def test_closed_or_replaced_streams_are_those_of_one_task_at_most(bench, kind, flavour):
    for payload in ("close", "replace"):
        ended = await bench.run(kind("print"), payload)
        assert ended.status == SUCCEEDED or flavour[0] == "process"  # where they are its own to close
    await bench.run(kind("print"), "print", task=7)
    assert bench.heard.output(7).startswith(b"printed")


@all_of_them
async def test_output_has_a_cap_and_its_end_comes_through(bench, kind):
    assert (await bench.run(kind("print"), "flood", task=7)).status == SUCCEEDED
    heard, whole = bench.heard.output(7), 13 * (1024 * 1024 + 1)
    lost = f"[taskmessenger: {whole - OUTPUT_CAP - OUTPUT_END:,} bytes of output left out here]\n".encode()
    assert heard[OUTPUT_CAP:].lstrip(b"\n") == lost + b"x" * (OUTPUT_END - 1) + b"\n"


@all_of_them
async def test_what_is_written_through_the_context_is_capped_too_and_its_end_comes_through(bench, kind):
    assert (await bench.run(kind("tell"), ["flood"], task=7)).status == SUCCEEDED
    heard = bench.heard.output(7)
    assert OUTPUT_CAP / 2 < len(heard) < OUTPUT_CAP + 2 * OUTPUT_END
    assert heard.count(b"of output left out here]") == 1
    assert heard.endswith(b"x" * 1_000 + b"the end\n")


async def test_tasks_that_print_at_the_same_time_have_each_their_own(tmp_path):
    samples = tmp_path / "kinds"
    samples.mkdir()
    async with a_bench(tmp_path, "thread", capacity=4) as bench:
        async with anyio.create_task_group() as group:
            for task in range(1, 9):
                group.start_soon(lambda n=task: bench.run("tell_sync", str(tmp_path / "go"), task=n))
            await until(lambda: sum(bool(bench.heard.notes(n)) for n in range(1, 9)) >= 4)
            (tmp_path / "go").touch()
        assert {bench.heard.output(n) for n in range(1, 9)} == {b"hello\n"}


def test_printing_never_fails_whatever_became_of_the_stream():
    program = """
import os, sys, threading
from taskmessenger import streams
streams.put_in_place()
taken = []
def task():
    streams.belongs_to.set(taken.append)
    print("in a task", flush=True)
    inner = threading.Thread(target=lambda: print("of a thread that it started", flush=True))
    inner.start(); inner.join()
def check():
    thread = threading.Thread(target=task); thread.start(); thread.join()
    print("outside", flush=True)
    print("outside", file=sys.stderr, flush=True)
    assert b"".join(taken) == b"in a task\\n", taken
    taken.clear()
check()
if sys.__stdout__: sys.__stdout__.close()
check()
streams.mend()
check()
os.close(1); os.close(2)
streams.mend()
os.fstat(1), os.fstat(2)
check()
os._exit(23)
"""
    with Path("/dev/full").open("w") as full:
        for output in (full, subprocess.DEVNULL):
            done = subprocess.run(
                [sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, check=False
            )
            assert done.returncode == 23, done.stderr
    closed = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c", program], check=False
    )
    assert closed.returncode == 23
    read, write = os.pipe()
    os.close(read)
    gone = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert gone.returncode == 23, gone.stderr


def test_a_fork_of_a_task_prints_by_itself():
    program = """
import os, sys, threading
from taskmessenger import streams
streams.put_in_place()
taken = []
def task():
    streams.belongs_to.set(taken.append)
    child = os.fork()
    print("child" if child == 0 else "parent", flush=True)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
thread = threading.Thread(target=task); thread.start(); thread.join()
assert taken == [b"parent", b"\\n"], taken
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "child\n"


SILENCES = {
    "dictConfig": lambda: logging.config.dictConfig({"version": 1}),
    "dictConfig with a root": lambda: logging.config.dictConfig(
        {"version": 1, "root": {"level": "CRITICAL", "handlers": []}}
    ),
    "disable": partial(logging.disable, logging.CRITICAL),
    "basicConfig": lambda: logging.basicConfig(force=True, level=logging.CRITICAL, stream=io.StringIO()),
    "shutdown": logging.shutdown,
    "the root's handlers": logging.getLogger().handlers.clear,
    "the root's level": lambda: logging.getLogger().setLevel(logging.CRITICAL + 1),
}


@pytest.fixture
def logging_as_it_was():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.disable(logging.NOTSET)
    logs.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("how", SILENCES)
@pytest.mark.parametrize("name", ["taskmessenger.roles.worker", "taskmessenger.made_later"])
def test_task_code_that_sets_up_logging_silences_nothing_of_ours(tmp_path, how, name, logging_as_it_was):
    written = io.StringIO()
    tail = logs.Tail()
    path = logs.setup("worker", Logging(), under(tmp_path), written)
    logs.follow(tail)
    try:
        if "later" not in name:
            logging.getLogger(name).info("before")
        SILENCES[how]()
        logging.getLogger(f"{name}.{how}" if "later" in name else name).info("after")
        for seen in (written.getvalue(), path.read_text(), str(tail.take())):
            assert seen.count("after") == 1
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
    finally:
        logs.unfollow(tail)


def test_loggers_of_others_are_ordinary_ones(tmp_path, logging_as_it_was):
    logs.setup("worker", Logging(), under(tmp_path), io.StringIO())
    theirs = logging.getLogger("somebody.elses")
    assert type(theirs) is logging.Logger
    theirs.disabled = True
    assert theirs.disabled


def test_streams_are_taken_away_again():
    before = sys.stdout, sys.stderr, sys.stdin
    streams.put_in_place()
    assert streams.underneath(sys.stdout) is before[0]
    assert threading.current_thread() is threading.main_thread()
    streams.take_away()
    assert (sys.stdout, sys.stderr, sys.stdin) == before
