"""What a process that was forked from here hears, and who hears it."""

from __future__ import annotations

import subprocess
import sys

TOLD_AT_ONCE = """
import asyncio, os, signal, sys

os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))  # before any of ours
from taskmessenger import loops, forks

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)  # it was never told
    return os.waitpid(child, 0)[1]

async def main():
    heard = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.append, "SIGTERM")
    ended = await asyncio.get_running_loop().run_in_executor(None, fork)
    assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGTERM, ended
    assert not heard, "it was told to the one that had forked"
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        while not heard:
            await asyncio.sleep(0.01)
    assert len(heard) == 1, heard

loops.run(main)
"""


def test_a_signal_to_a_fork_that_has_done_nothing_yet_is_not_heard_by_who_has_forked() -> None:
    """As of a pool of processes that is over at once: the signal is there before the fork is ready for it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TOLD_AT_ONCE],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
