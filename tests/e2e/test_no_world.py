"""Started with nothing around it: no home, no name, no variables, no path to programs, another locale."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ANY_PORT, COMMAND, COMMAND_SECONDS, until
from tests.support.processes import fleet as running_fleet

NOBODY = 54_321
"""A user that no machine knows by name."""
UNKNOWN = ["/usr/bin/unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


def said(*words: str, user: bool = True, cwd: Path, **environ: str) -> tuple[int, str]:
    """Exit code and all output of a command in exactly this environment, as a user without a name."""
    done = subprocess.run(
        [*(UNKNOWN if user else ()), *COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_SECONDS,
        env=environ,
        cwd=cwd,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "surrogateescape")


@pytest.mark.skipif(sys.platform != "linux", reason="users without a name need a name space for users")
def test_a_user_without_a_home_is_told_what_to_set(tmp_path: Path) -> None:
    for words in (("pool", "status"), ("submit", "echo"), ("--role", "worker", "--no-ui"), ("doctor",)):
        code, text = said(*words, cwd=tmp_path)
        assert (code, text.count("\n")) == (2, 1)
        assert f"home directory of user {NOBODY} is not known: set TASKMESSENGER_HOME" in text
    for home in ("~/x", "~nobody-such/x"):
        code, text = said("config", "paths", cwd=tmp_path, TASKMESSENGER_HOME=home)
        assert (code, text) == (
            2, f"error: {home}: the home directory in it is not known: write it out\n"
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="users without a name need a name space for users")
def test_roles_need_nothing_but_a_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    tmp_path = tmp_path_factory.mktemp("n")  # the name of a deep home's socket has the user's number in it
    with running_fleet(tmp_path / "f") as fleet:
        started = [_start(fleet.home, "--role", "manager", "--listen", ANY_PORT)]
        try:
            until(fleet.answers)
            (tmp_path / "invite").write_text(fleet.invite())
            started.append(
                _start(tmp_path / "w", "--role", "worker", "--join-file", str(tmp_path / "invite"))
            )
            code, text = said(
                "submit", "upper", "grün", "--wait", cwd=tmp_path, TASKMESSENGER_HOME=str(fleet.home),
                LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
            )  # fmt: skip
            assert (code, text) == (0, "GRÜN\n")
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                assert process.wait(COMMAND_SECONDS) == 0
        finally:
            for process in started:
                process.kill()
                process.wait()


def _start(home: Path, *words: str) -> subprocess.Popen[bytes]:
    environ = {"TASKMESSENGER_HOME": str(home), "PATH": ""}
    return subprocess.Popen([*UNKNOWN, *COMMAND, *words, "--no-ui"], env=environ, cwd=home.parent)


def test_a_place_that_cannot_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("link")
    long = "x" * 300
    for home in ("file/below", "link", long):
        for words in (("submit", "echo"), ("--role", "manager", "--no-ui", "--listen", ANY_PORT)):
            code, text = said(*words, user=False, cwd=tmp_path, TASKMESSENGER_HOME=str(tmp_path / home))
            assert code in {2, 5}
            assert text.startswith("error: ")
            assert text.count("\n") == 1
