"""The main job as a person runs it: real processes hash real files, and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.gate import until

COMMAND = [sys.executable, "-W", "error", "-m", "taskmessenger", "demo"]
SECONDS = 90.0
FILES = 300


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the demo makes its home: a short path, as local sockets need."""
    made = Path(tempfile.mkdtemp(prefix="tmd-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"file-{number}").write_bytes(os.urandom(number * 40))
    return folder


def start(temporary: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )


def run(temporary: Path, *words: str) -> tuple[int, str, str]:
    with start(temporary, *words) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_nothing_is_left(temporary: Path, children: list[psutil.Process]) -> None:
    assert list(temporary.iterdir()) == []
    assert not [child for child in children if child.is_running()]


def test_every_digest_is_verified_while_a_worker_and_the_manager_are_killed(
    temporary: Path, files: Path
) -> None:
    code, out, err = run(temporary, "--files", str(files), "--chaos", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["ok"] is True
    assert (report["files"], report["verified"]) == (FILES, FILES)
    worker, manager = report["kills"]
    assert worker["process"].startswith("worker")
    assert worker["in_hand"] > 0
    assert worker["outcomes"] >= FILES // 3
    assert manager["process"] == "manager"
    assert manager["in_hand"] > 0
    assert manager["outcomes"] >= FILES * 2 // 3
    assert report["attempts"] >= FILES + report["repeated"]
    assert report["repeated"] > 0
    assert "is back after" in err
    assert_nothing_is_left(temporary, [])


def test_the_result_is_on_standard_output_and_ends_with_the_verdict(temporary: Path, files: Path) -> None:
    (files / "no\nline").write_bytes(b"x")
    code, out, err = run(temporary, "--files", str(files), "--workers", "1")
    assert code == 0, err
    assert out.splitlines()[-1] == f"VERIFIED {FILES + 1} of {FILES + 1}"
    assert "VERIFIED" not in err
    assert_nothing_is_left(temporary, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_processes_and_removes_their_homes(
    temporary: Path, files: Path, number: signal.Signals
) -> None:
    with start(temporary, "--files", str(files), "--chaos") as process:
        until(lambda: len(children_of(process)) == 4, "a manager and three workers run")
        children = children_of(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted"
    assert_nothing_is_left(temporary, children)


def test_when_a_process_dies_unasked_the_demo_fails_and_says_where_the_logs_are(
    temporary: Path, files: Path
) -> None:
    with start(temporary, "--files", str(files)) as process:
        until(lambda: len(children_of(process)) == 4, "a manager and three workers run")
        children = children_of(process)
        children[1].kill()
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    last = err.splitlines()[-1]
    assert "ended by SIGKILL" in last
    (home,) = temporary.iterdir()
    assert str(home) in last
    assert (home / "manager.log").exists()
    assert not [child for child in children if child.is_running()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--files", "{empty}"], "there is no file that could be hashed"),
        (["--files", "{empty}/nowhere"], "cannot be read (No such file or directory)"),
        (["--files", "{empty}", "--workers", "0"], "0 is not in the range"),
        (["--files", "{few}", "--chaos"], "--chaos needs at least"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    temporary: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    empty, few = tmp_path / "empty", tmp_path / "few"
    empty.mkdir()
    few.mkdir()
    (few / "one").write_text("1", encoding="utf-8")
    code, out, err = run(temporary, *(word.format(empty=empty, few=few) for word in words))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert_nothing_is_left(temporary, [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_demo_that_is_killed_takes_its_processes_with_it(temporary: Path, files: Path) -> None:
    with start(temporary, "--files", str(files)) as process:
        until(lambda: len(children_of(process)) == 4, "a manager and three workers run")
        children = children_of(process)
        process.kill()
    until(lambda: not any(child.is_running() for child in children), "they have ended")
