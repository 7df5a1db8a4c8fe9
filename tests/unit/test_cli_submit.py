"""`taskmessenger submit` and what it prints, against a manager that is only pretended."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgpack
import pytest
from click.testing import CliRunner, Result
from taskmessenger.cli import collected, connect, results
from taskmessenger.cli import submit as s
from taskmessenger.core.errors import Overloaded, TimedOut, Unreachable, UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, Group, Outcome
from taskmessenger.remote import Lost


class Pretended:
    """A manager that succeeds with the payload itself, in whatever order it is told to."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.welcome = SimpleNamespace(max_payload=100)
        self.connected = True
        self.on_outcomes: Any = None
        self.reason = ""
        self.fail_after: tuple[int, Exception] | None = None
        self.backwards = False
        self.states: dict[int, TaskState] = {}
        self.hangs: set[int] = set()
        """Tasks that do not end."""
        self.most_watched = 0
        self.asked_again: list[int] = []
        self._open: set[int] = set()
        self._next = 1

    async def submit(self, groups: Sequence[Group]) -> SimpleNamespace:
        if self.fail_after is not None and len(self.groups) >= self.fail_after[0]:
            raise self.fail_after[1]
        self.groups += groups
        first = self._next
        self._next += sum(len(group.payloads) for group in groups)
        return SimpleNamespace(ids=list(range(first, self._next)), duplicates=0)

    async def wait(self, ids: Iterable[int]) -> None:
        order = list(ids)
        self._open.update(order)
        self.most_watched = max(self.most_watched, len(self._open))
        for task_id in reversed(order) if self.backwards else order:
            if task_id not in self.hangs:
                self._open.discard(task_id)
                self.on_outcomes([self._outcome(task_id)])
                await anyio.lowlevel.checkpoint()
        if self.hangs.intersection(order):
            await anyio.sleep_forever()

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        self.asked_again += ids
        found = [self._outcome(task_id) for task_id in ids]
        self.on_outcomes(found)
        return found

    def _outcome(self, task_id: int) -> Outcome:
        payload = [payload for group in self.groups for payload in group.payloads][task_id - 1]
        state = self.states.get(task_id, TaskState.SUCCEEDED)
        if state is TaskState.SUCCEEDED:
            return Outcome(task_id, state, 1, "w-1", payload, None, 0.5)
        return Outcome(task_id, state, 5, "w-1", None, ErrorInfo("failed", "no \x1b[1mluck"), 0.5)

    async def detail(self, task_id: int, _limit: int) -> SimpleNamespace:
        row = SimpleNamespace(id=task_id, due_at=None)
        return SimpleNamespace(row=row, waits_for=self.reason or "its turn", held_up=bool(self.reason))


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended()

    @asynccontextmanager
    async def manager(_patience: float = 0.0) -> AsyncIterator[Pretended]:
        yield pretended

    monkeypatch.setattr(connect, "manager", manager)
    return pretended


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(s.submit, list(words), input=stdin)


def payloads(remote: Pretended) -> list[Any]:
    return [msgpack.unpackb(payload) for group in remote.groups for payload in group.payloads]


def test_ids_are_printed_one_to_a_line(remote: Pretended) -> None:
    done = run("echo", "x", "--count", "3")
    assert done.stdout == "1\n2\n3\n"
    assert payloads(remote) == ["x", "x", "x"]


def test_a_task_without_payload_has_none(remote: Pretended) -> None:
    run("echo")
    assert payloads(remote) == [None]


def test_ids_as_json_are_one_object(remote: Pretended) -> None:
    assert json.loads(run("echo", "x", "--json").stdout) == {"ids": [1], "duplicates": 0}


def test_options_reach_the_manager(remote: Pretended) -> None:
    run("echo", "x", "--priority", "-3", "--timeout", "2m", "--max-attempts", "7")
    run("echo", "x", "--delay", "1h", "--batch", "b", "--worker", "w-1")
    group, other = remote.groups
    assert (group.priority, group.timeout, group.max_attempts) == (-3, 120.0, 7)
    assert (other.delay, other.batch, other.worker) == (3600.0, "b", "w-1")
    assert group.keys is None


