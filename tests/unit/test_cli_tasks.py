"""`taskmessenger task`, against a manager that is only pretended: paging, and what cannot be done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgpack
import pytest
from click.testing import CliRunner, Result
from taskmessenger.cli import task as t
from taskmessenger.cli import task_why
from taskmessenger.cli.output import when
from taskmessenger.cli.rows import print_detail
from taskmessenger.core.errors import Conflict, NotFound, UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import TaskDetail, TaskPage, TaskQuery, TaskRow

from tests.support.commands import talk_to


def row(task_id: int, state: TaskState = TaskState.QUEUED, **more: Any) -> TaskRow:
    return TaskRow(task_id, "hash", state, 0, 1, 5, 0, 1795378863.5, **more)


class Pretended:
    """A manager with these tasks, newest first."""

    def __init__(self, *rows: TaskRow) -> None:
        self.rows = {one.id: one for one in rows}
        self.queries: list[TaskQuery] = []
        self.commands: list[tuple[str, list[int]]] = []

    async def page(self, query: TaskQuery) -> TaskPage:
        self.queries.append(query)
        fit = [one for one in sorted(self.rows.values(), key=lambda one: -one.id) if self._fits(one, query)]
        return TaskPage(tuple(fit[: query.limit]), len(fit) > query.limit)

    @staticmethod
    def _fits(one: TaskRow, query: TaskQuery) -> bool:
        return (not query.ids or one.id in query.ids) and (query.before is None or one.id < query.before)

    async def command(self, verb: str, *, ids: Sequence[int]) -> list[int]:
        self.commands.append((verb, list(ids)))
        return list(ids)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended()

    talk_to(pretended, monkeypatch, t)
    return pretended


def keep(remote: Pretended, *rows: TaskRow) -> None:
    remote.rows = {one.id: one for one in rows}


def run(*words: str) -> Result:
    return CliRunner().invoke(t.task, list(words))


def test_a_list_that_was_cut_says_so_and_how_to_go_on(remote: Pretended) -> None:
    keep(remote, *map(row, range(1, 6)))
    done = run("ls", "--limit", "2", "--kind", "my kind", "--state", "queued,running")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ID", "5", "4"]
    assert done.stderr == (
        "shown 2; there are more, the next with `taskmessenger task ls --state queued --state running "
        "--kind 'my kind' --limit 2 --before 4`\n"
    )


def test_a_list_that_is_complete_says_nothing(remote: Pretended) -> None:
    keep(remote, row(1), row(2))
    assert run("ls", "--limit", "2").stderr == ""


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_more_than_a_page_is_asked_for_page_by_page(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(t, "PAGE", 2)
    keep(remote, *map(row, range(1, 6)))
    out = run("ls", "--limit", "5", form).stdout
    rows = json.loads(out) if form == "--json" else [json.loads(line) for line in out.splitlines()]
    assert [one["id"] for one in rows] == [5, 4, 3, 2, 1]
    assert [(query.before, query.limit) for query in remote.queries] == [(None, 2), (4, 2), (2, 1)]


def test_a_task_as_json_has_every_key_and_its_state_as_a_word(remote: Pretended) -> None:
    keep(remote, row(7, TaskState.TIMED_OUT, error="too \x1b slow"))
    (found,) = json.loads(run("ls", "--json").stdout)
    assert set(found) == {
        "id", "kind", "state", "priority", "attempt", "max_attempts", "spent", "submitted_at", "due_at",
        "finished_at", "run_seconds", "worker", "key", "batch", "timeout", "target", "error", "payload_head",
        "started_at",
    }  # fmt: skip
    assert found["state"] == "timed_out"
    assert found["submitted_at"] == 1795378863.5


def test_no_tasks_are_an_empty_array(remote: Pretended) -> None:
    assert json.loads(run("ls", "--json").stdout) == []
    assert run("ls", "--jsonl").stdout == ""


def test_what_peers_wrote_is_escaped(remote: Pretended) -> None:
    keep(remote, row(1, error="\x1b]0;title\x07"))
    assert "\x1b" not in run("ls").stdout


def test_an_unknown_state_is_refused_with_the_known_ones(remote: Pretended) -> None:
    error = run("ls", "--state", "done").exception
    assert isinstance(error, UsageError)
    assert "succeeded" in str(error)
    assert remote.queries == []


def test_one_form_of_json_at_a_time(remote: Pretended) -> None:
    assert isinstance(run("ls", "--json", "--jsonl").exception, UsageError)


def test_cancel_prints_what_it_ended_and_names_the_state_of_the_others(remote: Pretended) -> None:
    keep(remote, row(1), row(2, TaskState.RUNNING), row(3, TaskState.SUCCEEDED))
    done = run("cancel", "1", "2", "3", "1")
    assert remote.commands == [("cancel", [1, 2])]
    assert done.stdout == "1\n2\n"
    assert isinstance(done.exception, Conflict)
    assert "task 3 has succeeded: only open tasks can be cancelled" in str(done.exception)


def test_an_unknown_id_decides_the_exit_code(remote: Pretended) -> None:
    keep(remote, row(3, TaskState.SUCCEEDED))
    done = run("cancel", "4", "3")
    assert isinstance(done.exception, NotFound)
    assert "there is no task 4" in str(done.exception)
    assert "task 3 has succeeded" in done.stderr
    assert remote.commands == []


def test_retry_is_for_tasks_that_failed(remote: Pretended) -> None:
    keep(remote, row(1, TaskState.FAILED), row(2, TaskState.TIMED_OUT), row(3, TaskState.CANCELLED), row(4))
    done = run("retry", "1", "2", "3", "4", "--json")
    assert json.loads(done.stdout) == {"ids": [1, 2]}
    assert isinstance(done.exception, Conflict)
    assert "task 3 is cancelled: only failed and timed out tasks can be retried" in done.stderr


def test_not_every_complaint_of_many_is_told(remote: Pretended) -> None:
    done = run("cancel", *map(str, range(1, 101)))
    assert len(done.stderr.splitlines()) == task_why.MAX_TOLD + 1
    assert "... and 79 more" in done.stderr


def test_too_many_ids_are_refused(remote: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(t, "MAX_IDS", 2)
    assert isinstance(run("cancel", "1", "2", "3").exception, UsageError)


def test_a_task_that_runs_says_for_how_long_and_since_when(
    remote: Pretended, capsys: pytest.CaptureFixture[str]
) -> None:
    began = row(1, TaskState.RUNNING, run_seconds=12.0, started_at=1795378865.0)
    keep(remote, began)
    assert "12" in run("ls").stdout
    print_detail(TaskDetail(began, 1, None, b"\x05"), as_json=False)
    shown = capsys.readouterr().out
    assert "running for  12" in shown
    assert f"began        {when(1795378865.0)}" in shown


def test_a_task_in_full_shows_why_it_waits_and_nothing_that_is_not_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_detail(TaskDetail(row(1), 1, None, b"\x05", waits_for="no worker offers `hash`"), as_json=False)
    assert capsys.readouterr().out == (
        "task       1\nkind       hash\nstate      queued\nwaits for  no worker offers `hash`\n"
        f"attempts   1/5 (0 used up)\nsubmitted  {when(1795378863.5)}\npayload    5\n"
    )


def test_a_list_says_of_what_each_task_is(remote: Pretended) -> None:
    keep(remote, row(1, TaskState.FAILED, key="img-7", head=msgpack.packb({"path": "/data/a.jpg"})), row(2))
    assert run("ls").stdout.splitlines()[2].split()[-4:] == ["img-7", '{"path":', '"/data/a.jpg"}', "-"]
    second, first = map(json.loads, run("ls", "--jsonl").stdout.splitlines())
    assert (first["key"], first["payload_head"]) == ("img-7", '{"path": "/data/a.jpg"}')
    assert second["payload_head"] is None
    assert remote.queries[-1].heads > 0
