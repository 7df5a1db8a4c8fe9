"""Tells what it does, waits until a file is there, and returns who it is."""

import time
from pathlib import Path


def handle(payload, ctx):
    if payload == ["flood"]:
        for _ in range(12):
            ctx.write("x" * 1024 * 1024)
        ctx.write("the end\n")
        return None
    ctx.progress(0.5, "half")
    ctx.write("hello\n")
    while not Path(payload).exists():
        time.sleep(0.01)
    return [ctx.task, ctx.attempt, ctx.kind]