def test_one_payload_has_the_key_itself_and_several_have_keys_of_their_own(
    remote: Pretended, tmp_path: Path
) -> None:
    run("echo", "x", "--key", "k")
    run("echo", "x", "--key", "k", "--count", "2")
    (tmp_path / "l").write_text('{"id": 8}\n{"id": 9}\n')
    run("echo", "--jsonl", str(tmp_path / "l"), "--key", "l")
    run("echo", "--jsonl", str(tmp_path / "l"), "--key-field", "id")
    first, second, by_content, by_field = [group.keys for group in remote.groups]
    assert (first, second, by_field) == (["k"], ["k-1", "k-2"], ["8", "9"])
    assert by_content is not None
    assert all(re.fullmatch(r"l-[0-9a-f]{20}", key) for key in by_content)
    assert isinstance(run("echo", "x", "--key-field", "id").exception, UsageError)


def test_many_tasks_go_in_groups_and_keys_go_on_counting(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s, "GROUP_TASKS", 2)
    assert run("echo", "x", "--count", "5", "--key", "k").stdout == "1\n2\n3\n4\n5\n"
    assert [group.keys for group in remote.groups] == [["k-1", "k-2"], ["k-3", "k-4"], ["k-5"]]


def test_large_payloads_go_alone(remote: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "GROUP_BYTES", 12)
    run("echo", "x" * 10, "--count", "3")
    assert [len(group.payloads) for group in remote.groups] == [1, 1, 1]


def test_nothing_in_the_input_is_nothing_to_do(remote: Pretended) -> None:
    done = run("echo", "--jsonl", "/dev/null")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing in it" in done.stderr
    assert remote.groups == []


@pytest.mark.parametrize(
    "words",
    [
        ("x", "--json-payload", "1"),
        ("--payload-file", "f", "--jsonl", "l"),
        ("--jsonl", "/dev/null", "--count", "2"),
    ],
)
def test_payloads_are_given_in_one_way_only(remote: Pretended, words: tuple[str, ...]) -> None:
    assert isinstance(run("echo", *words).exception, UsageError)
    assert remote.groups == []


def test_a_payload_over_the_managers_limit_never_leaves(remote: Pretended) -> None:
    error = run("echo", "x" * 101).exception
    assert isinstance(error, UsageError)
    assert "over the manager's limit of 100" in str(error)
    assert remote.groups == []


def test_what_was_accepted_before_an_error_is_said(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s, "GROUP_TASKS", 2)
    remote.fail_after = (1, Overloaded("too many"))
    done = run("echo", "x", "--count", "6", "--batch", "b")
    assert isinstance(done.exception, Overloaded)
    assert done.stdout == "1\n2\n"
    assert "2 of 6 tasks had been accepted before that: see `taskmessenger task ls --batch b`" in done.stderr


def test_a_lost_answer_is_not_taken_for_a_refusal(remote: Pretended) -> None:
    remote.fail_after = (0, Lost("the link was lost"))
    error = run("echo", "x").exception
    assert isinstance(error, Unreachable)
    assert "may have been accepted" in str(error)


def test_why_tasks_wait_is_said_at_once(remote: Pretended) -> None:
    remote.reason = "no worker offers `foo`"
    done = run("foo", "x")
    assert (done.exit_code, done.stdout) == (0, "1\n")
    assert done.stderr == "1 task waits: no worker offers `foo`\n"


def test_results_are_printed_in_the_order_of_submission(remote: Pretended) -> None:
    remote.backwards = True
    done = run("echo", "--jsonl", "-", "--wait", stdin='"a"\n2\n[null]\n')
    assert done.stdout == "a\n2\n[null]\n"


def test_results_beyond_a_window_come_in_order_too(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "WINDOW", 2)
    remote.backwards = True
    done = run("echo", "--jsonl", "-", "--wait", stdin="1\n2\n3\n4\n5\n")
    assert done.stdout == "1\n2\n3\n4\n5\n"


