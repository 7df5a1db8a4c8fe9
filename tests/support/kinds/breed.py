"""A fork bomb with a bound: eight lines of processes, each of which forks the next one and ends."""

import os
import time

RUNTIME = "process"
LINES = 8


def handle(payload, ctx):
    for _ in range(LINES):
        if os.fork() == 0:
            while True:
                if os.fork():
                    os._exit(0)
                time.sleep(0.001)
    ctx.progress(0.1, "breeding")
    while True:
        time.sleep(60)
