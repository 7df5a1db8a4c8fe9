"""Commands on everything that matches a filter, against a manager that is only pretended."""

from __future__ import annotations

import json

import msgspec
import pytest
from taskmessenger.cli import task as t
from taskmessenger.cli import task_many, task_why, worker
from taskmessenger.core.errors import NotFound, UsageError
from taskmessenger.core.filter import Range
from taskmessenger.handle import Act, ActDone, Count, Cursor, TaskPage, TaskQuery, WorkerRow

from tests.support.commands import call, talk_to


class Pretended:
    """A manager that has so many tasks of everything, and does a part of each act at a time."""

    def __init__(self) -> None:
        self.many, self.exact = 30, True
        self.acts: list[Act] = []
        self.queries: list[TaskQuery] = []

    async def count(self, query: TaskQuery, most: int) -> Count:
        return Count(min(self.many, most), self.exact)

    async def act(self, act: Act) -> ActDone:
        self.acts.append(act)
        if act.query is None:
            return ActDone(len(act.ids), list(act.ids))
        if act.query.at is None:
            return ActDone(20, list(range(20)), Cursor(None, 11))
        return ActDone(10, list(range(10)))

    async def page(self, query: TaskQuery) -> TaskPage:
        self.queries.append(query)
        return TaskPage((), more=False)

    async def workers(self) -> list[WorkerRow]:
        return [WorkerRow("w1", "connected")]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended()

    talk_to(pretended, monkeypatch, t, task_many, task_why, worker)
    return pretended


def test_an_act_on_a_filter_goes_on_until_nothing_is_left(remote: Pretended) -> None:
    result = call(t.task, "cancel", "--filter", "kind:hash -state:ended", "--yes")
    first, second = remote.acts
    assert first.expected == 30
    assert first.query is not None
    assert (first.query.kinds, first.query.at) == (("hash",), None)
    assert second.query is not None
    assert second.query.at == Cursor(None, 11)
    assert result.stdout == ""
    assert result.stderr == "20 so far\n30 tasks cancelled\n"


def test_what_was_done_is_told_as_json(remote: Pretended) -> None:
    result = call(t.task, "resubmit", "--filter", "kind:hash", "--yes", "--json")
    told = json.loads(result.stdout)
    assert (told["count"], len(told["ids"])) == (30, 30)


@pytest.mark.parametrize("verb", ["cancel", "retry", "resubmit"])
def test_without_a_terminal_only_yes_means_it(remote: Pretended, verb: str) -> None:
    with pytest.raises(UsageError, match="30 tasks: say --yes"):
        call(t.task, verb, "--filter", "kind:hash")
    assert remote.acts == []


@pytest.mark.parametrize(("typed", "done"), [("30\n", True), ("yes\n", False), ("3\n", False)])
def test_many_are_confirmed_by_their_number(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch, typed: str, done: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(task_many.click, "prompt", lambda text, err: asked.append(text) or typed.strip())
    monkeypatch.setattr(task_many, "sys", type("S", (), {"stdin": type("T", (), {"isatty": lambda: True})}))
    call(t.task, "cancel", "--filter", "kind:hash")
    assert "30 tasks" in asked[0]
    assert bool(remote.acts) is done


@pytest.mark.parametrize(
    "words",
    [
        ("cancel",),
        ("cancel", "7", "--filter", "kind:a"),
        ("resubmit",),
        ("priority", "5"),
    ],
)
def test_it_has_to_be_said_which_tasks(remote: Pretended, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        call(t.task, *words)
    assert call(t.task, "retry", "--filter", " ").exit_code == 2
    assert remote.acts == []


def test_more_than_can_be_counted_is_not_acted_on(remote: Pretended) -> None:
    remote.exact = False
    with pytest.raises(UsageError, match="narrow the filter"):
        call(t.task, "cancel", "--filter", "kind:hash", "--yes")
    assert remote.acts == []


def test_a_priority_is_set_and_may_be_negative(remote: Pretended) -> None:
    result = call(t.task, "priority", "--", "-5", "7", "8", "7")
    assert remote.acts == [Act("set_priority", (7, 8), number=-5)]
    assert result.stdout == "7\n8\n"


def test_an_edit_sends_the_new_payload(remote: Pretended) -> None:
    call(t.task, "edit", "7", "--json-payload", '{"a": 1}')
    (act,) = remote.acts
    assert (act.verb, act.ids) == ("edit", (7,))
    assert msgspec.msgpack.decode(act.payload or b"") == {"a": 1}
    with pytest.raises(UsageError, match="no terminal"):
        call(t.task, "edit", "7")


def test_a_task_that_could_not_be_changed_is_told_with_the_reason(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(_: Act) -> ActDone:
        return ActDone(1, [7])

    monkeypatch.setattr(remote, "act", act)
    with pytest.raises(NotFound, match="there is no task"):
        call(t.task, "priority", "5", "7", "8")


def test_a_list_takes_a_filter_and_an_order(remote: Pretended) -> None:
    call(t.task, "ls", "--filter", "run>2s -kind:a", "--sort", "run", "--reverse", "--state", "failed")
    (query,) = remote.queries
    assert query.ranges == (Range("run", 2.0, above=True),)
    assert (query.sort, query.descending, query.states, query.not_kinds) == ("run", False, (5,), ("a",))
    with pytest.raises(UsageError, match="both speak of kinds"):
        call(t.task, "ls", "--filter", "kind:a", "--kind", "b")
    with pytest.raises(UsageError, match="column 1"):
        call(t.task, "ls", "--filter", "knd:a")
    with pytest.raises(UsageError, match="--before"):
        call(t.task, "ls", "--sort", "run", "--before", "5")


def test_a_worker_is_limited_and_freed(remote: Pretended) -> None:
    call(worker.worker, "limit", "w1", "2")
    call(worker.worker, "limit", "w1", "none")
    assert remote.acts == [Act("limit", scope="worker:w1", number=n) for n in (2, -1)]
    with pytest.raises(UsageError, match="whole number"):
        call(worker.worker, "limit", "w1", "many")
