"""Makes each peer's environment: pinned packages under .venvs, and Redis from the system.

An environment is made again when its pins, or for ours the project's dependencies, have changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parent
OURS: Final = "taskmessenger"
STAMP: Final = ".made-for"


class Unavailable(Exception):
    """An environment cannot be made; the text names the cure."""


def environment(peer: str, deadline: float) -> Path:
    """The Python of this peer's environment, which is made if need be before `deadline` (monotonic).

    Raises:
        Unavailable: it cannot be, or not in time.
    """
    folder, pins = HERE / ".venvs" / peer, HERE / "requirements" / f"{peer}.txt"
    python = folder / "bin" / "python"
    wanted = _fingerprint(peer, pins)
    stamp = folder / STAMP
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"making {folder.relative_to(PROJECT)}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    uv = _uv()
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], deadline)
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        _run([sys.executable, "-m", "venv", str(folder)], deadline)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if peer == OURS:
        # Constraints, not requirements: a dependency that is new in pyproject.toml comes in unpinned.
        _run([*install, "--constraint", str(pins), "uvloop", "--editable", str(PROJECT)], deadline)
    else:
        _run([*install, "--requirement", str(pins)], deadline)
    stamp.write_text(wanted)
    return python


def redis_server(deadline: float) -> None:
    """Have redis-server on the path: as root on Debian and its like it is installed.

    Raises:
        Unavailable: it is missing and stays so.
    """
    if shutil.which("redis-server"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable("redis-server is missing: install it (Debian: sudo apt-get install redis-server)")
    print("installing Debian's redis-server", file=sys.stderr)
    _run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "redis-server"], deadline)


def _fingerprint(peer: str, pins: Path) -> str:
    parts = [pins.read_bytes(), sys.version.encode(), str(HERE).encode()]
    if peer == OURS:
        parts.append((PROJECT / "pyproject.toml").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _uv() -> str | None:
    found = shutil.which("uv")
    # A command may be there and still not run, as version managers' stand-ins do: so ask it.
    works = found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0
    return found if works else None


def _run(argv: Sequence[str], deadline: float) -> None:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(1.0, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{' '.join(argv[:4])} ...` took too long; run it again") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(f"`{' '.join(argv[:4])} ...` failed: {said[-1] if said else done.returncode}")
