"""`taskmessenger watch` as a process: what it prints of a real manager, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.processes import COMMAND, READY_SECONDS, Fleet, environment, fleet, refused


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("watch")) as one:
        one.manager()
        yield one


def watching(running: Fleet, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "watch", "--every", "0.3", *words], env=environment(running.home), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def line_about(out: IO[str], about: str) -> str:
    """The first one, of text or JSON."""
    return next(line for line in out if line.split(" ")[1] == about or f'"about": "{about}"' in line)


def test_it_prints_until_it_is_interrupted_and_then_says_nothing(running: Fleet) -> None:
    with watching(running, "--plain") as process:
        assert process.stdout is not None
        assert "no tasks yet" in line_about(process.stdout, "fleet")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=READY_SECONDS)
    assert (process.returncode, err) == (130, "")


def test_every_line_of_json_is_an_object(running: Fleet) -> None:
    with watching(running, "--json") as process:
        assert process.stdout is not None
        found = json.loads(line_about(process.stdout, "fleet"))
        assert found["workers"] == 0
        process.terminate()
        process.communicate(timeout=READY_SECONDS)


def test_a_reader_that_leaves_ends_it_without_a_word(running: Fleet) -> None:
    with watching(running) as process:
        assert process.stdout is not None
        line_about(process.stdout, "fleet")
        os.close(os.dup(process.stdout.fileno()))
        process.stdout.close()
        assert process.wait(READY_SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_no_textual_is_loaded_for_it(running: Fleet) -> None:
    probe = "import sys, taskmessenger.cli.watch, taskmessenger.attached; sys.exit('textual' in sys.modules)"
    assert subprocess.run([COMMAND[0], "-c", probe], check=False).returncode == 0


def test_without_a_manager_it_says_what_to_do(tmp_path: Path, running: Fleet) -> None:
    refused(running.run("watch", home=tmp_path / "none"), 5, "no manager of yours runs here")
