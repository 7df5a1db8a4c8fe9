"""The command line against a real manager and worker: what is printed, and how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import Group

from tests.support.processes import COMMAND, READY_SECONDS, Fleet, environment, fleet, refused, until
from tests.support.terminal import Terminal


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A manager with one worker; tests leave it as they found it."""
    with fleet(tmp_path_factory.mktemp("cli")) as one:
        one.manager()
        one.worker("fern", "--capacity", "2")
        yield one


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of this test's own, not started."""
    with fleet(tmp_path / "fleet") as one:
        yield one


# ---- what works -----------------------------------------------------------------------------------------


def test_a_result_comes_back_as_it_is(here: Fleet) -> None:
    assert here.run("submit", "reverse", "hello", "--wait").stdout == "olleh\n"
    assert here.run("submit", "sum", "--json-payload", "[1, 2.5]", "--wait").stdout == "3.5\n"
    digest = hashlib.sha256(b"\0\xff").hexdigest()
    assert (
        here.run("submit", "hash", "--payload-file", "-", "--wait", stdin=b"\0\xff").stdout == f"{digest}\n"
    )


def test_many_results_come_in_the_order_of_their_lines(here: Fleet) -> None:
    lines = "".join(f"{n}\n" for n in range(2_500))
    done = here.run("submit", "echo", "--jsonl", "-", "--wait", stdin=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")


def test_no_result_slides_beside_the_input_of_another(here: Fleet) -> None:
    lines = '[1, 2]\n"x"\n[3, 4]\n{"base64": "AAE="}\n'
    done = here.run("submit", "sum", "--jsonl", "-", "--wait", "--max-attempts", "1", stdin=lines)
    assert done.returncode == 1
    first, second, third, fourth = done.stdout.splitlines()
    assert (first, third) == ("3", "7")
    assert second.startswith("error: failed: ")
    assert "bytes" in fourth
    assert '(line 2, payload "x")' in done.stderr


def test_waiting_with_a_bound_leaves_the_tasks_to_the_manager(here: Fleet) -> None:
    words = ("--wait", "--wait-timeout", "1500ms", "--batch", "late")
    done = here.run("submit", "wait", "--jsonl", "-", *words, stdin="0.1\n30\n0.1\n")
    assert (done.returncode, done.stdout) == (6, "0.1\n")
    assert "2 of 3 tasks had ended" in done.stderr
    assert "taskmessenger task ls --batch late" in done.stderr
    assert len(here.run("task", "cancel", "--filter", "batch:late state:running", "--yes").stdout) == 0


def test_falsy_results_are_results(here: Fleet) -> None:
    values = ["null", "false", "0", '""', "[]", "{}"]
    done = here.run("submit", "echo", "--jsonl", "-", "--wait", "--json", stdin="\n".join(values))
    found = json.loads(done.stdout)
    assert [one["result"] for one in found] == [None, False, 0, "", [], {}]
    assert {one["state"] for one in found} == {"succeeded"}


def test_a_result_can_be_had_later_and_bytes_are_written_raw(here: Fleet) -> None:
    task_id = here.run("submit", "echo", "--payload-file", "-", stdin=b"\0\xff\n").stdout.strip()
    here.run("submit", "echo", "--wait")
    until(lambda: here.run("task", "result", task_id).returncode == 0)
    assert here.run("task", "result", task_id).stdout == "\0\udcff\n"
    found = json.loads(here.run("task", "result", task_id, "--json").stdout)
    assert found["result"] == {"base64": "AP8K"}


def test_a_task_that_fails_says_why_in_every_place(here: Fleet) -> None:
    done = here.run("submit", "upper", "--json-payload", "5", "--max-attempts", "1", "--wait")
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed after 1 attempt: ValueError: upper wants text, not int" in done.stderr
    task_id = done.stderr.split()[1]
    result = here.run("task", "result", task_id)
    assert (result.returncode, result.stdout) == (1, "")
    assert "upper wants text" in result.stderr
    shown = json.loads(here.run("task", "show", task_id, "--json").stdout)
    assert shown["state"] == "failed"
    assert shown["error"]["code"] == "permanent"
    assert "Traceback" not in shown["error"]["message"]
    assert here.run("task", "retry", task_id).stdout == f"{task_id}\n"


def test_a_kind_that_nobody_offers_waits_and_says_so(here: Fleet) -> None:
    done = here.run("submit", "nonesuch", "x")
    assert (done.returncode, done.stderr) == (0, "1 task waits: no worker offers `nonesuch`\n")
    task_id = done.stdout.strip()
    result = here.run("task", "result", task_id)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"task {task_id} has not ended: it is queued (no worker offers `nonesuch`)\n"
    assert "no worker offers `nonesuch`" in here.run("pool", "status").stdout
    assert here.run("task", "cancel", task_id).stdout == f"{task_id}\n"
    refused(here.run("task", "cancel", task_id), 7, f"task {task_id} is cancelled")


def test_a_task_for_a_worker_that_is_not_there_says_so(here: Fleet) -> None:
    done = here.run("submit", "echo", "x", "--worker", "w-gone")
    assert "1 task waits: worker w-gone, the only one that may, does not exist" in done.stderr
    here.run("task", "cancel", done.stdout.strip())


def test_a_key_makes_one_task_of_two_submissions(here: Fleet) -> None:
    first = here.run("submit", "echo", "x", "--count", "2", "--key", "monday")
    again = here.run("submit", "echo", "x", "--count", "2", "--key", "monday")
    assert again.stdout == first.stdout
    assert "2 tasks had been submitted before" in again.stderr
    refused(here.run("submit", "echo", "other", "--key", "monday-1"), 7, "monday-1", "another payload")


def test_a_list_is_whole_or_says_that_it_is_not(here: Fleet) -> None:
    here.run("submit", "echo", "x", "--count", "5", "--batch", "five", "--wait")
    cut = here.run("task", "ls", "--batch", "five", "--limit", "2", "--json")
    ids = [row["id"] for row in json.loads(cut.stdout)]
    assert cut.stderr.startswith("shown 2; there are more")
    rest = here.run("task", "ls", "--batch", "five", "--before", str(ids[-1]), "--jsonl")
    ids += [json.loads(line)["id"] for line in rest.stdout.splitlines()]
    assert rest.stderr == ""
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 5


def test_a_worker_can_be_paused_and_resumed(here: Fleet) -> None:
    worker_id = here.worker_id()
    paused = here.run("worker", "pause", worker_id, "--json")
    assert json.loads(paused.stdout) == {"id": worker_id, "state": "paused"}
    assert here.ask(lambda remote: remote.workers())[0].state == "paused"
    assert f"worker {worker_id} is paused" in here.run("worker", "ls").stderr
    assert f"worker {worker_id} is paused" in here.run("pool", "status").stdout
    done = here.run("submit", "echo", "x")
    assert done.stderr == f"1 task waits: worker {worker_id}, the only one that offers `echo`, is paused\n"
    found = here.run("task", "show", done.stdout.strip())
    assert f"waits for  worker {worker_id}, the only one that offers `echo`, is paused" in found.stdout
    assert here.run("worker", "resume", worker_id).stderr == f"{worker_id} may run tasks again\n"
    rows = json.loads(here.run("worker", "ls", "--json").stdout)
    assert [(row["id"], row["state"], row["capacity"]) for row in rows] == [(worker_id, "connected", 2)]
    assert "hash" in rows[0]["kinds"]


def test_a_worker_that_is_not_there_is_not_said_to_work_again(alone: Fleet) -> None:
    alone.manager()
    alone.worker().stop()
    worker_id = alone.worker_id()
    alone.run("worker", "pause", worker_id)
    said = alone.run("worker", "resume", worker_id).stderr
    assert said == (
        f"{worker_id} is not paused here any more, but it is offline: it can run tasks when it is back\n"
    )


def test_the_fleet_and_single_kinds_can_be_paused(here: Fleet) -> None:
    here.run("pool", "pause", "--kind", "echo")
    waits = here.run("submit", "echo", "x")
    assert waits.stderr == "1 task waits: kind `echo` is paused\n"
    assert "all" in json.loads(here.run("pool", "pause", "--json").stdout)["paused"]
    assert json.loads(here.run("pool", "status", "--json").stdout)["paused"] == ["all", "kind:echo"]
    assert "still paused: kind echo" in here.run("pool", "resume").stderr
    here.run("pool", "resume", "--kind", "echo")
    until(lambda: here.run("task", "result", waits.stdout.strip()).stdout == "x\n")


def test_a_reader_that_leaves_early_does_not_end_the_tasks_which_is_all_that_is_said(here: Fleet) -> None:
    lines = "".join(f'"{n:0200}"\n' for n in range(2_000))  # more than a pipe holds
    command = subprocess.Popen(
        [*COMMAND, "submit", "echo", "--jsonl", "-", "--wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(here.home),
    )
    assert command.stdin is not None
    assert command.stdout is not None
    assert command.stderr is not None
    with command, command.stdout, command.stderr:
        command.stdin.write(lines.encode())
        command.stdin.close()
        assert command.stdout.readline() == b"0" * 200 + b"\n"
        command.stdout.close()
        (said,) = command.stderr.read().splitlines()
        assert said.startswith(b"2,000 tasks handed in: see `taskmessenger task ls --filter id:")
        assert command.wait(READY_SECONDS) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_and_says_how_to_go_on(here: Fleet, number: signal.Signals) -> None:
    command = subprocess.Popen(
        [*COMMAND, "submit", "wait", "300", "--wait", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(here.home),
    )
    until(lambda: here.ask(lambda remote: remote.status()).totals["running"] > 0)
    command.send_signal(number)
    out, err = command.communicate(timeout=READY_SECONDS)
    assert command.returncode == 128 + number
    assert json.loads(out) == []
    (row,) = here.run("task", "ls", "--state", "running", "--jsonl").stdout.splitlines()
    task_id = json.loads(row)["id"]
    assert f"goes on with 1 task: see `taskmessenger task result {task_id}`" in err.decode()
    assert "Traceback" not in err.decode()
    assert here.run("task", "cancel", str(task_id)).returncode == 0
    until(lambda: here.ask(lambda remote: remote.status()).totals["running"] == 0)
    if number == signal.SIGTERM:
        assert err.splitlines()[-1] == b"error: ended by SIGTERM"
        assert b"" not in err.splitlines(), "no line is empty: there is no `^C` before it"


def test_text_of_peers_cannot_speak_to_a_terminal(here: Fleet) -> None:
    done = here.run("submit", "sum", "\x1b]0;title\x07", "--max-attempts", "1", "--wait")
    assert "\\x1b" in done.stderr
    assert "\x1b" not in done.stderr
    for words in (["ls", "--state", "failed"], ["show", done.stderr.split()[1]]):
        shown = here.run("task", *words).stdout
        assert "\\x1b]0;title\\x07" in shown
        assert "\x1b" not in shown


def test_what_can_never_succeed_is_tried_once_and_says_why(here: Fleet) -> None:
    done = here.run("submit", "sum", "no number", "--wait")
    assert done.returncode == 1
    shown = here.run("task", "show", done.stderr.split()[1]).stdout
    assert "1/5 (1 used up)" in shown
    assert "not tried again: its kind says that another attempt cannot help" in shown


# ---- ids, workers and managers that are not there --------------------------------------------------------


@pytest.mark.parametrize("verb", ["show", "result", "output", "cancel", "retry"])
def test_an_unknown_task_is_not_found(here: Fleet, verb: str) -> None:
    refused(here.run("task", verb, str(2**63 - 1)), 3, f"there is no task {2**63 - 1}")


@pytest.mark.parametrize("verb", ["pause", "resume", "drain"])
def test_an_unknown_worker_is_not_found(here: Fleet, verb: str) -> None:
    refused(here.run("worker", verb, "nobody"), 3, "there is no worker nobody", "taskmessenger worker ls")


def test_a_worker_that_is_nearly_right_is_suggested_and_left_alone(here: Fleet) -> None:
    refused(here.run("worker", "drain", here.worker_id()[:-1]), 3, f"did you mean {here.worker_id()}?")


def test_to_revoke_has_to_be_meant(here: Fleet) -> None:
    refused(here.run("worker", "revoke", here.worker_id()), 2, "--yes")
    refused(here.run("worker", "revoke", "nobody", "--yes"), 3, "nobody is not a member")


# ---- faults ---------------------------------------------------------------------------------------------


def test_waiting_survives_a_manager_that_is_killed_and_started_again(alone: Fleet) -> None:
    manager = alone.manager()
    command = subprocess.Popen(
        # Tasks are counted a moment before they are durable: with a key they are handed in again if need be.
        [*COMMAND, "submit", "reverse", "--jsonl", "-", "--key", "k", "--wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(alone.home),
    )
    with command:
        assert command.stdin is not None
        command.stdin.write(b'"ab"\n"cd"\n')
        command.stdin.close()
        command.stdin = None
        until(lambda: alone.ask(lambda remote: remote.status()).accepted == 2)
        manager.kill()
        alone.manager()
        alone.worker()
        out, err = command.communicate(timeout=READY_SECONDS)
    assert (command.returncode, out) == (0, b"ba\ndc\n"), err


def test_a_drained_worker_leaves_and_its_tasks_stay(alone: Fleet) -> None:
    alone.manager()
    worker = alone.worker()
    assert alone.run("worker", "drain", alone.worker_id(), "--deadline", "5s").returncode == 0
    assert worker.wait() == 0
    until(lambda: alone.ask(lambda remote: remote.workers())[0].state == "offline")
    refused(alone.run("worker", "drain", alone.worker_id()), 7, "is offline")
    task_id = alone.ask(lambda remote: remote.submit([Group("echo", [b"\x01"])])).ids[0]
    assert alone.ask(lambda remote: remote.detail(task_id)).row.state == TaskState.QUEUED


def test_a_revoked_worker_is_sent_away_for_good(alone: Fleet) -> None:
    alone.manager()
    worker = alone.worker()
    assert alone.run("worker", "revoke", alone.worker_id(), "--yes").returncode == 0
    assert worker.wait() == 4
    assert "revoked" in worker.said()
    refused(alone.run("worker", "pause", alone.worker_id()), 7, "is revoked")


# ---- speed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("task", "ls", "--json"), ("submit", "echo", "x"), ("pool", "status")], ids=" ".join
)
def test_nothing_heavy_is_loaded_for_the_local_socket(here: Fleet, words: tuple[str, ...]) -> None:
    env = environment(here.home) | {"PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run([*COMMAND, *words], capture_output=True, env=env, timeout=60, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.decode().splitlines()}
    assert "msgspec" in loaded
    assert not loaded & {"cryptography", "apsw", "psutil", "textual", "multiprocessing"}


def test_commands_need_no_home_of_this_user(here: Fleet) -> None:
    env = {key: value for key, value in environment(here.home).items() if key not in {"HOME", "LANG", "TERM"}}
    done = subprocess.run(
        [*COMMAND, "submit", "echo", "é", "--wait"],
        capture_output=True,
        env=env | {"LC_ALL": "C"},
        timeout=60,
        check=True,
    )
    assert done.stdout.decode() == "é" + os.linesep


def test_the_results_of_a_batch_are_got_in_one_go(here: Fleet, tmp_path: Path) -> None:
    lines = '"a\\nb"\n[1]\n{"base64": "AP8="}\n'
    assert (
        here.run("submit", "echo", "--jsonl", "-", "--batch", "one go", "--wait", stdin=lines).returncode == 0
    )
    here.run("submit", "sum", "bad", "--batch", "one go", "--max-attempts", "1", "--wait", "--key", "k")
    done = here.run("task", "result", "--batch", "one go")
    assert done.returncode == 1
    assert "1 task did not succeed" in done.stderr
    texts = [line.partition("\t")[2] for line in done.stdout.splitlines()]
    assert texts[:3] == ['"a\\nb"', "[1]", '{"base64": "AP8="}']
    assert texts[3].startswith("error: failed: ")
    found = [
        json.loads(line)
        for line in here.run("task", "result", "--batch", "one go", "--jsonl").stdout.splitlines()
    ]
    assert [one["result"] for one in found] == ["a\nb", [1], {"base64": "AP8="}, None]
    assert (found[3]["key"], found[3]["payload_head"], found[3]["state"]) == ("k", '"bad"', "failed")
    folder = tmp_path / "results"
    done = here.run("task", "result", "--filter", 'batch:"one go" state:succeeded', "--out", str(folder))
    assert (done.returncode, done.stdout) == (0, "")
    index = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert [(folder / one["file"]).read_bytes() for one in index] == [b"a\nb", b"[1]\n", b"\0\xff"]
    refused(here.run("task", "result", "--batch", "one go", "--out", str(folder)), 7, "is not empty")
    refused(here.run("task", "result", "--batch", "no such batch"), 3, "there is no such task")
    refused(here.run("task", "result"), 2, "whose result?")


def test_on_a_terminal_it_is_seen_how_far_many_tasks_are_in_a_line_that_is_drawn_anew(here: Fleet) -> None:
    script = "printf '0.1\\n4\\n0.1\\n' | \"$@\" submit wait --jsonl - --wait > /dev/null"
    words = ["sh", "-c", script, "sh", *COMMAND]
    with Terminal(words, environment(here.home), (60, 20)) as terminal:
        terminal.until("2 of 3 ended")
        terminal.until(lambda: terminal.popen.poll() is not None)
        assert terminal.popen.returncode == 0
        said = bytes(terminal.raw).decode()
    assert "waiting for 3 tasks; Ctrl-C stops the waiting, not the tasks" in said
    lines = said.split("\r\x1b[K")
    assert len(lines) > 3
    assert all(len(line) < 60 for line in lines[1:])
    assert said.endswith("\r\x1b[K")


def test_bytes_that_are_edited_as_text_stay_bytes(here: Fleet) -> None:
    words = ("submit", "hash", "--json-payload", '{"base64": "aGVsbG8="}', "--batch", "edited")
    done = here.run(*words, "--wait")
    assert done.stdout == f"{hashlib.sha256(b'hello').hexdigest()}\n"
    (row,) = json.loads(here.run("task", "ls", "--batch", "edited", "--json").stdout)
    assert row["payload_head"] == '{"base64": "aGVsbG8="}'
    editor = {"EDITOR": "sed -i s/aGVsbG8=/aGVsbG8h/"}
    with Terminal([*COMMAND, "task", "edit", str(row["id"])], environment(here.home) | editor) as terminal:
        terminal.until(lambda: terminal.popen.poll() is not None)
        assert terminal.popen.returncode == 0
        new = terminal.words().split()[-1]
    until(lambda: here.run("task", "result", new).returncode == 0)
    assert here.run("task", "result", new).stdout == f"{hashlib.sha256(b'hello!').hexdigest()}\n"
