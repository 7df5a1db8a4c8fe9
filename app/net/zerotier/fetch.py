"""Fetches one published wheel with pip, whichever pip there is. The caller checks what it is worth."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ...core.errors import Unreachable, UsageError
from ...core.text import printable

SECONDS: Final = 180
"""How long pip may take."""
QUIETLY: Final = ("--quiet", "--no-deps", "--no-input", "--disable-pip-version-check", "--only-binary=:all:")
TAG: Final = ("--python-version", "39", "--implementation", "cp", "--abi", "cp39")
"""The last CPython that it was published for; what is fetched does not depend on it."""
MAX_SAID: Final = 300


def fetch(requirement: str, platform_tag: str, most: int) -> bytes:
    """The wheel that fulfils `requirement` on that platform, at most `most` bytes. Blocks.

    Raises:
        UsageError: there is no pip here.
        Unreachable: pip cannot fetch it; says what pip said.
    """
    with tempfile.TemporaryDirectory(prefix="task-messenger-") as folder:
        words = [
            *_pip(),
            "download",
            *QUIETLY,
            *TAG,
            "--platform",
            platform_tag,
            "--dest",
            folder,
            requirement,
        ]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise _failed(requirement, f"pip did not end within {SECONDS} s") from None
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1 or wheels[0].stat().st_size > most:
            raise _failed(requirement, done.stderr.decode("utf-8", "replace"))
        return wheels[0].read_bytes()


def _failed(requirement: str, said: str) -> Unreachable:
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:]
    why = printable(" ".join(errors[-1:]), MAX_SAID) or "pip gave no reason"
    return Unreachable(
        f"{requirement} cannot be fetched: {why}; fetch the wheel elsewhere and name it with --wheel FILE"
    )


def _pip() -> list[str]:
    """The words that start a pip: of this interpreter, bundled with it, on the path, or of uv."""
    for words in _candidates():
        return words
    raise UsageError("there is no pip to fetch libzt with: install pip, or name the wheel with --wheel FILE")


def _candidates() -> Iterator[list[str]]:
    if find_spec("pip") is not None:
        yield [sys.executable, "-m", "pip"]
    ensurepip = find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin:
        for wheel in sorted((Path(ensurepip.origin).parent / "_bundled").glob("pip-*.whl")):
            yield [sys.executable, str(wheel / "pip")]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            yield [found]
    if found := shutil.which("uv"):
        yield [found, "tool", "run", "pip"]
