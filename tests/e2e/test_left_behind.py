"""What tasks of a real worker leave behind when it is killed, and kinds that are edited under it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group
from taskmessenger.paths import under

from tests.support.processes import COMMAND, Fleet, environment, until
from tests.support.processes import fleet as running_fleet
from tests.support.runtimes import is_running

SAMPLES = Path(__file__).parents[1] / "support" / "kinds"
WAYS = ("child", "session", "daemon", "clean")
GONE_SECONDS = 5.0


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        yield one


def kinds_of(fleet: Fleet, name: str = "fern") -> Path:
    folder = under(fleet.worker_home(name)).kinds
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    return folder


def drop_in(folder: Path, name: str, text: str) -> None:
    part = folder / f".{name}.part"
    part.write_text(text, encoding="utf-8")
    part.chmod(0o600)
    part.rename(folder / f"{name}.py")


def ran(fleet: Fleet, kind: str, many: int = 1) -> list[object]:
    """Results of so many tasks of this kind."""
    groups = [Group(kind, [msgspec.msgpack.encode(None)] * many)]
    ids = fleet.ask(lambda remote: remote.submit(groups)).ids
    for task in ids:
        until(
            lambda task=task: fleet.ask(lambda remote: remote.detail(task)).row.state == TaskState.SUCCEEDED
        )
    outcomes = fleet.ask(lambda remote: remote.outcomes(ids))
    return [msgspec.msgpack.decode(outcome.result) for outcome in outcomes]


@pytest.mark.parametrize("runtime", ["process", "thread"])
def test_no_process_that_a_task_started_outlives_a_worker_that_is_killed(
    fleet: Fleet, tmp_path: Path, runtime
):
    text = (SAMPLES / "escape.py").read_text().replace('"process"', repr(runtime))
    drop_in(kinds_of(fleet), "escape", text)
    fleet.manager()
    worker = fleet.worker("fern", "--capacity", "4")
    payloads = [msgspec.msgpack.encode([str(tmp_path / way), way, "wait"]) for way in WAYS]
    fleet.ask(lambda remote: remote.submit([Group("escape", payloads)]))
    for way in WAYS:
        until((tmp_path / way).exists)
    started = [int((tmp_path / way).read_text()) for way in WAYS]
    below = [process.pid for process in psutil.Process(worker.pid).children(recursive=True)]
    assert all(map(is_running, started))
    worker.kill()
    until(lambda: not any(map(is_running, {*started, *below})), within=GONE_SECONDS * 4)


def test_a_kind_is_edited_broken_and_mended_while_its_worker_runs(fleet: Fleet):
    folder = kinds_of(fleet)
    for runtime in ("process", "thread"):
        drop_in(folder, runtime, f"RUNTIME = {runtime!r}\ndef handle(payload): return 'v1'")
    drop_in(folder, "deadly", "import os\nos.abort()\nRUNTIME = 'process'\nhandle = print")
    fleet.manager()
    worker = fleet.worker("fern", "--capacity", "3")
    assert "kind deadly is disabled" in worker.said()
    home, env = fleet.worker_home("fern"), environment(fleet.home)

    def told(*words: str) -> str:
        ended = subprocess.run([*COMMAND, *words], env=env, capture_output=True, text=True, check=False)
        return ended.stdout + ended.stderr

    assert "kind deadly is disabled" in told("worker", "ls")
    assert "its process died of SIGABRT while it loaded the code" in told("doctor")
    checked = subprocess.run(
        [*COMMAND, "config", "check", "--role", "worker", "--json"],
        env=environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 2
    assert list(json.loads(checked.stdout)["problems"]) == ["worker, kind deadly"]
    for runtime in ("process", "thread"):
        assert set(ran(fleet, runtime, 6)) == {"v1"}
        drop_in(folder, runtime, f"RUNTIME = {runtime!r}\ndef handle(payload): return 'v2'")
        assert set(ran(fleet, runtime, 9)) == {"v2"}
        drop_in(folder, runtime, "def handle(:")
        until(lambda runtime=runtime: f"kind {runtime} is disabled" in told("worker", "ls"))
        drop_in(folder, runtime, f"RUNTIME = {runtime!r}\ndef handle(payload): return 'v3'")
        assert set(ran(fleet, runtime, 3)) == {"v3"}
    (row,) = fleet.ask(lambda remote: remote.workers())
    assert list(row.broken) == ["deadly"]
