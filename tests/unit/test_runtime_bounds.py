"""Bounds of the runtimes, tried at the bound; and what is not theirs they leave alone."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from taskmessenger.core.errors import ConfigError, FrameTooLarge
from taskmessenger.runtimes import leftovers, registry
from taskmessenger.runtimes.children import _Pipe
from taskmessenger.runtimes.context import Stop
from taskmessenger.runtimes.frames import HEADER, MAX_FRAME, body_size
from taskmessenger.runtimes.invoke import _run_async
from taskmessenger.runtimes.loading import load_kind
from taskmessenger.runtimes.registry import Registry

from tests.support.runtimes import is_running


def test_a_message_may_be_as_large_as_is_allowed_and_no_larger():
    assert body_size(HEADER.pack(MAX_FRAME)) == MAX_FRAME
    with pytest.raises(FrameTooLarge):
        body_size(HEADER.pack(MAX_FRAME + 1))


def test_a_worker_may_offer_as_many_kinds_as_are_allowed_and_no_more(monkeypatch):
    there = len(Registry.load())
    monkeypatch.setattr(registry, "MAX_KINDS", there)
    assert len(Registry.load()) == there
    monkeypatch.setattr(registry, "MAX_KINDS", there - 1)
    with pytest.raises(ConfigError, match=f"there are {there} of the {there - 1} kinds"):
        Registry.load()


def test_a_file_that_cannot_be_loaded_leaves_no_half_of_a_module(tmp_path):
    (tmp_path / "half.py").write_text("begun = True\nraise SystemExit(3)")
    with pytest.raises(ConfigError, match=r"half\.py: cannot be loaded: SystemExit: 3"):
        load_kind("half", f"file:{tmp_path / 'half.py'}")
    assert not [name for name in sys.modules if name.endswith("half")]


def test_a_limit_above_the_hard_one_becomes_the_hard_one():
    program = """
import resource
from taskmessenger.runtimes.limits import _lower
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))
_lower(resource.RLIMIT_NOFILE, 200)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
_lower(resource.RLIMIT_NOFILE, 70)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "100 100\n70 70\n"


def test_a_link_among_the_homes_of_children_is_nobodys_home(tmp_path):
    run_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    home = leftovers.new_home(run_dir)
    elsewhere.mkdir()
    (run_dir / f"{home.name}-link").symlink_to(elsewhere)
    sleep = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    with subprocess.Popen(sleep, stdout=subprocess.PIPE, start_new_session=True) as other:
        try:
            assert other.stdout.read(1) == b"1"
            for place in (elsewhere, home):
                leftovers.record(place, other.pid)
            (home / leftovers._RECORD).unlink()
            leftovers.kill_leftovers(run_dir)
            assert is_running(other.pid)
            assert not home.exists()
        finally:
            other.kill()


def test_a_process_with_a_mark_of_another_name_is_left_alone(tmp_path):
    home = leftovers.new_home(tmp_path / "run")
    sleep = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    theirs = {**os.environ, f"NOT_{leftovers.MARK}": home.name}
    ours = {**os.environ, leftovers.MARK: home.name}
    theirs.pop(leftovers.MARK, None)
    with (
        subprocess.Popen(sleep, env=theirs, stdout=subprocess.PIPE) as other,
        subprocess.Popen(sleep, env=ours, stdout=subprocess.PIPE) as one,
    ):
        try:
            assert other.stdout.read(1) == one.stdout.read(1) == b"1"
            assert leftovers.kill_leftovers(tmp_path / "run") == 1
            one.wait()
            assert is_running(other.pid)
        finally:
            other.kill()
            one.kill()


def test_a_cancel_just_after_an_async_job_ended_is_nothing(tmp_path):
    (tmp_path / "quick.py").write_text("async def handle(payload):\n    return payload\n")
    stop = Stop()
    assert _run_async(load_kind("quick", f"file:{tmp_path / 'quick.py'}"), 7, None, stop) == 7
    stop.set()
    assert stop.is_set()


class Loop:
    """Of an event loop what a pipe needs; notes what is to be called later."""

    def __init__(self) -> None:
        self.later: list[object] = []
        self.read: Callable[[], None] | None = None

    def add_reader(self, _pipe: object, callback: Callable[[], None]) -> None:
        self.read = callback

    def remove_reader(self, _pipe: object) -> None:
        self.read = None

    def call_later(self, _seconds: float, callback: object) -> None:
        self.later.append(callback)


@pytest.mark.parametrize("wanted", [True, False])
def test_what_a_child_prints_is_read_slowly_only_when_nobody_wants_it(wanted):
    near, far = os.pipe()
    loop = Loop()
    with os.fdopen(near, "rb", buffering=0) as pipe:
        _Pipe(loop, pipe, lambda _data: wanted)  # type: ignore[arg-type]
        os.write(far, b"line\n")
        assert loop.read is not None
        loop.read()
        os.close(far)
    assert (len(loop.later), loop.read is not None) == ((0, True) if wanted else (1, False))
