"""Starts a child and a grandchild, writes their process ids to a file, and waits for ever."""

import os
import time
from pathlib import Path

RUNTIME = "process"


def handle(payload, ctx):
    path, apart = payload
    if os.fork() == 0:
        if apart:
            os.setsid()
        grandchild = os.fork()
        if grandchild:
            Path(path + ".part").write_text(f"{os.getpid()} {grandchild}")
            Path(path + ".part").rename(path)
        _wait()
    ctx.progress(0.1, "waiting")
    _wait()


def _wait():
    while True:
        time.sleep(60)
