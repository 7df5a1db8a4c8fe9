"""Prints that many bytes; without end for None."""

import sys

RUNTIME = "process"
LINE = "x" * 1023 + "\n"


def handle(payload):
    written = 0
    while payload is None or written < payload:
        sys.stdout.write(LINE)
        written += len(LINE)
    return written
