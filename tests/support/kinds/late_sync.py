"""Is asked to stop, says so, and goes on until a file is there."""

import time
from pathlib import Path


def handle(payload, ctx):
    ctx.progress(0.1, "begun")
    while not ctx.cancelled:
        time.sleep(0.005)
    ctx.progress(0.2, "asked")
    while not Path(payload).exists():
        time.sleep(0.005)
    return "at last"
