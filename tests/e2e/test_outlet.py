"""Standard streams that are closed, full, slow or deserted: what is done is done once, and is told."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger.paths import private_directory

from tests.support.processes import ANY_PORT, COMMAND, COMMAND_SECONDS, Fleet, environment, until
from tests.support.processes import fleet as running_fleet

FULL = Path("/dev/full")
MANY = 5_000
LARGE = 8_000_000
"""Bytes of a result: many times what a pipe holds."""
STANDS_STILL = 6
"""Seconds."""
READ_SLOWLY = 2_000_000
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A manager without workers."""
    with running_fleet(tmp_path_factory.mktemp("o") / "f") as one:
        one.manager()
        yield one


def shell(fleet: Fleet, words: str, **more: str) -> tuple[int, str, str]:
    """A line for the shell, in which `$TM` is the command: exit code, output, errors."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        env=environment(fleet.home) | {"TM": " ".join(COMMAND)} | more,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def number_of_tasks(fleet: Fleet) -> int:
    return sum(fleet.ask(lambda remote: remote.status()).totals.values())


def test_a_command_without_standard_streams_does_what_it_is_asked_once(fleet: Fleet) -> None:
    before = number_of_tasks(fleet)
    assert shell(fleet, "$TM submit echo x <&-")[0] == 0
    assert shell(fleet, "$TM submit echo x <&- >&- 2>&-")[0] == 0
    assert number_of_tasks(fleet) == before + 2
    assert shell(fleet, "$TM pool status >&-") == (0, "", "")
    assert shell(fleet, "$TM task show 1000000 2>&-")[0] == 3
    assert shell(fleet, "$TM --version >&- 2>&-")[0] == 0


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-"])
def test_roles_without_standard_streams_work_and_leave_in_good_order(tmp_path: Path, closed: str) -> None:
    """What the role opens itself gets none of the three numbers; tasks in processes run as ever."""
    kinds = tmp_path / "w" / "config" / "tm-worker" / "kinds"
    kinds.mkdir(parents=True, mode=0o700)
    (kinds / "says.py").write_text("def handle(payload):\n    print(payload)\n    return payload\n")
    with running_fleet(tmp_path / "f") as fleet:
        started: list[subprocess.Popen[bytes]] = []

        def start(home: Path, words: str) -> subprocess.Popen[bytes]:
            line = f"exec $TM {words} --no-ui {closed}"
            env = environment(home) | {"TM": " ".join(COMMAND)}
            started.append(subprocess.Popen(["bash", "-c", line], env=env))
            return started[-1]

        try:
            manager = start(fleet.home, f"--role manager --listen {ANY_PORT}")
            until(fleet.answers)
            (tmp_path / "invite").write_text(fleet.invite())
            worker = start(tmp_path / "w", f"--role worker --join-file {tmp_path / 'invite'}")
            done = fleet.run("submit", "says", "hello", "--wait")
            assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
            for process in (manager, worker):
                leads = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)]
                named = zip(leads, ("<&-", ">&-", "2>&-"), strict=True)
                assert all(lead == os.devnull for lead, one in named if one in closed.split()), leads
            for process in (worker, manager):
                process.send_signal(signal.SIGTERM)
                assert process.wait(COMMAND_SECONDS) == 0
        finally:
            for process in started:
                process.kill()
                process.wait()


def test_a_submission_is_handed_in_whole_when_the_reader_of_its_ids_leaves(fleet: Fleet) -> None:
    before = number_of_tasks(fleet)
    code, out, err = shell(fleet, f"$TM submit echo x --count {MANY} | head -1")
    assert (code, len(out.splitlines())) == (1, 1)
    assert number_of_tasks(fleet) == before + MANY
    assert f"{MANY:,} tasks handed in" in err
    assert re.search(rf"--filter id:{out.strip()}\.\.\d+", err)


@needs_full
def test_what_was_done_is_told_when_it_cannot_be_printed(fleet: Fleet) -> None:
    first = int(fleet.run("submit", "echo", "x", "--count", "3").stdout.split()[0])
    told = {
        "submit echo x --json": "1 task handed in",
        f"task cancel {first + 1} {first + 2} --json": f"2 tasks cancelled, ids {first + 1} to {first + 2}",
        f"task edit {first + 1} --json-payload 1": f"task {first + 1} is submitted anew as task ",
        "pool pause --kind unheard --json": "kind `unheard` are paused",
        "config init --role worker": "config-worker.json",
    }
    for words, what in told.items():
        code, _, err = shell(fleet, f"$TM {words} >/dev/full")
        assert code == 1, words
        assert what in err, (words, err)
        assert err.splitlines()[-1].startswith("error: standard output cannot be written (No space")
    for words in ("--help", "--version", "task ls", "watch"):
        code, _, err = shell(fleet, f"$TM {words} >/dev/full")
        assert (code, err.count("\n")) == (1, 1), (words, err)


@needs_full
def test_an_invite_that_nobody_has_is_revoked(fleet: Fleet) -> None:
    for where in ("| true", "--json >/dev/full"):
        code, out, err = shell(fleet, f"$TM invite {where}")
        assert (code, out) == (1, "")
        (name,) = re.findall(r"the text of invite (\w+) was not printed, so it is revoked", err)
        rows = {row.id: row for row in fleet.ask(lambda remote: remote.invites())}
        assert rows[name].revoked_at is not None


@needs_full
def test_errors_that_cannot_be_told_keep_their_exit_codes(fleet: Fleet) -> None:
    for code, words in ((3, "task show 1000000 2>/dev/full"), (2, "submit 2> >(true)")):
        assert shell(fleet, f"$TM {words}")[0] == code, words
    assert shell(fleet, "$TM pool resume --kind unheard 2>/dev/full")[0] == 0


def test_a_large_result_arrives_whole_at_a_slow_reader(fleet: Fleet, tmp_path: Path) -> None:
    body = os.urandom(1_000_000) * (LARGE // 1_000_000)
    (tmp_path / "large").write_bytes(body)
    worker = fleet.worker("large", "--capacity", "1")
    words = ("submit", "echo", "--payload-file", str(tmp_path / "large"), "--wait", "--json")
    done = fleet.run(*words)
    worker.stop()
    assert done.returncode == 0
    (task,) = json.loads(done.stdout)
    for unbuffered, blocks in (("1", True), ("", False)):
        found, code = slowly_read(fleet, str(task["id"]), unbuffered, blocks=blocks)
        assert (len(found), code) == (len(body), 0)
        assert found == body


def slowly_read(fleet: Fleet, task: str, unbuffered: str, *, blocks: bool) -> tuple[bytes, int]:
    """The result of a task through a pipe, and the exit code."""
    source, target = os.pipe()
    os.set_blocking(target, blocks)
    command = subprocess.Popen(
        [*COMMAND, "task", "result", task],
        stdout=target,
        env=environment(fleet.home) | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(target)
    found = bytearray()
    with os.fdopen(source, "rb", buffering=0) as pipe:
        while data := pipe.read(1_000_000):
            found += data
            if len(found) < READ_SLOWLY:
                time.sleep(0.01)
    return bytes(found), command.wait(COMMAND_SECONDS)


def test_a_reader_may_stand_still_for_longer_than_a_link_may_be_silent(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "f") as fleet:
        file = fleet.paths.config_file("manager")
        private_directory(file.parent)
        file.write_text('{"leases": {"heartbeat": 1, "dead_after": 3, "ttl": 5}}')
        fleet.manager()
        slow = f"| (sleep {STANDS_STILL}; wc -l)"
        for words in ("submit echo x --count 30000", "task ls --jsonl --limit 5000"):
            code, out, err = shell(fleet, f"$TM {words} {slow}")
            assert (code, int(out)) == (0, int(words.split()[-1])), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_submission_that_is_ended_says_how_much_of_it_was_handed_in(
    fleet: Fleet, tmp_path: Path, number: signal.Signals
) -> None:
    """Its reader stands still, so it waits in the middle of its ids."""
    before = number_of_tasks(fleet)
    file = tmp_path / "lines"
    file.write_text("1\n" * 100_000)
    source, target = os.pipe()
    command = subprocess.Popen(
        [*COMMAND, "submit", "echo", "--jsonl", str(file)],
        stdout=target,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(fleet.home),
    )
    os.close(target)

    def stands_still() -> bool:
        reached = number_of_tasks(fleet)
        time.sleep(0.3)
        return before < reached == number_of_tasks(fleet)

    with contextlib.closing(os.fdopen(source, "rb")):
        until(stands_still)
        command.send_signal(number)
        err = command.communicate(timeout=COMMAND_SECONDS)[1]
    assert command.returncode == 128 + number
    assert "Traceback" not in err
    handed_in = number_of_tasks(fleet) - before
    assert 0 < handed_in < 100_000
    assert f"the manager goes on with {handed_in:,} of 100,000 tasks" in err


def test_a_submission_that_is_ended_while_it_reads_has_handed_in_nothing(fleet: Fleet) -> None:
    before = number_of_tasks(fleet)
    command = subprocess.Popen(
        [*COMMAND, "submit", "echo", "--jsonl", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(fleet.home),
    )
    assert command.stdin is not None
    command.stdin.write(b"1\n" * 100_000)  # more than a pipe holds: it has begun to read
    command.stdin.flush()
    command.send_signal(signal.SIGTERM)
    err = command.communicate(timeout=COMMAND_SECONDS)[1].decode()
    assert command.returncode == 128 + signal.SIGTERM
    assert "nothing was submitted" in err
    assert number_of_tasks(fleet) == before
