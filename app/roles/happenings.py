"""The pool's events and the lines of the log as events that people read. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..core.effects import Event
from ..core.text import count, printable
from ..feed import Happening

SHOWN: Final = 8
"""Runs of ids that a text names."""
_NAMES: Final = {
    "submitted": ("info", "task.submitted"),
    "leased": ("debug", "task.leased"),
    "started": ("debug", "task.started"),
    "succeeded": ("info", "task.succeeded"),
    "failed": ("error", "task.failed"),
    "timed_out": ("error", "task.timed_out"),
    "cancelled": ("info", "task.cancelled"),
    "requeued": ("warning", "task.requeued"),
    "retried": ("info", "task.retried"),
    "joined": ("info", "worker.connected"),
    "disconnected": ("warning", "worker.disconnected"),
    "lost": ("error", "worker.lost"),
    "left": ("info", "worker.left"),
    "unwanted": ("error", "worker.unwanted"),
    "data.restored": ("error", "data.restored"),
    "revoked": ("warning", "worker.revoked"),
    "draining": ("info", "worker.draining"),
    "quarantined": ("error", "worker.quarantined"),
    "readmitted": ("info", "worker.readmitted"),
    "cleared": ("info", "task.cleared"),
    "paused": ("info", "scope.paused"),
    "resumed": ("info", "scope.resumed"),
    "alarm.began": ("warning", "alarm.began"),
    "alarm.ended": ("info", "alarm.ended"),
}


_REASONS: Final = {
    "failed": "its attempt failed",
    "timed_out": "its attempt ran out of time",
    "crashed": "its attempt crashed",
    "lost": "its worker was lost",
    "orphaned": "its worker died while others ran beside it",
    "released": "its worker gave it back",
    "cancelled": "its worker gave it back",
}
"""Why a task goes back to its queue, by how its attempt ended."""
_ON_PURPOSE: Final = frozenset({"released", "cancelled"})


def told(at: float, event: Event) -> Happening:
    """One event of the pool. Of one task it is about the task, else about the worker or kind."""
    what, who, tasks, why = event
    level, name = _NAMES.get(what, ("info", what if "." in what else f"pool.{what}"))
    if what == "requeued":
        word, _, wait = why.partition(" ")
        level = "info" if word in _ON_PURPOSE else level
        why = _joined(_REASONS.get(word, word.replace("_", " ")), f"again in {wait} s" if wait else "")
    if len(tasks) == 1:
        return at, level, name, str(tasks[0]), _joined(who, why)
    if tasks:
        return at, level, name, who, _joined(f"{count(len(tasks), 'task')}: {_runs(tasks)}", why)
    return at, level, name, who, f"within {why} s" if what == "draining" else printable(why)


def logged(lines: Iterable[tuple[float, str, str, str]]) -> list[Happening]:
    """Lines of the log."""
    return [
        (at, "error" if level == "critical" else level, "log", where, text)
        for at, level, where, text in lines
    ]


def _joined(*parts: str) -> str:
    return printable(", ".join(part for part in parts if part))


def _runs(ids: Sequence[int]) -> str:
    """`7-18, 23` and so on, not too long."""
    first, last = ids[0], ids[-1]
    if last - first == len(ids) - 1 and tuple(ids) == tuple(range(first, last + 1)):
        return _run([first, last])  # nearly always, and a batch has hundreds of them
    runs: list[list[int]] = []
    for one in ids:
        if runs and one == runs[-1][1] + 1:
            runs[-1][1] = one
            continue
        if len(runs) == SHOWN:
            return ", ".join(map(_run, runs)) + " ..."
        runs.append([one, one])
    return ", ".join(map(_run, runs))


def _run(bounds: list[int]) -> str:
    first, last = bounds
    return str(first) if first == last else f"{first}-{last}"
