"""`taskmessenger submit` and what it prints, against a manager that is only pretended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgpack
import pytest
from click.testing import CliRunner, Result
from taskmessenger.cli import connect, results
from taskmessenger.cli import submit as s
from taskmessenger.cli.output import Array
from taskmessenger.core.errors import Overloaded, Unreachable, UsageError
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
        self._next = 1

    async def submit(self, groups: Sequence[Group]) -> SimpleNamespace:
        if self.fail_after is not None and len(self.groups) >= self.fail_after[0]:
            raise self.fail_after[1]
        self.groups += groups
        first = self._next
        self._next += sum(len(group.payloads) for group in groups)
        return SimpleNamespace(ids=list(range(first, self._next)), duplicates=0)

    async def wait(self, ids: Iterable[int]) -> None:
        payloads = [payload for group in self.groups for payload in group.payloads]
        order = list(ids)
        for task_id in reversed(order) if self.backwards else order:
            self.on_outcomes([self._outcome(task_id, payloads[task_id - 1])])
            await anyio.lowlevel.checkpoint()

    def _outcome(self, task_id: int, payload: bytes) -> Outcome:
        state = self.states.get(task_id, TaskState.SUCCEEDED)
        if state is TaskState.SUCCEEDED:
            return Outcome(task_id, state, 1, "w-1", payload, None, 0.5)
        return Outcome(task_id, state, 5, "w-1", None, ErrorInfo("failed", "no \x1b[1mluck"), 0.5)

    async def detail(self, task_id: int, _limit: int) -> SimpleNamespace:
        return SimpleNamespace(waits_for=self.reason or "its turn", held_up=bool(self.reason))


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


def test_one_payload_has_the_key_itself_and_several_have_numbers(remote: Pretended, tmp_path: Path) -> None:
    run("echo", "x", "--key", "k")
    run("echo", "x", "--key", "k", "--count", "2")
    (tmp_path / "l").write_text("1\n2\n3\n")
    run("echo", "--jsonl", str(tmp_path / "l"), "--key", "l")
    assert [group.keys for group in remote.groups] == [["k"], ["k-1", "k-2"], ["l-1", "l-2", "l-3"]]


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


def test_a_task_that_fails_is_a_line_on_standard_error_and_exit_code_1(remote: Pretended) -> None:
    remote.states = {2: TaskState.FAILED, 3: TaskState.CANCELLED}
    done = run("echo", "x", "--count", "4", "--wait")
    assert (done.exit_code, done.stdout) == (1, "x\nx\n")
    assert done.stderr == "task 2 failed after 5 attempts: no \\x1b[1mluck\ntask 3 cancelled\n"


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
        "id": 1, "state": "succeeded", "attempt": 1, "worker": "w-1", "run_seconds": 0.5, "result": "x",
        "error": None,
    }  # fmt: skip
    assert bad["state"] == "failed"
    assert bad["result"] is None
    assert bad["error"] == {"code": "failed", "message": "no \x1b[1mluck"}


async def test_an_outcome_that_comes_twice_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    printer = results.Printer([1, 2], None)
    outcome = Outcome(1, TaskState.SUCCEEDED, 1, None, msgpack.packb("one"))
    printer.take([outcome, outcome])
    await printer.print_until(1)
    printer.take([outcome, Outcome(2, TaskState.SUCCEEDED, 1, None, msgpack.packb("two"))])
    await printer.print_until(2)
    assert capsys.readouterr().out == "one\ntwo\n"


async def test_a_failure_is_an_element_of_the_array_too(capsys: pytest.CaptureFixture[str]) -> None:
    printer = results.Printer([1], Array())
    printer.take([Outcome(1, TaskState.CANCELLED, 0, None)])
    await printer.print_until(1)
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "cancelled"
    assert said.err == "task 1 cancelled\n"
