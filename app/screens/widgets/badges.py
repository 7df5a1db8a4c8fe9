"""States as a shape, a word and a tone: who cannot tell the colours apart, or has none, reads the same."""

from __future__ import annotations

from typing import Final

from ...core.lifecycle import TaskState
from .cells import Cell, Tone
from .words import safe

TASK: Final[dict[TaskState, tuple[str, Tone]]] = {
    TaskState.SCHEDULED: ("◷", "dim"),
    TaskState.QUEUED: ("○", ""),
    TaskState.LEASED: ("◐", "busy"),
    TaskState.RUNNING: ("●", "busy"),
    TaskState.SUCCEEDED: ("✓", "good"),
    TaskState.FAILED: ("✗", "bad"),
    TaskState.TIMED_OUT: ("⊖", "bad"),
    TaskState.CANCELLED: ("⊘", "dim"),
}
OTHER: Final[dict[str, tuple[str, Tone]]] = {
    "connected": ("●", "good"),
    "connecting": ("◌", "warn"),
    "running": ("●", "busy"),
    "paused": ("‖", "warn"),
    "draining": ("▽", "warn"),
    "closing": ("▽", "warn"),
    "quarantined": ("⊘", "bad"),
    "away": ("◌", "bad"),
    "offline": ("·", "dim"),
    "ended": ("·", "dim"),
    "stopped": ("■", "dim"),
    "revoked": ("⊘", "bad"),
    "ok": ("✓", "good"),
    "warn": ("!", "warn"),
    "warning": ("!", "warn"),
    "bad": ("✗", "bad"),
    "error": ("✗", "bad"),
    "info": ("·", ""),
    "debug": ("·", "dim"),
    "succeeded": ("✓", "good"),
    "failed": ("✗", "bad"),
    "timed_out": ("⊖", "bad"),
    "crashed": ("✗", "bad"),
    "lost": ("◌", "bad"),
    "orphaned": ("◌", "warn"),
    "cancelled": ("⊘", "dim"),
}
"""States of workers, sessions, checks, levels of events, and how attempts end."""


def task_state(state: int) -> Cell:
    """The state of a task; one of a newer version is shown by its number."""
    try:
        known = TaskState(state)
    except ValueError:
        return (f"? {state}", "warn")
    shape, tone = TASK[known]
    return (f"{shape} {known.word.replace('_', ' ')}", tone)


def badge(word: str) -> Cell:
    """Any other state by its word."""
    shape, tone = OTHER.get(word, ("·", ""))
    return (f"{shape} {safe(word).replace('_', ' ')}", tone)
