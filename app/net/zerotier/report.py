"""A node's last look at itself, in a file: how `taskmessenger zerotier status` sees a node elsewhere.

The process with the node writes it, and takes it away when it ends; a reader believes it while it is fresh
and its writer is alive. It holds no secrets, and is for this user alone all the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec

from ...core.errors import ConfigError
from ..security.private_files import read_private, replace_private
from .node import Node

NAME: Final = "status.json"
EVERY_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
"""Between two looks how far the node is with its network: a change is written at once."""
FRESH_SECONDS: Final = 30.0
"""Older ones are of a process that hangs or was stopped."""


class Report(msgspec.Struct, frozen=True):
    """What was written, and by whom."""

    pid: int
    moment: float
    """Seconds since 1970."""
    status: dict[str, Any]
    """See `NodeStatus`."""


async def keep_reporting(node: Node) -> None:
    """Write the node's state into its home every few seconds until cancelled; then remove the file."""
    path = node.settings.home / NAME
    try:
        while True:
            # A full disk must not end the node; whoever looks is told that nothing is known.
            with contextlib.suppress(ConfigError):
                await anyio.to_thread.run_sync(_write, node, path)
            written, due = node.join(), anyio.current_time() + EVERY_SECONDS
            while anyio.current_time() < due and node.join() == written:
                await anyio.sleep(LOOK_SECONDS)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def read(home: Path) -> Report | None:
    """What the node with this home says, or None when none runs."""
    try:
        report = msgspec.json.decode(read_private(home / NAME), type=Report)
    except (OSError, ConfigError, msgspec.MsgspecError):
        return None
    fresh = abs(time.time() - report.moment) < FRESH_SECONDS
    return report if fresh and _alive(report.pid) else None


def _write(node: Node, path: Path) -> None:
    report = Report(pid=os.getpid(), moment=time.time(), status=node.status().as_json())
    replace_private(path, msgspec.json.encode(report))


def _alive(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
