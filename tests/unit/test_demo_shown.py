"""What the demo prints: progress, the table, the object, and what it says about itself."""

from __future__ import annotations

import io
import json
from array import array
from pathlib import Path

import pytest
from taskmessenger.cli.demo import Progress, as_object, as_text, percentile
from taskmessenger.cli.demo_files import File, Found
from taskmessenger.cli.demo_fleet import Died, Fleet, temporary
from taskmessenger.cli.demo_run import MIN_CHAOS, Plan, Ran, checked, name_of
from taskmessenger.cli.demo_work import Kill, Work
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import WorkerRow


def found(count: int = 2) -> Found:
    return Found(Path("/files"), [File(f"f{i}", Path(f"/files/f{i}"), 1) for i in range(count)], [])


def ran(**changes: object) -> Ran:
    work = Work(10, verified=2, bytes=3_000_000, attempts=2, submitted=2, latencies=array("d", [0.01, 0.03]))
    for name, value in changes.items():
        setattr(work, name, value)
    return Ran(work, 2.0, 0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_last_line_is_the_verdict() -> None:
    assert as_text(found(), ran()).splitlines()[-1] == "VERIFIED 2 of 2"
    assert as_text(found(), ran(verified=1, wrong=["f1: x"])).splitlines()[-1] == "VERIFIED 1 of 2"


def test_the_table_gives_size_rate_and_latency() -> None:
    text = as_text(found(), ran())
    assert "3.0 MB" in text
    assert "1 tasks/s, 1.5 MB/s" in text
    assert "p50 10 ms, p95 30 ms" in text
    assert "one for each task" in text


def test_kills_and_repeated_attempts_are_told() -> None:
    kills = [Kill("worker1", 10, 4, 0.5), Kill("manager", 20, 7, 0.25)]
    text = as_text(found(), ran(kills=kills, attempts=5, repeated=2, duplicates=1))
    assert "worker1 with 4 tasks in hand, back after 0.5 s; manager with 7 tasks in hand" in text
    assert "5, 2 tasks needed more than one; 1 submitted again and recognised" in text


def test_only_the_first_skipped_files_are_named_for_people() -> None:
    lines = as_text(found(), ran(skipped=[f"s{i}: gone" for i in range(12)])).splitlines()
    assert sum(line.startswith("skipped") for line in lines) == 11
    assert "skipped   and 2 more" in lines


def test_the_object_names_all_and_says_whether_all_is_well() -> None:
    kill = Kill("manager", 1, 1, 0.1)
    many = [f"s{i}: gone" for i in range(12)]
    made = json.loads(json.dumps(as_object(found(), 3, ran(kills=[kill], skipped=many))))
    assert made["ok"] is True
    assert made["skipped"] == many
    assert made["kills"] == [{"process": "manager", "outcomes": 1, "in_hand": 1, "back_seconds": 0.1}]
    assert (made["files"], made["verified"], made["tasks_per_second"]) == (2, 2, 1.0)
    assert as_object(found(), 3, ran(wrong=["f: x"]))["ok"] is False


@pytest.mark.parametrize(
    ("values", "share", "value"),
    [([], 0.5, 0.0), ([4.0], 0.95, 4.0), ([3.0, 1.0, 2.0], 0.5, 2.0), (list(range(100)), 0.95, 94)],
)
def test_percentiles_are_values_that_occurred(values: list[float], share: float, value: float) -> None:
    assert percentile(values, share) == value


def test_a_terminal_shows_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    progress = Progress(stream, 9)
    progress.look(Work(1), 1.0)
    progress.look(Work(1), 2.0)
    progress.say("done")
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.count("\r") == 3
    assert written.rsplit("\r", 1)[1].rstrip() == "done"
    assert "\x1b" not in written


def test_without_a_terminal_there_is_a_line_now_and_then() -> None:
    stream = io.StringIO()
    progress = Progress(stream, 9)
    for _ in range(50):
        progress.look(Work(1), 1.0)
    progress.say("done")
    progress.end()
    assert stream.getvalue().splitlines()[-1] == "done"
    assert len(stream.getvalue().splitlines()) <= 2


def test_a_terminal_that_has_gone_stops_nothing() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    progress = Progress(Gone(), 9)
    progress.say("unheard")
    progress.look(Work(1), 1.0)
    progress.end()


def test_chaos_wants_enough_files_to_strike_among() -> None:
    assert checked(Plan(found(MIN_CHAOS), 3, chaos=True)).chaos
    assert not checked(Plan(found(1), 3, chaos=False)).chaos
    with pytest.raises(UsageError, match=f"at least {MIN_CHAOS} files to strike among; there are 59"):
        checked(Plan(found(MIN_CHAOS - 1), 3, chaos=True))


def test_a_worker_is_known_by_the_name_it_was_started_with() -> None:
    assert name_of(WorkerRow("w-worker12-a1b2", "connected")) == "worker12"


def test_a_deep_temporary_directory_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 80)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(deep))
    assert temporary() != deep


def test_a_process_that_ends_unasked_is_reported_with_the_reason_it_gave(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet._start("worker1", ["--role", "nobody"])
        child = fleet._children["worker1"]
        child.wait(30)
        with pytest.raises(Died, match=r"worker1 ended with exit code 2: .*nobody"):
            fleet.check()


def test_a_process_that_was_killed_by_somebody_else_is_reported(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet.start_worker("worker1", "no invite")
        child = fleet._children["worker1"]
        child.kill()
        child.wait(30)
        with pytest.raises(Died, match="worker1 ended by SIGKILL"):
            fleet.check()


def test_leaving_the_block_ends_every_process(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet._start("manager", ["--role", "manager", "--listen", "tcp://127.0.0.1:0"])
        child = fleet._children["manager"]
        assert child.poll() is None
    assert child.returncode is not None


def test_an_invite_is_not_to_be_seen_in_the_arguments_of_a_process(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        fleet.start_worker("worker1", "tm1-secret")
        assert "tm1-secret" not in " ".join(map(str, fleet._children["worker1"].args))
