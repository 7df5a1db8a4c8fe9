"""Commands on the fleet, its workers, its invites and its audit, against a manager that is only pretended."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from taskmessenger.cli import audit, invite, pool, worker
from taskmessenger.cli.output import span, when
from taskmessenger.cli.rows import print_detail
from taskmessenger.core.errors import Conflict, NotFound, UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import AttemptInfo, ErrorInfo, PoolStatus, TaskDetail, TaskRow, WorkerRow
from taskmessenger.handle.audit import BEGINNING, AuditEntry, chained
from taskmessenger.handle.outputs import TaskOutput
from taskmessenger.handle.values import InviteRow, PendingRow

from tests.support.commands import call, talk_to

NOW = 1_795_378_863.0
STATUS = PoolStatus(
    "north", "lab-A", "1.2.3", ("tcp://10.0.0.1:7711", "unix"), NOW - 90, {"queued": 12_000, "failed": 3},
    12_003, (), 1, 2, 1234.56, 0, 0,
)  # fmt: skip


class Pretended:
    """A manager that does what it is told and says what it was given."""

    def __init__(self) -> None:
        self.status_now, self.rows, self.waits = (
            STATUS,
            [WorkerRow("w-fern", "connected")],
            list[PendingRow](),
        )
        self.made = list[InviteRow]()
        self.told: list[tuple[Any, ...]] = []

    async def status(self) -> PoolStatus:
        return self.status_now

    async def workers(self) -> list[WorkerRow]:
        return self.rows

    async def pending(self) -> list[PendingRow]:
        return self.waits

    async def invites(self) -> list[InviteRow]:
        return self.made

    async def command(self, verb: str, **more: Any) -> None:
        self.told.append((verb, more))

    async def act(self, act: Any) -> None:
        self.told.append((act.verb, act.scope, act.number))


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended()

    talk_to(pretended, monkeypatch, pool, worker, invite)
    for module in (pool, worker, invite):
        monkeypatch.setattr(f"{module.__name__}.time.time", lambda: NOW)
    return pretended


# ---- the fleet


def test_the_fleet_at_a_glance(remote: Pretended) -> None:
    assert call(pool.pool, "status").stdout == (
        "manager    north of fleet lab-A, version 1.2.3\n"
        f"running    since {when(NOW - 90)}, 1.5 min\n"
        "listening  tcp://10.0.0.1:7711, unix\n"
        "workers    1 worker connected, 2 slots\n"
        "rate       1,234.6 ended per second, over the last 10 s\n"
        "tasks\n"
        "  queued  12,000\n"
        "  failed  3\n"
    )


def test_the_fleet_says_what_is_wrong(remote: Pretended) -> None:
    remote.status_now = msgspec.structs.replace(
        STATUS,
        paused=("all", "kind:hash"),
        late=1,
        waiting={"sum": "no worker offers it"},
        degraded="disk full",
    )
    said = call(pool.pool, "status").stdout.splitlines()
    assert "paused     everything, kind hash" in said
    assert said[-3:] == [
        "late results 1, refused results 0",
        "sum: no worker offers it",
        "nothing is accepted: disk full",
    ]
    remote.status_now = msgspec.structs.replace(STATUS, refused=2)
    assert call(pool.pool, "status").stdout.endswith("late results 0, refused results 2\n")


@pytest.mark.parametrize(
    ("beyond", "told", "words"), [(0, 0, ""), (1, 0, "1 kind"), (0, 1, "1 kind"), (2, 3, "5 kinds")]
)
def test_of_many_kinds_that_wait_the_first_are_told_and_how_many_more(
    remote: Pretended, beyond: int, told: int, words: str
) -> None:
    waiting = {f"k{number}": "why" for number in range(pool.MOST_KINDS + beyond)}
    remote.status_now = msgspec.structs.replace(STATUS, waiting=waiting, waiting_more=told)
    said = call(pool.pool, "status").stdout.splitlines()
    assert sum(line.endswith(": why") for line in said) == pool.MOST_KINDS
    assert [line for line in said if line.startswith("and ")] == (
        [f"and {words} more with tasks that wait"] if words else []
    )


@pytest.mark.parametrize("beyond", [0, 1, 2])
def test_of_many_workers_that_take_nothing_the_first_are_told_and_how_many_more(
    remote: Pretended, beyond: int
) -> None:
    many = pool.MOST_TROUBLES + beyond
    remote.rows = [WorkerRow(f"w{number}", "connected", held_up="is full") for number in range(many)]
    said = call(pool.pool, "status").stdout.splitlines()
    assert sum(line.endswith(" is full") for line in said) == pool.MOST_TROUBLES
    assert (said[-1] == f"and {beyond} more: see `taskmessenger worker ls`") is bool(beyond)


def test_the_fleet_as_json_has_all_facts(remote: Pretended) -> None:
    said = json.loads(call(pool.pool, "status", "--json").stdout)
    assert (said["manager"], said["totals"], said["listening"]) == (
        "north", {"queued": 12_000, "failed": 3}, ["tcp://10.0.0.1:7711", "unix"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "scope", "told"),
    [
        (["pause"], ("pause", "all"), "the fleet is paused; `taskmessenger pool resume` ends that"),
        (
            ["pause", "--kind", "hash"],
            ("pause", "kind:hash"),
            "tasks of kind `hash` are paused; `taskmessenger pool resume --kind hash` ends that",
        ),
        (["resume"], ("resume", "all"), "the fleet is not paused any more"),
        (
            ["resume", "--kind", "hash"],
            ("resume", "kind:hash"),
            "tasks of kind `hash` are not paused any more",
        ),
    ],
)
def test_the_fleet_or_a_kind_is_paused_and_resumed(
    remote: Pretended, words: list[str], scope: tuple[str, str], told: str
) -> None:
    done = call(pool.pool, *words)
    assert remote.told == [(scope[0], {"scope": scope[1]})]
    assert (done.stdout, done.stderr) == ("", f"{told}\n")


def test_who_resumes_hears_what_is_still_paused(remote: Pretended) -> None:
    remote.status_now = msgspec.structs.replace(STATUS, paused=("kind:hash", "worker:w1"))
    done = call(pool.pool, "resume", "--json")
    assert json.loads(done.stdout) == {"paused": ["kind:hash", "worker:w1"]}
    assert done.stderr == "still paused: kind hash, worker w1\n"


# ---- workers


def test_workers_are_a_table_with_what_is_wrong_behind_it(remote: Pretended) -> None:
    remote.rows = [
        WorkerRow(
            "w-fern", "connected", "tcp://10.0.0.2:4000", "tcp", ("hash",), 4, 8, 3, 2, 10, 1, 0.0123, 2.0,
            version="1.2.3", broken={"sum": "no file"}, stuck=((7, "hash", NOW - 60),), held_up="is full",
        ),
        WorkerRow("w-gone", "offline", done=0, failed=2, transport="tcp", held_up="is never told"),
        WorkerRow("w-new", "offline"),
    ]  # fmt: skip
    stuck = "task 7 of `hash` does not stop and keeps its slot, for 1 min: restart the worker to free that"
    done = call(worker.worker, "ls")
    _, here, gone, new = (line.split() for line in done.stdout.splitlines())
    assert here == [
        "w-fern", "connected", "2", "4", "3", "10", "1", "12.3", "ms", "2", "s", "ago", "1.2.3", "tcp",
        "tcp://10.0.0.2:4000",
    ]  # fmt: skip
    assert gone == ["w-gone", "offline", "-", "-", "-", "0", "2", *"-----"]
    assert new == ["w-new", "offline", *"----------"]
    assert done.stderr.splitlines() == [
        "w-fern: kind sum is disabled: no file",
        "worker w-fern is full",
        f"worker w-fern: {stuck}",
    ]


def test_where_nobody_is_a_list_says_how_to_change_that(remote: Pretended) -> None:
    remote.rows = []
    assert call(worker.worker, "ls").stderr == "no worker has joined yet: `taskmessenger invite` says how\n"
    assert "nobody waits for approval" in call(worker.worker, "ls", "--pending").stderr
    assert call(invite.invite, "ls").stderr == "there are no invites: `taskmessenger invite` makes one\n"
    assert json.loads(call(worker.worker, "ls", "--json").stdout) == []


def test_who_waits_for_approval_is_shown_with_its_fingerprint(remote: Pretended) -> None:
    facts = {
        "id": "w-new", "role": "worker", "fingerprint": "ABCDE-12345", "invite": "7F3K", "since": NOW,
        "until": NOW + 60, "inventory": "Linux",
    }  # fmt: skip
    remote.waits = [PendingRow(**facts), PendingRow(**facts | {"id": "w-bare", "inventory": ""})]
    _, first, second = (line.split() for line in call(worker.worker, "ls", "--pending").stdout.splitlines())
    assert first == ["w-new", "worker", "ABCDE-12345", "7F3K", when(NOW), "Linux"]
    assert second[-1] == "-"
    assert json.loads(call(worker.worker, "ls", "--pending", "--json").stdout)[0] == facts


@pytest.mark.parametrize(
    ("words", "sent", "told", "facts"),
    [
        (
            ["pause", "w-fern"],
            ("pause", {"scope": "worker:w-fern"}),
            "w-fern is paused; `taskmessenger worker resume w-fern` ends that",
            {"id": "w-fern", "state": "connected"},
        ),
        (
            ["resume", "w-fern"],
            ("resume", {"scope": "worker:w-fern"}),
            "w-fern may run tasks again",
            {"id": "w-fern", "state": "connected"},
        ),
        (
            ["drain", "w-fern"],
            ("drain", {"scope": "w-fern", "deadline": 30.0}),
            "w-fern ends what it runs and leaves, in 30 s at most",
            {"id": "w-fern", "state": "draining", "deadline": 30.0},
        ),
        (
            ["limit", "w-fern", "2"],
            ("limit", "worker:w-fern", 2),
            "w-fern gets at most 2 at a time",
            {"id": "w-fern", "limit": 2},
        ),
        (
            ["limit", "w-fern", "none"],
            ("limit", "worker:w-fern", -1),
            "w-fern has no limit any more",
            {"id": "w-fern", "limit": None},
        ),
        (
            ["revoke", "w-fern", "--yes"],
            ("revoke", {"scope": "w-fern"}),
            "w-fern is revoked; tasks that it held go to others",
            {"id": "w-fern", "state": "revoked"},
        ),
        (
            ["approve", "w-fern"],
            ("approve", {"scope": "w-fern"}),
            "w-fern is approved",
            {"id": "w-fern", "state": "approved"},
        ),
    ],
)
def test_what_is_done_to_a_worker_is_told_to_people_and_to_programs(
    remote: Pretended, words: list[str], sent: tuple[Any, ...], told: str, facts: dict[str, Any]
) -> None:
    done = call(worker.worker, *words)
    assert remote.told == [sent]
    assert (done.stdout, done.stderr) == ("", f"{told}\n")
    assert json.loads(call(worker.worker, *words, "--json").stdout) == facts


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (WorkerRow("w", "away"), "it is away: it can run tasks when it is back"),
        (
            WorkerRow("w", "paused", held_up="the fleet is paused"),
            "but the fleet is paused: `taskmessenger pool",
        ),
        (WorkerRow("w", "paused", held_up="is paused by itself"), "any more, but it is paused by itself"),
    ],
)
def test_resumed_is_said_only_where_it_is_true(remote: Pretended, row: WorkerRow, words: str) -> None:
    remote.rows = [row]
    assert words in call(worker.worker, "resume", "w").stderr


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_who_is_revoked_is_neither_paused_nor_resumed(remote: Pretended, verb: str) -> None:
    remote.rows = [WorkerRow("w", "revoked")]
    with pytest.raises(Conflict, match=f"worker w is revoked: there is nothing to {verb}"):
        call(worker.worker, verb, "w")
    assert not remote.told


def test_only_a_worker_that_is_here_can_be_drained(remote: Pretended) -> None:
    remote.rows = [WorkerRow("w", "away")]
    with pytest.raises(Conflict, match="worker w is away: only a connected one can be drained"):
        call(worker.worker, "drain", "w")
    assert not remote.told


@pytest.mark.parametrize("words", [["pause"], ["resume"], ["drain"], ["limit"]])
def test_a_worker_that_is_not_there_is_named_with_the_nearest(remote: Pretended, words: list[str]) -> None:
    more = ["1"] if words == ["limit"] else []
    with pytest.raises(NotFound, match=r"there is no worker w-ferm: did you mean w-fern\?"):
        call(worker.worker, *words, "w-ferm", *more)
    with pytest.raises(NotFound, match="see `taskmessenger worker ls`"):
        call(worker.worker, *words, "zzz", *more)
    assert not remote.told


@pytest.mark.parametrize("tasks", ["-1", "1.5", "many", "²", "1" * 40])
def test_what_is_no_limit_is_refused(remote: Pretended, tasks: str) -> None:
    with pytest.raises(UsageError, match="is no limit: give a whole number from 0, or none"):
        call(worker.worker, "limit", "w-fern", "--", tasks)


def test_a_program_has_to_mean_it_to_revoke(remote: Pretended) -> None:
    with pytest.raises(UsageError, match="say --yes to mean it"):
        call(worker.worker, "revoke", "w-fern")
    assert not remote.told


# ---- the audit


def test_an_act_is_told_in_one_line_with_what_is_known_of_it() -> None:
    plain = AuditEntry(at=NOW, who="local", role="operator", verb="pause", object="all")
    full = AuditEntry(
        at=NOW, who="o-anna", role="operator", verb="cancel", filter="kind:hash", count=1, origin="tcp://a:1",
        outcome="refused: no", times=2,
    )  # fmt: skip
    assert audit._told(chained(plain, 1, BEGINNING)) == f"{when(NOW)}  local: pause all: done"
    assert audit._told(chained(full, 2, BEGINNING)) == (
        f"{when(NOW)}  o-anna at tcp://a:1: cancel `kind:hash` (1 task): refused: no, 2 times"
    )


# ---- one task in full

ROW = TaskRow(
    7, "hash", TaskState.FAILED, 3, 2, 5, 1, NOW, NOW + 1, NOW + 9, 4.0, "w-fern", "img", "b1", 60.0, "w-oak"
)  # fmt: skip


def test_all_that_is_known_of_a_task_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    error = ErrorInfo(
        "crashed", "it died", "line 1\nline 2\n", {"signal": "SIGSEGV", "max_rss_kb": 7, "stderr": "a\nb"}
    )
    lost = AttemptInfo(1, "w-oak", NOW, NOW + 2, "lost", ErrorInfo("lost", "gone"))
    found = TaskDetail(
        ROW,
        1,
        12,
        b"\x05",
        error,
        (lost,),
        "",
        0.25,
        "half",
        TaskOutput(7, 1, 0, b"out\nput\n", ((1, 8, 8),)),
    )
    print_detail(found, as_json=False)
    assert capsys.readouterr().out == (
        "task       7\n"
        "kind       hash\n"
        "state      failed\n"
        "progress   25% half\n"
        "attempts   2/5 (1 used up)\n"
        "priority   3\n"
        "timeout    1 min\n"
        f"submitted  {when(NOW)}\n"
        f"due        {when(NOW + 1)}\n"
        f"ended      {when(NOW + 9)}\n"
        f"ran for    {span(4.0)}\n"
        "worker     w-fern\n"
        "only on    w-oak\n"
        "key        img\n"
        "batch      b1\n"
        "payload    5\n"
        "result     12 bytes: `taskmessenger task result 7` prints it\n"
        "error: crashed: it died (signal SIGSEGV, most memory, in KiB: 7)\n"
        "stderr:\n    a\n    b\n"
        "    line 1\n    line 2\n"
        "ATTEMPT  HOW   WORKER  ENDED                      ERROR\n"
        f"1        lost  w-oak   {when(NOW + 2)}  gone\n"
        "output:\n    out\n    put\n"
    )


def test_a_task_as_json_has_all_that_is_known_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = ErrorInfo("failed", "no", "stack", {"x": 1})
    print_detail(
        TaskDetail(
            ROW, 1, None, b"\x05", error, note="n", output=TaskOutput(7, 2, 5, b"o", ((1, 3, 0), (2, 6, 1)))
        ),
        as_json=True,
    )
    said = json.loads(capsys.readouterr().out)
    assert said | {
        "id": 7, "state": "failed", "payload": 5, "payload_head": "5", "payload_size": 1, "result_size": None,
        "error": {"code": "failed", "message": "no", "stack": "stack", "evidence": {"x": 1}}, "note": "n",

        "output": {
            "attempt": 2, "start": 5, "text": "o", "live": False,
            "attempts": [{"attempt": 1, "written": 3, "kept": 0}, {"attempt": 2, "written": 6, "kept": 1}],
        }, "waits_for": None, "progress": None, "attempts": [],
    } == said  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (msgspec.msgpack.encode("x" * 400), "x" * 400),
        (msgspec.msgpack.encode("x" * 401), "x" * 399 + "… (404 bytes)"),
        (msgspec.msgpack.encode({"a": 1}), '{"a": 1}'),
    ],
)
def test_of_a_long_payload_the_beginning_is_shown_and_its_size(
    capsys: pytest.CaptureFixture[str], payload: bytes, shown: str
) -> None:
    print_detail(TaskDetail(ROW, len(payload), None, payload), as_json=False)
    assert f"payload    {shown}\n" in capsys.readouterr().out


def test_a_payload_that_is_too_large_to_be_shown_has_its_beginning_and_its_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_detail(TaskDetail(ROW, 70_000, None), as_json=False)
    print_detail(
        TaskDetail(msgspec.structs.replace(ROW, head=b"\xdb\0\1\0\0begin"), 70_000, None), as_json=False
    )
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("payload")]
    assert said == ["payload    70,000 bytes", 'payload    "begin… (70,000 bytes)']


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (TaskOutput(7, 1, 0, b"x", ((1, 1, 1),)), "output:"),
        (TaskOutput(7, 2, 0, b"x", ((2, 1, 1),)), "output of attempt 2:"),
        (TaskOutput(7, 1, 0, b"x", ((1, 1, 1), (2, 1, 1))), "output of attempt 1:"),
        (TaskOutput(7, 1, 9, b"x", ((1, 10, 1),)), "output, the last 1 byte of 10:"),
        (
            TaskOutput(7, 2, 8, b"xy", ((1, 5, 5), (2, 10, 4))),
            "output of attempt 2, the last 2 bytes of 10 (`taskmessenger task output 7` prints 4):",
        ),
    ],
)
def test_of_what_a_task_wrote_it_is_said_how_much_is_not_shown(
    capsys: pytest.CaptureFixture[str], found: TaskOutput, words: str
) -> None:
    print_detail(TaskDetail(ROW, 1, None, b"\x05", output=found), as_json=False)
    assert words in capsys.readouterr().out.splitlines()
