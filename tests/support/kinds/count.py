"""Counts its runs in a file, and does with the first ones what it is told."""

import os
from pathlib import Path

RUNTIME = "process"


def handle(payload):
    path, crashes = payload
    with Path(path).open("a") as file:
        file.write(".")
    runs = Path(path).stat().st_size
    if runs <= crashes:
        os.abort()
    return runs
