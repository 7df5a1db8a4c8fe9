"""Rows and stores for tests: every builder sets all but the point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from taskmessenger.core.commit import (
    AttemptRow,
    Commit,
    GrantRow,
    ReopenedRow,
    SettledRow,
    SubmittedRow,
    pack_leases,
)
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import ErrorInfo, InviteRow, PeerRow
from taskmessenger.store.sqlite import SqliteStore

T0 = 1_700_000_000.0


def a_store(folder: Path, **options: Any) -> SqliteStore:
    """A store in `folder` that keeps no space for bad times."""
    return SqliteStore(folder / "tasks.db", **{"ballast": 0, "low_water": 0} | options)


def submitted(task_id: int, **given: Any) -> SubmittedRow:
    """A task that waits for a worker."""
    row = {
        "kind": "hash", "priority": 0, "max_attempts": 5, "timeout": None, "batch": None, "key": None,
        "digest": b"d" if "key" in given else None, "state": TaskState.QUEUED.value,
        "submitted_at": T0 + task_id, "due_at": None, "target": None, "payload": b"\xa1x",
    }  # fmt: skip
    assert set(given) <= set(row)
    return (task_id, *(row | given).values())  # type: ignore[return-value]


def settled(task_id: int, state: TaskState = TaskState.SUCCEEDED, **given: Any) -> SettledRow:
    """How a task ended."""
    well = state is TaskState.SUCCEEDED
    row = {
        "attempt": 1, "spent": 0 if well else 1, "worker": "w1", "finished_at": T0 + 100 + task_id,
        "run_seconds": 0.5, "result": b"\xc3" if well else None, "error": None if well else an_error(),
    }  # fmt: skip
    assert set(given) <= set(row)
    return (state.value, *(row | given).values(), task_id)  # type: ignore[return-value]


def reopened(task_id: int, attempt: int = 1, **given: Any) -> ReopenedRow:
    """A task that goes back to its queue."""
    row = {"state": TaskState.QUEUED.value, "attempt": attempt, "spent": 1, "crashes": 0, "due_at": None}
    return (*(row | given).values(), task_id)  # type: ignore[return-value]


def attempt(task_id: int, number: int = 1, how: str = "failed", **given: Any) -> AttemptRow:
    """An attempt that is worth remembering."""
    row = {"worker": "w1", "started_at": T0, "ended_at": T0 + number, "how": how, "error": an_error()}
    return (task_id, number, *(row | given).values())  # type: ignore[return-value]


def a_grant(seq: int, *leases: tuple[int, int], worker: str = "w1") -> GrantRow:
    """The (task, attempt) pairs that a worker got at once."""
    return seq, worker, pack_leases([i for i, _ in leases], [n for _, n in leases])


def an_error(message: str = "boom", **given: Any) -> bytes:
    """What a worker sends of an attempt that went wrong."""
    return msgspec.msgpack.encode(ErrorInfo(code="failed", message=message, **given))


def submit(*ids: int, **given: Any) -> Commit:
    """A batch of new tasks that are alike."""
    return Commit(submitted=[submitted(task_id, **given) for task_id in ids])


def settle(*ids: int, state: TaskState = TaskState.SUCCEEDED, **given: Any) -> Commit:
    """A batch of tasks that end alike."""
    return Commit(settled=[settled(task_id, state, **given) for task_id in ids])


def an_invite(invite_id: str = "i1", **given: Any) -> InviteRow:
    """For one worker, and for an hour."""
    row = {
        "role": "worker", "secret_hash": b"h", "uses": 1, "uses_left": 1, "created_at": T0,
        "expires_at": T0 + 3600,
    }  # fmt: skip
    return InviteRow(id=invite_id, **(row | given))


def a_peer(peer_id: str = "p1", **given: Any) -> PeerRow:
    """A worker that joined by the invite i1."""
    row = {
        "role": "worker", "serial": "0a", "invite": "i1", "enrolled_at": T0, "expires_at": T0 + 86_400,
        "inventory": "linux",
    }  # fmt: skip
    return PeerRow(id=peer_id, **(row | given))
