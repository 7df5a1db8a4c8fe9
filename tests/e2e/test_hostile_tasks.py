"""Task code that does what harms its process: all of it becomes an outcome, and the worker goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group, Outcome
from taskmessenger.paths import under

from tests.support.processes import Fleet
from tests.support.processes import fleet as running_fleet

IN_A_THREAD = '''
"""Does one of these in the worker's own process."""
import os, sys, threading
RUNTIME = "thread"


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no words")
    __repr__ = __str__


class Endless(Exception):
    def __str__(self):
        return "x" * 70_000_000


def deep(value):
    return deep(value) + 1


def cycle():
    value = []
    value.append({"again": value})
    return value


def fail(error):
    raise error


def group():
    error = ValueError("inner")
    error.__cause__ = error
    raise error


DEEDS = {
    "leaves": lambda: sys.exit(3),
    "leaves with an object": lambda: sys.exit(Broken()),
    "interrupts": lambda: fail(KeyboardInterrupt()),
    "ends a generator": lambda: fail(GeneratorExit()),
    "never comes back up": lambda: deep(1),
    "wants a thousand gigabytes": lambda: bytes(10**12),
    "half a pair of surrogates": lambda: "\\udc80",
    "contains itself": cycle,
    "too large": lambda: bytes(70_000_000),
    "an error without words": lambda: fail(Broken()),
    "an error of endless words": lambda: fail(Endless()),
    "an error that is its own cause": group,
    "a thread": threading.Thread,
    "a class": lambda: Broken,
}


def handle(payload):
    return DEEDS[payload]()
'''
IN_A_PROCESS = '''
"""Does one of these in a process of its own."""
import os, signal, time
RUNTIME = "process"


def deaf():
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    while True:
        time.sleep(1)


def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def leads_elsewhere():
    os.setpgid(0, 0) if os.getpgid(0) != os.getpid() else None
    os.kill(0, signal.SIGSTOP)
    time.sleep(600)


DEEDS = {"hears no signal": deaf, "stops itself": stopped, "stops its group": leads_elsewhere,
         "kills itself": lambda: os.kill(os.getpid(), signal.SIGKILL)}


def handle(payload):
    return DEEDS[payload]()
'''
THREAD_DEEDS = (
    "leaves", "leaves with an object", "interrupts", "ends a generator", "never comes back up",
    "wants a thousand gigabytes", "half a pair of surrogates", "contains itself", "too large",
    "an error without words", "an error of endless words", "an error that is its own cause",
    "a thread", "a class",
)  # fmt: skip
PROCESS_DEEDS = {
    "hears no signal": TaskState.TIMED_OUT, "stops itself": TaskState.TIMED_OUT,
    "stops its group": TaskState.TIMED_OUT, "kills itself": TaskState.FAILED,
}  # fmt: skip
SHOWN = 16_384
"""Characters of an error, at most."""
BOUND = 60.0
"""Seconds after which what does not end has outlived its limits."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        folder = under(one.worker_home("fern")).kinds
        folder.mkdir(parents=True, mode=0o700)
        (folder / "threaded.py").write_text(IN_A_THREAD, encoding="utf-8")
        (folder / "apart.py").write_text(IN_A_PROCESS, encoding="utf-8")
        one.manager()
        yield one


def outcomes(here: Fleet, kind: str, *deeds: str, **options: float) -> dict[str, Outcome]:
    """What became of each."""

    async def ask(remote) -> dict[str, Outcome]:
        payloads = [b"\xd9" + bytes([len(deed)]) + deed.encode() for deed in deeds]
        ids = (await remote.submit([Group(kind, payloads, max_attempts=1, **options)])).ids
        with anyio.fail_after(BOUND):
            await remote.wait(ids)
        found = {one.id: one for one in await remote.outcomes(ids)}
        return {deed: found[task] for task, deed in zip(ids, deeds, strict=True)}

    return here.ask(ask)


def test_whatever_a_task_in_a_thread_does_is_an_outcome_and_the_worker_lives(here: Fleet) -> None:
    worker = here.worker("fern", "--capacity", "2")
    found = outcomes(here, "threaded", *THREAD_DEEDS)
    assert {deed: one.state for deed, one in found.items()} == dict.fromkeys(THREAD_DEEDS, TaskState.FAILED)
    for deed, one in found.items():
        assert one.error is not None, deed
        assert one.error.code, deed
        assert len(one.error.message) + len(one.error.stack) <= 2 * SHOWN, deed
    assert here.run("submit", "reverse", "still here", "--wait").stdout == "ereh llits\n"
    assert worker.running
    assert worker.stop() == 0, worker.said()


def test_a_process_that_does_not_want_to_end_is_ended_in_time(here: Fleet) -> None:
    worker = here.worker("fern", "--capacity", "4")
    found = outcomes(here, "apart", *PROCESS_DEEDS, timeout=0.7)
    assert {deed: one.state for deed, one in found.items()} == PROCESS_DEEDS
    assert here.run("submit", "reverse", "still here", "--wait").stdout == "ereh llits\n"
    assert worker.stop() == 0, worker.said()
