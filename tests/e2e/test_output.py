"""What tasks print, as somebody who was not there gets it afterwards: by command, whole, and harmless."""

from __future__ import annotations

import json
from pathlib import Path

from taskmessenger.paths import under
from taskmessenger.remote import Remote

from tests.support.fleet import submit
from tests.support.processes import COMMAND, environment, fleet, refused
from tests.support.terminal import Terminal

PRINTS = """
import sys
RUNTIME = "thread"
def handle(payload, ctx):
    print("try", ctx.attempt)
    sys.stdout.buffer.write(bytes([27, 93, 48, 59, 120, 7, 255, 10]))
    if payload == "quiet":
        return None
    if payload == "fail":
        raise OSError("not yet")
"""
DIES = """
import ctypes, sys
def handle(payload):
    for number in range(20_000):
        print("line", number)
    print("last words", flush=True)
    ctypes.string_at(0)
"""


async def ended(remote: Remote) -> None:
    ids = []
    for kind, payload in (("prints", "good"), ("prints", "fail"), ("dies", "x"), ("wait", 0.01)):
        attempts = 2 if payload == "fail" else 1
        ids += await submit(remote, kind, payload, max_attempts=attempts)
    await remote.wait(ids)


def test_what_a_task_printed_can_be_had_after_its_end_and_after_the_managers(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet") as here:
        manager = here.manager()
        folder = under(here.worker_home("fern")).kinds
        folder.mkdir(parents=True, mode=0o700)
        (folder / "prints.py").write_text(PRINTS)
        (folder / "dies.py").write_text(DIES)
        here.worker("fern", "--capacity", "2")
        here.ask(ended)
        manager.kill()
        here.manager()

        raw = "\x1b]0;x\x07\udcff\n"
        done = here.run("task", "output", "1")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"try 1\n{raw}", "")
        assert here.run("task", "output", "2").stdout == f"try 2\n{raw}"
        assert here.run("task", "output", "2", "--attempt", "1").stdout == f"try 1\n{raw}"
        refused(here.run("task", "output", "2", "--attempt", "3"), 3, "no attempt 3", "task show 2")

        died = here.run("task", "output", "3")
        assert "line 19999\nlast words\n" in died.stdout
        assert len(died.stdout.encode()) == 65_536
        assert "are not kept" in died.stderr
        facts = json.loads(here.run("task", "output", "3", "--json").stdout)
        assert facts["start"] + 65_536 == facts["attempts"][0]["written"] > 200_000

        nothing = here.run("task", "output", "4")
        assert (nothing.returncode, nothing.stdout) == (0, "")
        assert "task 4 wrote nothing" in nothing.stderr

        shown = here.run("task", "show", "2").stdout
        assert "output of attempt 2:\n    try 2\n    \\x1b]0;x\\x07" in shown
        assert "`taskmessenger task output 3` prints 65,536" in here.run("task", "show", "3").stdout
        with Terminal([*COMMAND, "task", "output", "1"], environment(here.home)) as terminal:
            terminal.until(lambda: terminal.popen.poll() is not None)
            assert b"try 1\r\n\\x1b]0;x\\x07" in terminal.raw
            assert b"\x1b]0" not in terminal.raw
