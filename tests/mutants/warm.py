"""Has loaded what tests need besides the project, and forks for each run: most of a start is saved.

Reads a line of JSON for each run, the words for pytest; answers with a process' number, then its code.
It has one thread, and nothing of the project is loaded in it.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import import_module

LOADED = (
    "anyio.pytest_plugin", "apsw", "asyncio", "click.testing", "cryptography.x509", "hypothesis", "msgpack",
    "msgspec", "psutil", "pytest", "_pytest.assertion.rewrite", "rich.text", "textual.app", "textual.widgets",
    "uvloop", "xdist",
)  # fmt: skip


def main() -> None:
    """Serve until the other side hangs up."""
    for name in LOADED:
        with suppress(ImportError):
            import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(words: list[str]) -> None:
    import pytest

    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    code: int = 1
    try:
        code = pytest.main([*words, "-W", "ignore::pytest.PytestAssertRewriteWarning"])
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
