"""Writes files, by name and size, into its working directory."""

from pathlib import Path

RUNTIME = "process"


def handle(payload):
    for name, size in payload.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x" * size)
    return "written"
