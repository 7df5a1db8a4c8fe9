"""What tasks answered, as files and lines; invites that are given and shown; how far many tasks are."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from click.testing import CliRunner
from taskmessenger.cli import audit, invite, progress, role
from taskmessenger.cli import task as t
from taskmessenger.cli import task_results as r
from taskmessenger.cli.output import when
from taskmessenger.core.errors import Conflict, NotFound, OutputLost, StoreError, Unreachable, UsageError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Cursor, ErrorInfo, Outcome, TaskDetail, TaskPage, TaskQuery, TaskRow
from taskmessenger.handle.audit import BEGINNING, AuditEntry, chained
from taskmessenger.handle.values import InviteRow
from taskmessenger.net.security import invites

from tests.support.commands import talk_to
from tests.support.fleet_ca import a_fleet, an_invite

NOW = 1_795_378_863.0
SUCCEEDED, FAILED, QUEUED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.QUEUED


def row(task_id: int, state: TaskState = SUCCEEDED, **more: Any) -> TaskRow:
    return TaskRow(task_id, "hash", state, 0, 1, 5, 0, NOW, **more)


def well(task_id: int, value: Any) -> Outcome:
    return Outcome(task_id, SUCCEEDED, 1, "w1", msgpack.packb(value), None, 0.5)


def badly(task_id: int) -> Outcome:
    return Outcome(task_id, FAILED, 3, "w1", None, ErrorInfo("failed", "boom"), 0.5)


class Pretended:
    """A manager with some tasks, which it lists two at a time."""

    def __init__(self) -> None:
        self.rows: list[TaskRow] = []
        self.ended: dict[int, Outcome] = {}
        self.asked: list[list[int]] = []
        self.waits = ""

    def has(self, *found: Outcome | TaskRow, **more: Any) -> None:
        for one in found:
            if isinstance(one, TaskRow):
                self.rows.append(one)
            else:
                self.rows.append(row(one.id, TaskState(one.state), **more))
                self.ended[one.id] = one

    async def outcomes(self, ids: list[int]) -> list[Outcome]:
        self.asked.append(ids)
        return [self.ended[i] for i in ids if i in self.ended]

    async def detail(self, task_id: int, _most: int) -> TaskDetail:
        return TaskDetail(
            next(one for one in self.rows if one.id == task_id), 1, None, None, waits_for=self.waits
        )

    async def page(self, query: TaskQuery) -> TaskPage:
        at = 0 if query.at is None else query.at.id
        rows = tuple(self.rows[at : at + 2])
        more = at + 2 < len(self.rows)
        return TaskPage(rows, more, Cursor(None, at + 2) if more else None)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended()

    talk_to(pretended, monkeypatch, r, t)
    return pretended


def result(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(r.result, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.stderr
    return done


# ---- results of tasks


def test_the_result_of_one_task_is_printed_as_it_is(remote: Pretended) -> None:
    remote.has(well(1, "text"), well(2, {"a": 1}), well(3, b"\xff\x00"))
    assert result("1").stdout == "text\n"
    assert json.loads(result("2").stdout) == {"a": 1}
    assert result("3").stdout_bytes == b"\xff\x00"
    assert json.loads(result("2", "--json").stdout) == {
        "id": 2, "state": "succeeded", "attempt": 1, "worker": "w1", "run_seconds": 0.5, "result": {"a": 1},
        "error": None,
    }  # fmt: skip


def test_why_there_is_no_result_is_said(remote: Pretended) -> None:
    remote.has(badly(1), row(2, QUEUED))
    assert result("1", code=1).stderr == (
        "task 1 failed after 3 attempts: boom; more with `taskmessenger task show 1`\n"
    )
    assert json.loads(result("1", "--json", code=1).stdout)["error"] == {"code": "failed", "message": "boom"}
    assert result("2", code=1).stderr == "task 2 has not ended: it is queued\n"
    remote.waits = "no worker"
    assert result("2", code=1).stderr == "task 2 has not ended: it is queued (no worker)\n"


def test_results_of_many_are_lines_and_what_is_missing_is_counted(remote: Pretended) -> None:
    remote.has(well(1, "a"), badly(2), row(3, QUEUED), well(4, [1]), well(5, "e"))
    done = result("--batch", "b", code=1)
    assert done.stdout == "1\ta\n2\terror: failed: boom\n4\t[1]\n5\te\n"
    assert done.stderr == ("1 task did not succeed: see `taskmessenger task ls`\n1 task has not ended yet\n")


def test_results_of_many_as_json_lines(remote: Pretended) -> None:
    remote.has(well(1, "a"), key="k", batch="b", head=b"\x05")
    (line,) = result("--filter", "kind:hash", "--jsonl").stdout.splitlines()
    assert json.loads(line) == {
        "key": "k", "batch": "b", "id": 1, "state": "succeeded", "attempt": 1, "worker": "w1",
        "run_seconds": 0.5, "result": "a", "error": None, "payload_head": "5",
    }  # fmt: skip


def test_results_of_many_are_files_with_an_index(remote: Pretended, tmp_path: Path) -> None:
    remote.has(well(1, "text"), well(2, b"\xff"), well(3, {"a": 1}), badly(4))
    done = result("--batch", "b", "--out", str(tmp_path / "new" / "out"), code=1)
    folder = tmp_path / "new" / "out"
    assert {path.name for path in folder.iterdir()} == {"1.txt", "2.bin", "3.json", r.INDEX}
    assert (folder / "1.txt").read_text() == "text"
    assert (folder / "2.bin").read_bytes() == b"\xff"
    assert (folder / "3.json").read_text() == '{"a": 1}\n'
    index = [json.loads(line) for line in (folder / r.INDEX).read_text().splitlines()]
    assert [(one["id"], one.get("file"), "result" in one) for one in index] == [
        (1, "1.txt", False), (2, "2.bin", False), (3, "3.json", False), (4, None, False),
    ]  # fmt: skip
    assert done.stderr.startswith(f"3 results in {folder}\n1 task did not succeed")
    with pytest.raises(Conflict, match="is not empty: name a folder that is, or a new one"):
        result("--batch", "b", "--out", str(folder))


def test_a_folder_that_cannot_be_written_is_named(remote: Pretended, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Conflict, match=r"file/x cannot be written to: Not a directory"):
        result("--batch", "b", "--out", str(tmp_path / "file" / "x"))


def test_tasks_that_are_not_there_are_not_found(remote: Pretended) -> None:
    with pytest.raises(NotFound, match="there is no such task: see `taskmessenger task ls`"):
        result("--batch", "b")


@pytest.mark.parametrize(
    "words",
    [
        [], ["1", "--batch", "b"], ["--batch", "b", "--filter", "x"], ["1", "--jsonl"], ["1", "--out", "x"],
        ["--batch", "b", "--json"], ["--batch", "b", "--jsonl", "--out", "x"],
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(remote: Pretended, words: list[str]) -> None:
    with pytest.raises(UsageError):
        result(*words)
    assert not remote.asked


def test_small_results_are_asked_for_in_growing_numbers_and_large_ones_in_few(
    remote: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anyio

    async def main(size: int) -> list[int]:
        remote.asked.clear()
        rows = [row(number) for number in range(1, 301)]
        remote.ended = {one.id: well(one.id, "x" * size) for one in rows}
        async for _ in r._outcomes(remote, rows):  # type: ignore[arg-type]
            pass
        return [len(ids) for ids in remote.asked]

    monkeypatch.setattr(r, "LOOK_BYTES", 40_000)
    assert anyio.run(main, 10) == [10, 40, 100, 100, 50]
    large = anyio.run(main, 9_000)
    assert large[:3] == [10, 2, 1]
    assert sum(large) == 300


# ---- invites that are given


def test_an_invite_is_read_from_a_file_or_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "invite"
    file.write_bytes("  tm1-ABC \n".encode("utf-16"))
    assert role.read_invite(None, file) == "tm1-ABC"
    assert role.read_invite(None, None) is None
    stdin = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(b"tm1-XYZ\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert role.read_invite("-", None) == "tm1-XYZ"
    assert capsys.readouterr().err == ""
    assert role.read_invite("tm1-SEEN", None) == "tm1-SEEN"
    assert "can be seen by other users of this machine" in capsys.readouterr().err


def test_an_invite_that_cannot_be_read_is_refused_by_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none: the invite cannot be read \(No such file"):
        role.read_invite(None, tmp_path / "none")
    (tmp_path / "odd").write_bytes(b"tm1-\xe9")
    with pytest.raises(UsageError, match="odd is not UTF-8"):
        role.read_invite(None, tmp_path / "odd")
    with pytest.raises(UsageError, match="not by both"):
        role.read_invite("-", tmp_path / "odd")


@pytest.mark.parametrize("who", ["worker", "client", "operator"])
def test_a_worker_uses_no_invite_that_is_for_another(tmp_path: Path, who: str) -> None:
    text = invites.encode(an_invite(a_fleet(tmp_path), role=who)[0])
    if who == "worker":
        assert role._for_worker(text) == text
        assert role._for_worker(None) is None
    else:
        with pytest.raises(UsageError, match=f"this invite is for a {who}"):
            role._for_worker(text)


# ---- invites that are shown


class Inviting:
    """A manager that makes this invite."""

    def __init__(self, text: str, made: InviteRow) -> None:
        self.text, self.made = text, made
        self.asked: list[Any] = []

    async def make_invite(self, *words: Any, **more: Any) -> Any:
        self.asked.append((words, more))
        return SimpleNamespace(text=self.text, invite=self.made)

    async def invites(self) -> list[InviteRow]:
        return [self.made]


def _inviting(monkeypatch: pytest.MonkeyPatch, folder: Path, **more: Any) -> Inviting:
    made, stored = an_invite(a_fleet(folder), now=NOW, ttl=900)
    import msgspec

    one = Inviting(invites.encode(made), msgspec.structs.replace(stored, **more))

    talk_to(one, monkeypatch, invite)
    monkeypatch.setattr("taskmessenger.cli.invite.time.time", lambda: NOW)
    return one


def make(*words: str) -> Any:
    done = CliRunner().invoke(invite.invite, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done


def test_an_invite_is_the_only_thing_on_standard_output_and_is_explained_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _inviting(monkeypatch, tmp_path)
    done = make()
    assert done.stdout == f"{one.text}\n"
    assert one.asked == [((0, 0.0, "worker"), {"approve": False, "ephemeral": False})]
    lines = done.stderr.splitlines()
    assert lines[0] == "Join this fleet from any machine with"
    assert "taskmessenger --role worker --no-ui --join -" in lines[1]
    assert f"1 use, until {when(NOW + 900)} (15 min)" in lines[2]
    assert "may run tasks. It leads to " in lines[3]
    assert not [line for line in lines if "machines can join" in line or "Each of them" in line]


def test_what_is_special_about_an_invite_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = _inviting(monkeypatch, tmp_path, uses=3, approve=True, ephemeral=True)
    monkeypatch.setattr(invite, "_endpoints", lambda _text: ["tcp://127.0.0.1:7711", "tcp://[::1]:7711"])
    said = make("--uses", "3", "--ttl", "2h", "--approve", "--ephemeral").stderr
    assert one.asked == [((3, 7200.0, "worker"), {"approve": True, "ephemeral": True})]
    assert "Each of them waits until you approve it" in said
    assert "Each of them is forgotten when it leaves" in said
    assert "warning: 3 machines can join with it until it expires" in said
    assert (
        "warning: it leads to tcp://127.0.0.1:7711, tcp://[::1]:7711, which only this machine can reach"
        in said
    )


def test_an_invite_that_leads_elsewhere_too_is_no_reason_to_warn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _inviting(monkeypatch, tmp_path)
    monkeypatch.setattr(invite, "_endpoints", lambda _text: ["tcp://127.0.0.1:7711", "tcp://10.0.0.1:7711"])
    done = make("create", "--json")
    assert "warning" not in done.stderr
    said = json.loads(done.stdout)
    assert (said["invite"], said["endpoints"]) == (one.text, ["tcp://127.0.0.1:7711", "tcp://10.0.0.1:7711"])


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("why", [OutputLost("gone"), KeyboardInterrupt()], ids=["lost", "ctrl-c"])
def test_an_invite_whose_text_nobody_has_is_revoked_or_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: bool,
    why: BaseException,
) -> None:
    one = _inviting(monkeypatch, tmp_path)

    async def revoke_invite(invite_id: str) -> None:
        if not answers:
            raise Unreachable("nobody is there")
        one.asked.append(invite_id)

    monkeypatch.setattr(one, "revoke_invite", revoke_invite, raising=False)
    monkeypatch.setattr("taskmessenger.outlet.give_up", lambda: one.asked.append("given up"))
    with pytest.raises(type(why)), invite._revoked_unless_printed("ABC"):
        raise why
    said = capsys.readouterr().err
    if answers:
        assert one.asked == ["given up", "ABC"]
        assert said == "the text of invite ABC was not printed, so it is revoked: make another\n"
    else:
        assert one.asked == ["given up"]
        assert said.startswith(
            "the text of invite ABC was not printed and it is still open (nobody is there)"
        )
    with invite._revoked_unless_printed("DEF"):
        pass
    assert "DEF" not in one.asked


@pytest.mark.parametrize(
    ("place", "here"),
    [
        ("tcp://127.0.0.1:1", True), ("tcp://127.9.9.9:1", True), ("tcp://[::1]:1", True),
        ("tcp://localhost:1", True), ("tcp://10.0.0.1:1", False), ("tcp://fern.example:1", False),
        ("zt://8056c2e21c000001/8056c2e21c:7711", False),
    ],
)  # fmt: skip
def test_places_that_only_this_machine_reaches_are_known(place: str, here: bool) -> None:
    assert invite._is_loopback(place) is here


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "open"), ({"revoked_at": NOW}, "revoked"), ({"uses_left": 0}, "used"),
        ({"expires_at": NOW}, "expired"), ({"expires_at": NOW + 1}, "open"),
    ],
)  # fmt: skip
def test_invites_are_listed_with_their_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], state: str
) -> None:
    one = _inviting(monkeypatch, tmp_path, **more)
    line = make("ls").stdout.splitlines()[1].split()
    assert line[:3] == [one.made.id, "worker", state]
    assert json.loads(make("ls", "--json").stdout)[0]["state"] == state


# ---- the audit


def _rows(*times: float) -> list[Any]:
    found: list[Any] = []
    for number, at in enumerate(times, 1):
        entry = AuditEntry(at=at, who="local", role="operator", verb="pause", object="all")
        found.append(chained(entry, number, found[-1].hash if found else BEGINNING))
    return found


def _audit(monkeypatch: pytest.MonkeyPatch, rows: list[Any], *words: str) -> Any:
    asked: list[tuple[int, float]] = []

    async def ask(after: int, since: float) -> list[Any]:
        asked.append((after, since))
        return [one for one in rows if one.number > after][:2]

    monkeypatch.setattr(audit, "_ask", ask)
    monkeypatch.setattr(audit, "time", lambda: NOW)
    return CliRunner().invoke(audit.audit, list(words), catch_exceptions=False), asked


def test_the_audit_is_told_page_by_page_from_a_moment_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(NOW, NOW, NOW)
    done, asked = _audit(monkeypatch, rows, "--since", "1h")
    assert done.stdout.splitlines() == [audit._told(one) for one in rows]
    assert asked == [(0, NOW - 3600), (2, NOW - 3600), (3, NOW - 3600)]
    lines = _audit(monkeypatch, rows, "--json")[0].stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]


def test_an_audit_is_verified_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(NOW, NOW, NOW)
    done, asked = _audit(monkeypatch, rows, "--verify", "--since", "1h")
    assert (done.stdout, asked[0]) == ("", (0, 0.0))
    assert done.stderr == f"3 rows are as written; the newest is 3, with hash {rows[-1].hash}\n"
    assert _audit(monkeypatch, [], "--verify")[0].stderr == "0 rows are as written\n"
    with pytest.raises(StoreError, match="the audit is not as it was written: between row 1 and row 3"):
        _audit(monkeypatch, [rows[0], rows[2]], "--verify")


# ---- how far many tasks are


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr("taskmessenger.cli.progress.time.monotonic", lambda: one.now)
    return one


def test_without_a_terminal_there_is_a_line_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = progress.Progress(1_000)
    shown.show(1, 0, "")
    clock.now += progress.LINE_SECONDS - 0.1
    shown.show(2, 0, "")
    assert capsys.readouterr().err == ""
    clock.now += 0.1
    shown.show(60, 2, "8 running")
    shown.show(61, 2, "8 running")
    said = capsys.readouterr().err
    assert said == "60 of 1,000 ended, 2 failed, 8 running, 2/s, about 7.83 min left\n"


def test_on_a_terminal_the_line_is_drawn_anew_and_makes_room(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = progress.Progress(10)
    shown.on_terminal = True  # what is captured is none, so the word that empties a line is left out
    shown.hide()
    shown.show(0, 0, "")
    assert capsys.readouterr().err == "\r0 of 10 ended"
    with shown.hidden():
        shown.show(1, 0, "")
        assert capsys.readouterr().err == "\r"
    clock.now += 5.0
    shown.show(10, 0, "")
    assert capsys.readouterr().err == "\r10 of 10 ended, 2/s"


def test_the_rate_is_of_the_last_seconds(clock: Clock) -> None:
    shown = progress.Progress(10_000)
    for ended in range(0, 400, 10):
        clock.now += 1.0
        assert shown._rate(ended) <= 10.0
    clock.now += progress.RATE_SECONDS * 10
    assert shown._rate(390) < 1.0