def test_a_failed_input_has_its_line_and_standard_error_says_of_what(remote: Pretended) -> None:
    remote.states = {2: TaskState.FAILED, 3: TaskState.CANCELLED}
    done = run("echo", "--jsonl", "-", "--wait", "--key", "k", stdin='"a"\n\n{"b": 1}\n[2]\n"d"\n')
    assert done.exit_code == 1
    assert done.stdout == "a\nerror: failed: no \\x1b[1mluck\nerror: cancelled\nd\n"
    first, second = done.stderr.splitlines()
    assert re.fullmatch(
        r"task 2 failed after 5 attempts: no \\x1b\[1mluck \(line 3, key k-[0-9a-f]+, payload {\"b\": 1}\)",
        first,
    )
    assert re.fullmatch(r"task 3 cancelled \(line 4, key k-[0-9a-f]+, payload \[2\]\)", second)


def test_a_single_input_that_fails_prints_nothing_to_standard_output(remote: Pretended) -> None:
    remote.states = {1: TaskState.FAILED}
    done = run("echo", "x", "--wait")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "task 1 failed after 5 attempts: no \\x1b[1mluck\n"


ODD = [
    "a\nb",
    "",
    '"quoted"',
    "error: not one",
    "tab\there",
    "\u2028",
    "c\r",
    "C:\\new",
    "é",
    3,
    None,
    {"k": "a\u2028"},
]


def test_whatever_results_are_each_input_has_one_line_that_can_be_read_back(remote: Pretended) -> None:
    lines = "".join(f"{json.dumps(one)}\n" for one in ODD)
    done = run("echo", "--jsonl", "-", "--wait", stdin=lines)
    found = done.stdout.split("\n")
    assert found.pop() == ""
    assert len(found) == len(ODD) == len(done.stdout.splitlines())
    read = [json.loads(line) if line.startswith(('"', "{")) else line for line in found]
    assert read == [one if isinstance(one, str | dict) else json.dumps(one) for one in ODD]


def test_results_come_as_they_end_with_the_number_of_their_input(remote: Pretended) -> None:
    remote.backwards = True
    remote.states = {2: TaskState.FAILED}
    done = run("echo", "--jsonl", "-", "--wait", "--as-completed", stdin='"a"\n"b"\n"c"\n')
    assert done.stdout == "3\tc\n2\terror: failed: no \\x1b[1mluck\n1\ta\n"


def test_a_slow_first_task_does_not_hold_up_what_is_printed_as_it_ends(remote: Pretended) -> None:
    remote.hangs = {1}
    words = ("--wait", "--as-completed", "--json-lines", "--wait-timeout", "500ms")
    done = run("echo", "--jsonl", "-", *words, stdin="1\n2\n3\n")
    assert isinstance(done.exception, TimedOut)
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [2, 3]


def test_waiting_ends_with_its_time_and_says_how_to_get_the_rest(remote: Pretended) -> None:
    remote.hangs = {2}
    done = run("echo", "--jsonl", "-", "--wait", "--wait-timeout", "500ms", "--batch", "b", stdin="1\n2\n3\n")
    assert isinstance(done.exception, TimedOut)
    assert done.exception.exit_code == 6
    assert "2 of 3 tasks had ended when the time to wait was over" in str(done.exception)
    assert "--batch b" in str(done.exception)
    assert done.stdout == "1\n"


def test_more_than_a_window_is_never_waited_for_and_a_slow_task_does_not_stop_the_others(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "WINDOW", 10)
    monkeypatch.setattr(results, "CHUNK", 3)
    remote.hangs = {1}
    words = ("--wait", "--as-completed", "--wait-timeout", "1s")
    done = run("echo", "x", "--count", "200", *words)
    assert isinstance(done.exception, TimedOut)
    assert len(done.stdout.splitlines()) == 199
    assert remote.most_watched <= 13


