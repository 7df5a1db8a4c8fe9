"""Prints in one of several ways; returns what it saw of its streams."""

import sys


def handle(payload):
    if payload == "print":
        print("printed", "é\ud800", flush=True)
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.buffer.flush()
        sys.stdout.writelines(["lines\n"])
        print("error", file=sys.stderr)
        return [
            sys.stdout.isatty(),
            sys.stdout.encoding,
            sys.stdout.fileno(),
            sys.stdin.read(),
            list(sys.stdin),
        ]
    if payload == "close":
        sys.stdout.close()
        sys.stderr.close()
        print("after close")
        return None
    if payload == "replace":
        sys.stdout = None
        sys.stderr = object()
        return None
    if payload == "flood":
        for _ in range(13):
            print("x" * 1024 * 1024)
        return None
    return None
