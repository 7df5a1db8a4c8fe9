"""Ends its own process with a signal."""

import os
import sys

RUNTIME = "process"


def handle(payload):
    sys.stderr.write("last words\n")
    os.kill(os.getpid(), payload)
    while True:
        pass