@pytest.mark.parametrize("words", [(), ("--as-completed",), ("--json-lines",)])
def test_results_that_are_too_much_to_keep_are_asked_for_when_it_is_their_turn(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(collected, "KEPT_BYTES", 1_500)
    monkeypatch.setattr(collected, "FETCH_TASKS", 4)
    remote.backwards = True
    lines = "".join(f'"{n:050d}"\n' for n in range(30))
    done = run("echo", "--jsonl", "-", "--wait", *words, stdin=lines)
    found = done.stdout.splitlines()
    assert len(found) == 30
    if not words:
        assert found == [line.strip('"') for line in lines.splitlines()]
        assert len(remote.asked_again) > 20


@pytest.mark.parametrize(
    "words",
    [("--as-completed",), ("--wait-timeout", "5s"), ("--json-lines",), ("--wait", "--json", "--json-lines")],
)
def test_options_about_results_go_with_waiting_for_them(remote: Pretended, words: tuple[str, ...]) -> None:
    assert isinstance(run("echo", "x", *words).exception, UsageError)
    assert remote.groups == []


def test_why_nothing_moves_is_said_and_said_again_when_it_changes(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(results, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(results, "DRAW_SECONDS", 0.05)
    remote.hangs, remote.reason = {1}, "the fleet is paused"
    asked: list[int] = []
    detail = remote.detail

    async def detail_of(task_id: int, limit: int) -> SimpleNamespace:
        asked.append(task_id)
        if len(asked) == 4:
            remote.reason = "no worker offers `echo`"
        return await detail(task_id, limit)

    remote.detail = detail_of  # type: ignore[method-assign]
    done = run("echo", "x", "--wait", "--wait-timeout", "1s")
    assert len(asked) > 6
    assert done.stderr.splitlines() == [
        "task 1 waits: the fleet is paused",
        "task 1 waits: no worker offers `echo`",
    ]


def test_not_every_failure_of_many_is_told(remote: Pretended) -> None:
    remote.states = dict.fromkeys(range(1, 31), TaskState.TIMED_OUT)
    done = run("echo", "x", "--count", "30", "--wait")
    lines = done.stderr.splitlines()
    assert len(lines) == results.MAX_FAILURES + 1
    assert lines[0].startswith("task 1 timed out after 5 attempts: ")
    assert lines[-1] == "... and 10 more did not succeed"


def test_results_as_json_say_how_each_task_ended(remote: Pretended) -> None:
    remote.states = {2: TaskState.FAILED}
    done = run("echo", "x", "--count", "2", "--wait", "--json")
    assert done.exit_code == 1
    good, bad = json.loads(done.stdout)
    assert good == {
        "index": 1, "line": None, "key": None, "payload_head": '"x"', "id": 1, "state": "succeeded",
        "attempt": 1, "worker": "w-1", "run_seconds": 0.5, "result": "x",
        "error": None,
    }  # fmt: skip
    assert bad["state"] == "failed"
    assert bad["result"] is None
    assert bad["error"] == {"code": "failed", "message": "no \x1b[1mluck"}


async def test_an_outcome_that_comes_twice_leaves_once_and_one_of_somebody_else_never() -> None:
    here = collected.Collected([3, 5], in_order=True)
    one, two = (Outcome(n, TaskState.SUCCEEDED, 1, None, b"\xc0") for n in (3, 5))
    here.take([one, one, Outcome(4, TaskState.FAILED, 1, None)])
    assert (here.ended, here.failed) == (1, 0)
    remote = Pretended()
    assert await here.batch(remote) == [(0, one)]  # type: ignore[arg-type]
    here.take([one, two])
    assert await here.batch(remote) == [(1, two)]  # type: ignore[arg-type]
    assert here.complete
    assert here.kept == 0


async def test_a_task_that_several_inputs_are_has_a_line_for_each() -> None:
    here = collected.Collected([3, 9, 3], in_order=True)
    one, two = (Outcome(n, TaskState.FAILED, 1, None) for n in (3, 9))
    here.take([two, one])
    assert await here.batch(Pretended()) == [(0, one), (1, two), (2, one)]  # type: ignore[arg-type]
    assert (here.failed, here.first_open()) == (3, None)
